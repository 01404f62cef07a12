package standin

import (
	"encoding/json"
	"sort"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// maxContacts bounds one location; a create above it is refused with 507.
const (
	maxContacts = 200_000
	maxNotes    = 1_000 // per contact
	maxVersions = 16    // unindexed versions of a contact kept for the search lag
)

// Contact is one contact as the stand-in keeps it and as GET /_standin/contacts shows it.
type Contact struct {
	ID          string                `json:"id"`
	LocationID  string                `json:"locationId"`
	Fields      map[string]string     `json:"fields"` // vendor names: email, phone, firstName …
	DND         bool                  `json:"dnd,omitempty"`
	DNDSettings map[string]DNDSetting `json:"dndSettings,omitempty"` // by channel; dnd itself may be false all the while
	Custom      json.RawMessage       `json:"customFields,omitempty"`
	Tags        []string              `json:"tags"`
	Notes       []Note                `json:"notes"`
	DateAdded   time.Time             `json:"dateAdded"`
	DateUpdated time.Time             `json:"dateUpdated"`
}

// DNDSetting says whether a contact may be reached on one channel: not while Status is active or permanent.
type DNDSetting struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	Code    string `json:"code,omitempty"`
}

// Note is one note of a contact.
type Note struct {
	ID        string    `json:"id"`
	ContactID string    `json:"contactId"`
	Body      string    `json:"body"`
	Title     string    `json:"title,omitempty"`
	UserID    string    `json:"userId,omitempty"`
	DateAdded time.Time `json:"dateAdded"`
}

// LocationSettings are what an operator may set for a location.
type LocationSettings struct {
	Location              string   `json:"location"`
	Token                 string   `json:"token"`
	AllowDuplicateContact bool     `json:"allow_duplicate_contact"`
	MatchOrder            []string `json:"match_order,omitempty"`  // default email, phone
	CallingCode           string   `json:"calling_code,omitempty"` // of phone numbers without a country; default 1

	AllowDuplicateOpportunity bool   `json:"allow_duplicate_opportunity,omitempty"` // two of one contact in one pipeline
	Company                   string `json:"company,omitempty"`                     // default company-<location>
	Timezone                  string `json:"timezone,omitempty"`                    // default America/New_York

	Installed []string `json:"installed"`        // apps that may use it
	Agency    bool     `json:"agency,omitempty"` // consent gives its company's token, which does not open it
}

type version struct {
	at      time.Time
	contact *Contact // nil: deleted
}

type location struct {
	settings LocationSettings
	contacts map[string]*Contact
	history  map[string][]version // what the search index will come to see
	byEmail  map[string][]string  // ids in order of creation
	byPhone  map[string][]string
	limit    *window

	objects
	offered map[string]bool   // slots as free-slots wrote them, with their calendar's id before
	cursors map[string]cursor // of exports
	changes []record          // of objects, for the journal
}

func newLocation(s LocationSettings, limit *window) *location {
	if len(s.MatchOrder) == 0 {
		s.MatchOrder = []string{"email", "phone"}
	}
	return &location{
		settings: s, contacts: map[string]*Contact{}, history: map[string][]version{},
		byEmail: map[string][]string{}, byPhone: map[string][]string{}, limit: limit,
		objects: newObjects(), offered: map[string]bool{}, cursors: map[string]cursor{},
	}
}

// afterReset is the location with what was set up in it, and nothing else.
func (l *location) afterReset(limit *window) *location {
	n := newLocation(l.settings, limit)
	n.objects = l.emptied()
	return n
}

func (c *Contact) clone() *Contact {
	d := *c
	d.Fields = make(map[string]string, len(c.Fields))
	for k, v := range c.Fields {
		d.Fields[k] = v
	}
	d.DNDSettings = make(map[string]DNDSetting, len(c.DNDSettings))
	for k, v := range c.DNDSettings {
		d.DNDSettings[k] = v
	}
	d.Tags = append([]string{}, c.Tags...)
	d.Notes = append([]Note{}, c.Notes...)
	return &d
}

// render gives the vendor's view of a contact.
func (c *Contact) render() map[string]any {
	out := map[string]any{"id": c.ID, "locationId": c.LocationID, "tags": c.Tags, "dnd": c.DND, "dndSettings": c.DNDSettings,
		"dateAdded": c.DateAdded.UTC().Format("2006-01-02T15:04:05.000Z"), "dateUpdated": c.DateUpdated.UTC().Format("2006-01-02T15:04:05.000Z")}
	for k, v := range c.Fields {
		out[k] = v
	}
	if len(c.Custom) > 0 {
		out["customFields"] = c.Custom
	} else {
		out["customFields"] = []any{}
	}
	return out
}

// emailKey gives an address as it is stored: lower case, the domain in ASCII.
func emailKey(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if domain, err := idna.Lookup.ToASCII(s[i+1:]); err == nil {
			return s[:i+1] + domain
		}
	}
	return s
}

// phoneKey keeps a leading plus and the digits.
func phoneKey(s string) string {
	var b strings.Builder
	for i, r := range strings.TrimSpace(s) {
		if (r >= '0' && r <= '9') || (i == 0 && r == '+') {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// match finds the first contact that the keys hit, in the location's order, and by which field.
func (l *location) match(email, phone, except string) (id, field string) {
	for _, f := range l.settings.MatchOrder {
		var ids []string
		switch {
		case f == "email" && email != "":
			ids = l.byEmail[emailKey(email)]
		case f == "phone" && phone != "":
			ids = l.byPhone[phoneKey(phone)]
		}
		for _, id := range ids {
			if id != except {
				return id, f
			}
		}
	}
	return "", ""
}

// put stores a contact (new or changed), its keys and its version for the search index.
func (l *location) put(c *Contact, now time.Time) {
	if old := l.contacts[c.ID]; old != nil {
		l.unindex(old)
	}
	l.contacts[c.ID] = c
	if e := emailKey(c.Fields["email"]); e != "" {
		l.byEmail[e] = append(l.byEmail[e], c.ID)
	}
	if p := phoneKey(c.Fields["phone"]); p != "" {
		l.byPhone[p] = append(l.byPhone[p], c.ID)
	}
	l.remember(c.ID, version{at: now, contact: c.clone()})
}

func (l *location) remove(id string, now time.Time) {
	l.unindex(l.contacts[id])
	delete(l.contacts, id)
	l.remember(id, version{at: now})
}

func (l *location) remember(id string, v version) {
	h := append(l.history[id], v)
	if len(h) > maxVersions {
		h = h[len(h)-maxVersions:]
	}
	l.history[id] = h
}

func (l *location) unindex(c *Contact) {
	drop := func(m map[string][]string, key string) {
		ids := m[key]
		for i, id := range ids {
			if id == c.ID {
				ids = append(append([]string{}, ids[:i]...), ids[i+1:]...)
				break
			}
		}
		if len(ids) == 0 {
			delete(m, key)
			return
		}
		m[key] = ids
	}
	if e := emailKey(c.Fields["email"]); e != "" {
		drop(l.byEmail, e)
	}
	if p := phoneKey(c.Fields["phone"]); p != "" {
		drop(l.byPhone, p)
	}
}

// indexed returns what the search index shows at now: of each contact the newest version that is at least lag old.
func (l *location) indexed(now time.Time, lag time.Duration) []*Contact {
	var out []*Contact
	for id, h := range l.history {
		visible := -1
		for i, v := range h {
			if now.Sub(v.at) >= lag {
				visible = i
			}
		}
		if visible < 0 {
			continue
		}
		h = h[visible:]
		l.history[id] = h
		if h[0].contact == nil {
			if len(h) == 1 {
				delete(l.history, id)
			}
			continue
		}
		out = append(out, h[0].contact)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].DateAdded.Equal(out[j].DateAdded) {
			return out[i].DateAdded.Before(out[j].DateAdded)
		}
		return out[i].ID < out[j].ID
	})
	return out
}

// sorted lists the contacts as they are now, oldest first.
func (l *location) sorted() []*Contact {
	out := make([]*Contact, 0, len(l.contacts))
	for _, c := range l.contacts {
		out = append(out, c.clone())
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].DateAdded.Equal(out[j].DateAdded) {
			return out[i].DateAdded.Before(out[j].DateAdded)
		}
		return out[i].ID < out[j].ID
	})
	return out
}

// lowerTags gives the tags as the vendor stores them: lower case, no repeats, in order of first sight.
func lowerTags(tags []string) []string {
	out := []string{}
	seen := map[string]bool{}
	for _, t := range tags {
		t = strings.ToLower(strings.TrimSpace(t))
		if t == "" || seen[t] {
			continue
		}
		seen[t] = true
		out = append(out, t)
	}
	return out
}
