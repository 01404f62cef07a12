package gohighlevel

import (
	"encoding/json"
	"fmt"

	"github.com/neuronx/engine/pkg/crm"
)

// match decides which contact is that of a lead with these keys, by what was found for its e-mail address and its phone number (nil:
// nothing). A contact that only shares the phone number and has another address is somebody else in the same office or household. ok is
// false when no contact can be named without doubt; code and detail then say why. An empty id means that there is none.
func match(k crm.Keys, byEmail, byPhone *crm.Contact) (id, code, detail string, ok bool) {
	switch {
	case byEmail != nil && byPhone != nil && byEmail.ID != byPhone.ID:
		return "", crm.CodeContactSplit, fmt.Sprintf("the e-mail address is that of contact %s, the phone number that of contact %s; nothing was written: "+
			"merge or correct them in the CRM, then resend", byEmail.ID, byPhone.ID), false
	case byEmail != nil:
		return byEmail.ID, "", "", true
	case byPhone == nil:
		return "", "", "", true
	case k.Email != "" && byPhone.Email != "" && !crm.SameEmail(k.Email, byPhone.Email):
		return "", crm.CodeContactTaken, fmt.Sprintf("contact %s has the phone number and another e-mail address; nothing was written: correct it in "+
			"the CRM, then resend, or resolve this as done with its id if it is the same person", byPhone.ID), false
	}
	return byPhone.ID, "", "", true
}

// readFound reads the answer of a look-up: a contact, or null.
func readFound(body []byte) (c *crm.Contact, ok bool) {
	var raw struct {
		Contact json.RawMessage `json:"contact"`
	}
	if json.Unmarshal(body, &raw) != nil || len(raw.Contact) == 0 {
		return nil, false
	}
	var found *struct {
		ID    string `json:"id"`
		Email string `json:"email"`
		Phone string `json:"phone"`
	}
	if json.Unmarshal(raw.Contact, &found) != nil || found != nil && !validID(found.ID) {
		return nil, false
	}
	if found == nil {
		return nil, true
	}
	return &crm.Contact{ID: found.ID, Email: found.Email, Phone: found.Phone}, true
}
