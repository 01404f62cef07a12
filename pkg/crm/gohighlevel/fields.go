package gohighlevel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
)

const (
	opFields = "custom_fields"
	opField  = "contact_set_field"
	opDND    = "contact_dnd"
)

// customFields is the request that lists the custom fields of contacts.
func (s state) customFields() crm.Call {
	return crm.Call{Op: opFields, Method: http.MethodGet, Version: version, Path: "/locations/" + url.PathEscape(s.Account) + "/customFields?model=contact"}
}

// fieldCall reports whether the command names a custom field whose id has to be asked for.
func (s state) fieldCall() bool {
	known := s.Names[crm.ObjectField]
	return s.Kind == crm.KindField && len(known.IDs[called(s.Command.Field)]) == 0 && !known.Fresh
}

// findField finds the id of the custom field that the command names.
func (a *attempt) findField() bool {
	if a.Kind != crm.KindField {
		return true
	}
	names := a.Names
	if a.fieldCall() {
		var on bool
		if names, on = a.list(a.customFields(), "custom fields", readFields); !on {
			return false
		}
	}
	var on bool
	a.field, on = a.one("custom field", a.Command.Field, names[crm.ObjectField].IDs[called(a.Command.Field)])
	return on
}

// setField is the request that writes a custom field. Fields that it does not name stay.
func (s state) setField(contact string) planned {
	type value struct {
		ID    string `json:"id"`
		Value string `json:"field_value"`
	}
	return change(opField, http.MethodPut, contact, struct {
		CustomFields []value `json:"customFields"`
	}{[]value{{s.field, s.Command.FieldValue}}})
}

// dndChannels are the vendor's names of channels in dndSettings, by ours.
var dndChannels = map[string]string{"call": "Call", "email": "Email", "sms": "SMS", "whatsapp": "WhatsApp"}

// dndSettings are the vendor's names of the channels that the command closes; nil: it names one that the vendor does not know.
func (s state) dndSettings() []string {
	if slices.Contains(s.Command.Channels, crm.AnyChannel) {
		return []string{"Call", "Email", "FB", "GMB", "SMS", "WhatsApp"}
	}
	var out []string
	for _, c := range s.Command.Channels {
		if dndChannels[c] == "" {
			return nil
		}
		out = append(out, dndChannels[c])
	}
	return out
}

// dnd is the request that closes channels to a contact. Channels that it does not name stay as they are.
func (s state) dnd(contact string) planned {
	type setting struct {
		Status string `json:"status"`
	}
	body := struct {
		DND      bool               `json:"dnd,omitempty"` // all of them, also those that the vendor adds later
		Settings map[string]setting `json:"dndSettings"`
	}{slices.Contains(s.Command.Channels, crm.AnyChannel), map[string]setting{}}
	for _, c := range s.dndSettings() {
		body.Settings[c] = setting{"active"}
	}
	return change(opDND, http.MethodPut, contact, body)
}

// untaken tells what an answer that says it was done shows not to be; empty: all is as asked, or the answer does not show it. The vendor drops what it
// does not like without a word.
func (s state) untaken(c crm.Call, body []byte) string {
	if c.Op != opField && c.Op != opDND {
		return ""
	}
	var answer struct {
		Contact struct {
			Fields *[]struct {
				ID    string `json:"id"`
				Value any    `json:"value"`
			} `json:"customFields"`
			Settings map[string]struct {
				Status string `json:"status"`
			} `json:"dndSettings"`
		} `json:"contact"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	if c.Op == opDND {
		for _, channel := range s.dndSettings() {
			if set, told := answer.Contact.Settings[channel]; told && set.Status == "inactive" {
				return "the CRM did not close the channel " + channel + " to the contact"
			}
		}
		return ""
	}
	if answer.Contact.Fields == nil {
		return ""
	}
	for _, f := range *answer.Contact.Fields {
		if f.ID == s.field && fmt.Sprint(f.Value) == s.Command.FieldValue {
			return ""
		}
	}
	if s.Command.FieldValue == "" {
		return ""
	}
	return "the CRM did not take over the value of the custom field: is it of a kind that takes this text?"
}

// readFields reads the custom fields of contacts by what they are called.
func readFields(body []byte) (map[string]map[string][]string, bool) {
	var raw struct {
		Fields *[]struct {
			ID       string `json:"id"`
			Name     string `json:"name"`
			FieldKey string `json:"fieldKey"`
			Model    string `json:"model"`
		} `json:"customFields"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Fields == nil {
		return nil, false
	}
	out := map[string][]string{}
	for _, f := range *raw.Fields {
		if !validID(f.ID) || f.Model != "" && f.Model != "contact" {
			continue
		}
		callIt(out, "", f.ID, f.ID, f.Name, f.FieldKey, strings.TrimPrefix(f.FieldKey, "contact."))
	}
	return map[string]map[string][]string{crm.ObjectField: out}, true
}
