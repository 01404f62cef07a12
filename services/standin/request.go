package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
)

// request is one call that passed the transport checks, ready for the pure part.
type request struct {
	method  string
	path    string
	ids     []string // what stands for the {…} of the endpoint's path, in order
	query   url.Values
	version string // of the Version header
	body    []byte
	now     time.Time
	lag     time.Duration
}

// stringFields are the fields of a contact that are plain texts; which of them an operation takes is in allowed.
var stringFields = []string{"firstName", "lastName", "name", "email", "phone", "address1", "city", "state", "postalCode",
	"website", "timezone", "source", "dateOfBirth", "country", "companyName", "assignedTo", "gender"}

// allowed lists the fields of the vendor's DTOs. An update takes neither locationId, gender nor companyName.
func allowed(op string) map[string]bool {
	m := map[string]bool{"dnd": true, "dndSettings": true, "inboundDndSettings": true, "tags": true, "customFields": true}
	for _, f := range stringFields {
		m[f] = true
	}
	switch op {
	case "update":
		delete(m, "gender")
		delete(m, "companyName")
	case "upsert":
		m["createNewIfDuplicateAllowed"] = true
		m["locationId"] = true
	default:
		m["locationId"] = true
	}
	delete(m, "inboundDndSettings")
	m["inboundDndSettings"] = true
	return m
}

// dndChannels are the keys of dndSettings.
var dndChannels = []string{"Call", "Email", "SMS", "WhatsApp", "GMB", "FB"}

// input is a decoded contact body; only what was sent is set.
type input struct {
	fields   map[string]string // "" = sent as null or empty: cleared
	dnd      *bool
	channels map[string]DNDSetting // by the vendor's name of the channel; those that are not named stay
	tags     *[]string
	custom   json.RawMessage
	merge    func(have json.RawMessage) json.RawMessage // writes custom over what a contact has; nil without custom
	location string
	newTwice bool // createNewIfDuplicateAllowed
}

func decodeObject(body []byte) (map[string]json.RawMessage, *answer) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		a := refuse(http.StatusBadRequest, "Unexpected token in JSON")
		return nil, &a
	}
	return raw, nil
}

// decodeContact checks a body against the DTO of op and names all problems at once, as the vendor's validator does.
func decodeContact(op string, body []byte) (input, *answer) {
	raw, bad := decodeObject(body)
	if bad != nil {
		return input{}, bad
	}
	in := input{fields: map[string]string{}}
	var problems []string
	ok := allowed(op)
	for k := range raw {
		if !ok[k] {
			problems = append(problems, "property "+k+" should not exist")
		}
	}
	for _, f := range stringFields {
		v, sent := raw[f]
		if !sent || !ok[f] {
			continue
		}
		var s *string
		if err := json.Unmarshal(v, &s); err != nil {
			problems = append(problems, f+" must be a string")
			continue
		}
		if s == nil {
			in.fields[f] = ""
			continue
		}
		in.fields[f] = *s
	}
	if v, sent := raw["locationId"]; sent && ok["locationId"] {
		if err := json.Unmarshal(v, &in.location); err != nil {
			problems = append(problems, "locationId must be a string")
		}
	}
	if ok["locationId"] && in.location == "" {
		problems = append(problems, "locationId should not be empty")
	}
	if v, sent := raw["tags"]; sent {
		var tags []string
		if err := json.Unmarshal(v, &tags); err != nil {
			problems = append(problems, "each value in tags must be a string", "tags must be an array")
		}
		in.tags = &tags
	}
	if v, sent := raw["dnd"]; sent {
		if err := json.Unmarshal(v, &in.dnd); err != nil {
			problems = append(problems, "dnd must be a boolean value")
		}
	}
	if v, sent := raw["dndSettings"]; sent {
		if err := json.Unmarshal(v, &in.channels); err != nil {
			problems = append(problems, "dndSettings must be an object")
		}
		for channel, set := range in.channels {
			if !slices.Contains(dndChannels, channel) {
				problems = append(problems, "dndSettings.property "+channel+" should not exist")
			}
			if !slices.Contains([]string{"active", "inactive", "permanent"}, set.Status) {
				problems = append(problems, "dndSettings."+channel+".status must be one of the allowed values")
			}
		}
	}
	if v, sent := raw["createNewIfDuplicateAllowed"]; sent {
		if err := json.Unmarshal(v, &in.newTwice); err != nil {
			problems = append(problems, "createNewIfDuplicateAllowed must be a boolean value")
		}
	}
	if v, sent := raw["customFields"]; sent {
		var list []map[string]any
		if err := json.Unmarshal(v, &list); err != nil {
			problems = append(problems, "customFields must be an array")
		}
		in.custom = v
	}
	if e := in.fields["email"]; e != "" {
		if a, err := mail.ParseAddress(e); err != nil || a.Address != strings.TrimSpace(e) {
			problems = append(problems, "email must be an email")
		}
	}
	if p := in.fields["phone"]; p != "" && len(strings.TrimPrefix(phoneKey(p), "+")) < 7 {
		problems = append(problems, "phone must be a valid phone number")
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		a := unprocessable(problems)
		return in, &a
	}
	return in, nil
}

// decodeStrict checks that only the named keys are there and reads the required ones.
func decodeStrict(body []byte, known ...string) (map[string]json.RawMessage, *answer) {
	raw, bad := decodeObject(body)
	if bad != nil {
		return nil, bad
	}
	var problems []string
	for k := range raw {
		found := false
		for _, n := range known {
			found = found || n == k
		}
		if !found {
			problems = append(problems, "property "+k+" should not exist")
		}
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		a := unprocessable(problems)
		return nil, &a
	}
	return raw, nil
}

func itoa(n int) string { return fmt.Sprint(n) }
