package gohighlevel

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
)

// names lists, sorted, the fields that an upsert names, by the vendor's names.
func (s state) names() []string {
	c := s.Command
	f := named(c)
	names := slices.Collect(maps.Keys(f.writes()))
	for _, name := range c.Clear {
		names = append(names, ourNames[name])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// older lists the fields of the command that a newer fact has set already: the command comes late.
func (s state) older() []string {
	var out []string
	if s.Kind != crm.KindUpsert || s.Fact.IsZero() {
		return nil
	}
	for _, name := range s.names() {
		if s.Link.Facts[name].After(s.Fact) {
			out = append(out, name)
		}
	}
	return out
}

func superseded(fields []string) string {
	return "a newer fact has been written, so this was left out: " + strings.Join(fields, ", ")
}

func unchanged(s state) string {
	if s.Command.Company != "" {
		return noCompany
	}
	return "unchanged: the contact is known to hold all of this, so nothing was sent"
}

const noCompany = "the CRM takes no company in an update"

// findBy gives the keys by which the contact is found: those of the command, else those that the lead was written with before.
func (s state) findBy() crm.Keys {
	return crm.Keys{Email: strings.TrimSpace(s.Command.Email), Phone: strings.TrimSpace(s.Command.Phone)}.Or(s.Link.Keys)
}

// makes reports whether a contact is created when none is found: only by an upsert that has a key itself. An update of other fields
// is about a contact that existed.
func (s state) makes() bool {
	return s.Kind == crm.KindUpsert && (s.Command.Email != "" || s.Command.Phone != "")
}

func (s state) upsert(contact string) []planned {
	c := s.Command
	f := named(c)
	if s.Link.Contact == "" {
		upsert := change(opUpsert, http.MethodPost, "/contacts/upsert", struct {
			LocationID string `json:"locationId"`
			fields
		}{s.Account, f})
		upsert.Writes = f.writes()
		return []planned{upsert}
	}
	lacks := ""
	if c.Company != "" {
		lacks = noCompany // it refuses the whole request for a field that it does not list
	}
	f.CompanyName = nil
	for name, to := range f.all() {
		if slices.Contains(s.omit, name) {
			*to = nil
		}
	}
	if !s.Link.Fresh {
		empty := value("")
		for _, name := range c.Clear {
			if to := f.all()[ourNames[name]]; to != nil && name != "company" {
				*to = &empty
			}
		}
	}
	if older := s.older(); len(older) > 0 {
		lacks = superseded(older)
		for _, name := range older {
			*f.all()[name] = nil
		}
	}
	for name, to := range f.all() {
		if have, known := s.Link.Known[name]; known && *to != nil && same(name, string(**to), have) {
			*to = nil // what a person changed it to since then stays
		}
	}
	writes := f.writes()
	if len(writes) == 0 {
		return nil
	}
	update := change(opUpdate, http.MethodPut, contact, f)
	update.lacks, update.Writes = lacks, writes
	return []planned{update}
}

func same(name, a, b string) bool {
	switch {
	case a == "" || b == "":
		return a == b
	case name == "email":
		return crm.SameEmail(a, b)
	case name == "phone":
		return crm.SamePhone(a, b)
	}
	return strings.TrimSpace(a) == strings.TrimSpace(b)
}

// dropped compares what a call sent with the contact that came back. The vendor drops a key that belongs to another contact without a
// word; the vendor's names of the dropped fields are told, never their values. That it writes a number as E.164 or an address in lower
// case is nothing dropped.
func dropped(c crm.Call, answer []byte) []string {
	var body struct {
		Contact map[string]any `json:"contact"`
	}
	if json.Unmarshal(answer, &body) != nil {
		return nil
	}
	var out []string
	for _, name := range []string{"email", "phone"} {
		sent, is := c.Writes[name]
		got, _ := body.Contact[name].(string)
		if is && !same(name, sent, got) {
			out = append(out, name)
		}
	}
	return out
}

// fields of a contact, as the vendor names them: nil is left out, an empty one is null, which clears.
type fields struct {
	Email       *value `json:"email,omitempty"`
	Phone       *value `json:"phone,omitempty"`
	FirstName   *value `json:"firstName,omitempty"`
	LastName    *value `json:"lastName,omitempty"`
	CompanyName *value `json:"companyName,omitempty"`
	Source      *value `json:"source,omitempty"`
}

// value is a text that encodes as null when it is empty.
type value string

// MarshalJSON implements json.Marshaler.
func (v value) MarshalJSON() ([]byte, error) {
	if v == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(v))
}

var ourNames = map[string]string{"email": "email", "phone": "phone", "first_name": "firstName", "last_name": "lastName", "company": "companyName", "source": "source"}

func named(c crm.Command) fields {
	return fields{text(c.Email), text(c.Phone), text(c.FirstName), text(c.LastName), text(c.Company), text(c.Source)}
}

func text(s string) *value {
	if s == "" {
		return nil
	}
	v := value(s)
	return &v
}

func (f *fields) all() map[string]**value {
	return map[string]**value{"email": &f.Email, "phone": &f.Phone, "firstName": &f.FirstName, "lastName": &f.LastName, "companyName": &f.CompanyName, "source": &f.Source}
}

func (f *fields) writes() map[string]string {
	out := map[string]string{}
	for name, v := range f.all() {
		if *v != nil {
			out[name] = string(**v)
		}
	}
	return out
}
