package effect

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// State is what Next needs to know about an effect and its tenant.
type State struct {
	Kind      string
	Command   Command
	NotAfter  time.Time // zero: none
	Mode      Mode      // in force now
	Connected bool
	Location  string
	ContactID string               // the lead's contact in the CRM; "" when not known
	Keys      Keys                 // that the lead was last written with
	Known     map[string]string    // what the contact is known to hold, by the vendor's names
	Omit      []string             // fields that are left out of an update, by the vendor's names
	Fact      time.Time            // when that happened which the command answers; zero: not known
	Facts     map[string]time.Time // when the newest fact happened that named a field, by the vendor's names
	Withheld  string               // code of why the person must not be reached; "" when nothing speaks against it
	Why       string               // the same for people
	Adopt     bool                 // the contact was found by its keys and was never written for this lead, so none of its fields is emptied
}

// Step is what to do with an effect: look its contact up, or send Calls, or end it as Status with Code and Detail.
type Step struct {
	Look   bool // find the contact by FindBy first; what is found decides
	Calls  []Call
	Status Status // set: the effect ends without a request
	Code   string
	Detail string
}

// Call is one request to the CRM, without host and token.
type Call struct {
	Endpoint string // label for metrics; a refused scope pauses one of them
	Method   string
	Path     string
	Body     []byte
	Lacks    string            // what the command asks for and this call can't carry; for people
	Writes   map[string]string // fields of the contact that the call sets, by the vendor's names; "" empties one
}

// Endpoints.
const (
	EndpointLookup = "contact_lookup"
	EndpointUpsert = "contact_upsert"
	EndpointUpdate = "contact_update"
)

// Next decides about one effect that is due. The mode is checked first: an effect that must not be sent needs no other decision.
func Next(s State, now time.Time) Step {
	switch {
	case !s.Connected || s.Mode == ModeOff:
		return Step{Status: Off}
	case s.Mode != ModeSend:
		return Step{Status: Recorded}
	case s.Withheld != "":
		return Step{Status: Failed, Code: s.Withheld, Detail: s.Why}
	}
	code, detail := s.Command.Problem(s.Kind)
	switch {
	case code != "":
		return Step{Status: Failed, Code: code, Detail: detail}
	case !s.NotAfter.IsZero() && now.After(s.NotAfter):
		return Step{Status: Failed, Code: CodeExpired, Detail: "not carried out by " + s.NotAfter.UTC().Format(time.RFC3339)}
	case s.ContactID == "" && s.FindBy() == (Keys{}):
		detail := "no contact of this lead is known in the CRM; upsert it first"
		if s.Kind == KindUpsert {
			detail = "no contact of this lead is known in the CRM, and a new one needs an e-mail address or a phone number"
		}
		return Step{Status: Failed, Code: CodeContactUnknown, Detail: detail}
	case s.ContactID == "":
		return Step{Look: true}
	}
	calls := Calls(s)
	switch {
	case len(calls) > 0:
		return Step{Calls: calls}
	case s.Kind == KindUpsert:
		if older := s.older(); len(older) > 0 {
			return Step{Status: Done, Code: CodeSuperseded, Detail: superseded(older)}
		}
		return Step{Status: Done, Code: CodeUnchanged, Detail: unchanged(s)}
	}
	return Step{Status: Done, Detail: "nothing to do"}
}

// Named lists, sorted, the fields that an upsert names, by the vendor's names.
func (s State) Named() []string {
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
func (s State) older() []string {
	var out []string
	if s.Kind != KindUpsert || s.Fact.IsZero() {
		return nil
	}
	for _, name := range s.Named() {
		if s.Facts[name].After(s.Fact) {
			out = append(out, name)
		}
	}
	return out
}

func superseded(fields []string) string {
	return "a newer fact has been written, so this was left out: " + strings.Join(fields, ", ")
}

func unchanged(s State) string {
	if s.Command.Company != "" {
		return noCompany
	}
	return "unchanged: the contact is known to hold all of this, so nothing was sent"
}

const noCompany = "the CRM takes no company in an update"

// FindBy gives the keys by which the contact is found: those of the command, else those that the lead was written with before.
func (s State) FindBy() Keys {
	return Keys{Email: strings.TrimSpace(s.Command.Email), Phone: strings.TrimSpace(s.Command.Phone)}.or(s.Keys)
}

// Makes reports whether a contact is created when none is found: only by an upsert that has a key itself. An update of other fields
// is about a contact that existed.
func (s State) Makes() bool {
	return s.Kind == KindUpsert && (s.Command.Email != "" || s.Command.Phone != "")
}

// Lookup is the request that finds a contact by one key ("email" or "phone"). It changes nothing.
func Lookup(location, name, value string) Call {
	q := url.Values{"locationId": {location}}
	if name == "phone" {
		name = "number"
	}
	q.Set(name, value)
	return Call{Endpoint: EndpointLookup, Method: http.MethodGet, Path: "/contacts/search/duplicate?" + q.Encode()}
}

// Endpoints lists which ones a step may call.
func (s Step) Endpoints(kind string) []string {
	var out []string
	if s.Look {
		out = append(out, EndpointLookup)
		switch kind {
		case KindUpsert:
			out = append(out, EndpointUpsert)
		case KindNote:
			out = append(out, endpointNote)
		}
	}
	for _, c := range s.Calls {
		out = append(out, c.Endpoint)
	}
	return out
}

const endpointNote = "note_add"

// Requests is how many requests a step costs where all goes well.
func (s Step) Requests() int {
	if s.Look {
		return 3
	}
	return len(s.Calls)
}

// Calls turns a command into requests. An upsert never holds tags, because the vendor would replace all tags by them; what the command
// does not name is left out, because unknown or null fields may be refused or clear what a person wrote. The contact of a lead that is
// known is updated by its id: the vendor finds contacts by e-mail address and phone number, and an upsert under a new address would make
// a second one. An update that changes nothing that the contact is known to hold is no request.
func Calls(s State) []Call {
	contact := "/contacts/" + url.PathEscape(s.ContactID)
	switch s.Kind {
	case KindUpsert:
		return upsertCalls(s, contact)
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
		return []Call{call(endpointNote, http.MethodPost, contact+"/notes", struct {
			Body string `json:"body"`
		}{s.Command.Body})}
	}
	return nil
}

func upsertCalls(s State, contact string) []Call {
	c := s.Command
	f := named(c)
	if s.ContactID == "" {
		upsert := call(EndpointUpsert, http.MethodPost, "/contacts/upsert", struct {
			LocationID string `json:"locationId"`
			fields
		}{s.Location, f})
		upsert.Writes = f.writes()
		return []Call{upsert}
	}
	lacks := ""
	if c.Company != "" {
		lacks = noCompany // it refuses the whole request for a field that it does not list
	}
	f.CompanyName = nil
	for name, to := range f.all() {
		if slices.Contains(s.Omit, name) {
			*to = nil
		}
	}
	if !s.Adopt {
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
		if have, known := s.Known[name]; known && *to != nil && same(name, string(**to), have) {
			*to = nil // what a person changed it to since then stays
		}
	}
	writes := f.writes()
	if len(writes) == 0 {
		return nil
	}
	update := call(EndpointUpdate, http.MethodPut, contact, f)
	update.Lacks, update.Writes = lacks, writes
	return []Call{update}
}

func same(name, a, b string) bool {
	switch {
	case a == "" || b == "":
		return a == b
	case name == "email":
		return sameEmail(a, b)
	case name == "phone":
		return samePhone(a, b)
	}
	return strings.TrimSpace(a) == strings.TrimSpace(b)
}

// Dropped compares what a call sent with the contact that came back. The vendor drops a key that belongs to another contact without a
// word; the vendor's names of the dropped fields are told, never their values. That it writes a number as E.164 or an address in lower
// case is nothing dropped.
func Dropped(c Call, answer []byte) []string {
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

func named(c Command) fields {
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

func call(endpoint, method, path string, body any) Call {
	b, err := json.Marshal(body)
	if err != nil {
		panic("effect: body of " + endpoint + ": " + err.Error()) // structs of strings always encode
	}
	return Call{Endpoint: endpoint, Method: method, Path: path, Body: b}
}
