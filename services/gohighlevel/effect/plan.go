package effect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Command is what a crm.*.requested event asks for, as kept in the ledger.
type Command struct {
	LeadID    string   `json:"lead_id"`
	Email     string   `json:"email,omitempty"`
	Phone     string   `json:"phone,omitempty"`
	FirstName string   `json:"first_name,omitempty"`
	LastName  string   `json:"last_name,omitempty"`
	Company   string   `json:"company,omitempty"`
	Source    string   `json:"source,omitempty"`
	Add       []string `json:"add,omitempty"`
	Remove    []string `json:"remove,omitempty"`
	Body      string   `json:"body,omitempty"`
	Unfit     string   `json:"unfit,omitempty"` // why the command can't be kept as it came, and so not be carried out; the rest is empty
}

// DefaultNotAfter is how long after its recording a command may be carried out when it does not say.
const DefaultNotAfter = 24 * time.Hour

// FromData reads a command from decoded event data. notAfter is zero when the command does not say.
func FromData(data map[string]any) (c Command, notAfter time.Time) {
	text := func(k string) string { s, _ := data[k].(string); return s }
	list := func(k string) []string {
		var out []string
		items, _ := data[k].([]any)
		for _, it := range items {
			if s, ok := it.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	c = Command{LeadID: text("lead_id"), Email: text("email"), Phone: text("phone"), FirstName: text("first_name"),
		LastName: text("last_name"), Company: text("company"), Source: text("source"), Add: list("add"), Remove: list("remove"), Body: text("body")}
	notAfter, _ = data["not_after"].(time.Time)
	if why := c.unfit(); why != "" {
		c = Command{Unfit: why}
	}
	return c, clamp(notAfter)
}

// MaxLeadID is how many bytes a lead id may have: it is part of keys of the ledger's tables, and Postgres takes index rows of up to 2,704
// bytes. A command with a longer one fails; it must not stop those after it.
const MaxLeadID = 1024

// unfit tells why a command can't be kept: "" when it can.
func (c Command) unfit() string {
	if len(c.LeadID) > MaxLeadID {
		return fmt.Sprintf("the lead id has %d bytes, more than %d", len(c.LeadID), MaxLeadID)
	}
	for _, s := range slices.Concat([]string{c.LeadID, c.Email, c.Phone, c.FirstName, c.LastName, c.Company, c.Source, c.Body}, c.Add, c.Remove) {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return "a text of the command holds a NUL character or is not UTF-8"
		}
	}
	return ""
}

// clamp keeps a time limit within what the ledger can store. The zero time, which is none, stays; so is the start of the epoch read back,
// which therefore is a second later.
func clamp(t time.Time) time.Time {
	first, last := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case t.IsZero():
		return t
	case t.Before(first):
		return first
	case t.After(last):
		return last
	case t.Unix() == 0:
		return t.Add(time.Second)
	}
	return t
}

// Problem tells why a command of a kind can never be carried out; "" when it can.
func (c Command) Problem(kind string) (code, detail string) {
	switch {
	case c.Unfit != "":
		return CodeInvalidCommand, c.Unfit
	case kind == KindUpsert && c.Email == "" && c.Phone == "":
		return CodeInvalidCommand, "a contact needs an e-mail address or a phone number"
	case kind == KindNote && c.Body == "":
		return CodeInvalidCommand, "the note is empty"
	case c.LeadID == "":
		return CodeInvalidCommand, "the command names no lead"
	case kind != KindUpsert && kind != KindTag && kind != KindNote:
		return CodeUnknownKind, "this adapter has no effect of kind " + kind
	}
	return "", ""
}

// State is what Next needs to know about an effect and its tenant.
type State struct {
	Kind      string
	Command   Command
	NotAfter  time.Time // zero: none
	Mode      Mode      // in force now
	Connected bool
	Location  string
	ContactID string // the lead's contact in the CRM; "" when not known
}

// Step is what to do with an effect: send Calls, or end it as Status with Code and Detail.
type Step struct {
	Calls  []Call
	Status Status // set: the effect ends without a request
	Code   string
	Detail string
}

// Call is one request to the CRM, without host and token.
type Call struct {
	Endpoint string // label for metrics
	Method   string
	Path     string
	Body     []byte
	IfGone   *Call  // made instead when the answer says that the contact is not there any more
	Lacks    string // what the command asks for and this call can't carry; for people
}

// endpointUpdate is the one call of an upsert that names its contact.
const endpointUpdate = "contact_update"

// Next decides about one effect that is due. The mode comes first: what must not be sent needs no verdict.
func Next(s State, now time.Time) Step {
	switch {
	case !s.Connected || s.Mode == ModeOff:
		return Step{Status: Off}
	case s.Mode != ModeSend:
		return Step{Status: Recorded}
	}
	code, detail := s.Command.Problem(s.Kind)
	switch {
	case code != "":
		return Step{Status: Failed, Code: code, Detail: detail}
	case !s.NotAfter.IsZero() && now.After(s.NotAfter):
		return Step{Status: Failed, Code: CodeExpired, Detail: "not carried out by " + s.NotAfter.UTC().Format(time.RFC3339)}
	case s.Kind != KindUpsert && s.ContactID == "":
		return Step{Status: Failed, Code: CodeContactUnknown, Detail: "no contact of this lead is known in the CRM; upsert it first"}
	}
	calls := Calls(s)
	if len(calls) == 0 {
		return Step{Status: Done, Detail: "nothing to do"}
	}
	return Step{Calls: calls}
}

// Calls turns a command into requests. An upsert never holds tags, because the vendor would replace all tags by them; empty
// fields are left out, because unknown or null ones may be refused or clear what a person wrote. The contact of a lead that is known
// is updated by its id: the vendor finds contacts by e-mail address and phone number, and an upsert under a new address would make a
// second one. Where a person deleted it, the upsert makes it anew.
func Calls(s State) []Call {
	contact := "/contacts/" + url.PathEscape(s.ContactID)
	switch s.Kind {
	case KindUpsert:
		c := s.Command
		f := fields{c.Email, c.Phone, c.FirstName, c.LastName, c.Company, c.Source}
		upsert := call("contact_upsert", http.MethodPost, "/contacts/upsert", struct {
			LocationID string `json:"locationId"`
			fields
		}{s.Location, f})
		if s.ContactID == "" {
			return []Call{upsert}
		}
		lacks := ""
		if f.CompanyName != "" {
			f.CompanyName, lacks = "", "the CRM takes no company in an update" // it refuses the whole request for a field it does not list
		}
		update := call(endpointUpdate, http.MethodPut, contact, f)
		update.IfGone, update.Lacks = &upsert, lacks
		return []Call{update}
	case KindTag:
		type tags struct {
			Tags []string `json:"tags"`
		}
		var calls []Call
		if add := cleanTags(s.Command.Add); len(add) > 0 {
			calls = append(calls, call("tag_add", http.MethodPost, contact+"/tags", tags{add}))
		}
		if gone := cleanTags(s.Command.Remove); len(gone) > 0 {
			calls = append(calls, call("tag_remove", http.MethodDelete, contact+"/tags", tags{gone}))
		}
		return calls
	case KindNote:
		return []Call{call("note_add", http.MethodPost, contact+"/notes", struct {
			Body string `json:"body"`
		}{s.Command.Body})}
	}
	return nil
}

// fields of a contact, as the vendor names them.
type fields struct {
	Email       string `json:"email,omitempty"`
	Phone       string `json:"phone,omitempty"`
	FirstName   string `json:"firstName,omitempty"`
	LastName    string `json:"lastName,omitempty"`
	CompanyName string `json:"companyName,omitempty"`
	Source      string `json:"source,omitempty"`
}

func call(endpoint, method, path string, body any) Call {
	b, err := json.Marshal(body)
	if err != nil {
		panic("effect: body of " + endpoint + ": " + err.Error()) // structs of strings always encode
	}
	return Call{Endpoint: endpoint, Method: method, Path: path, Body: b}
}

// cleanTags gives tags as the vendor stores them: trimmed, lower case, once each.
func cleanTags(tags []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range tags {
		t = strings.ToLower(strings.TrimSpace(t))
		if t != "" && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}
