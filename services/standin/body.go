package standin

import (
	"encoding/json"
	"net/http"
	"slices"
	"sort"
	"time"
)

// body reads a JSON object as the vendor's whitelist validation does: it goes on after a problem and names all of them at the end.
type body struct {
	raw      map[string]json.RawMessage
	problems []string
}

// open decodes the body of a request; fields that are not known are problems. An absent body is an empty object.
func (r request) open(known ...string) (*body, *answer) {
	if len(r.body) == 0 {
		return &body{raw: map[string]json.RawMessage{}}, nil
	}
	raw, bad := decodeObject(r.body)
	if bad != nil {
		return nil, bad
	}
	b := &body{raw: raw}
	for k := range raw {
		if !slices.Contains(known, k) {
			b.problem("property " + k + " should not exist")
		}
	}
	return b, nil
}

func (b *body) problem(text string) { b.problems = append(b.problems, text) }

func (b *body) has(key string) bool { _, sent := b.raw[key]; return sent }

// read decodes a field into to, which stays as it is when the field was not sent; what says what it must be.
func (b *body) read(key string, to any, what string) {
	v, sent := b.raw[key]
	if !sent {
		return
	}
	if string(v) == "null" || json.Unmarshal(v, to) != nil {
		b.problem(key + " must be " + what)
	}
}

func (b *body) text(key string, to *string) { b.read(key, to, "a string") }

// need reads texts that must be sent and not be empty.
func (b *body) need(key string, to *string) {
	b.text(key, to)
	if *to == "" {
		b.problem(key + " should not be empty")
	}
}

func (b *body) oneOf(key, value string, allowed ...string) {
	if b.has(key) && !slices.Contains(allowed, value) {
		b.problem(key + " must be one of the allowed values")
	}
}

// moment checks a field that holds a time with an offset.
func (b *body) moment(key, value string) {
	if !b.has(key) || value == "" {
		return
	}
	if _, err := time.Parse(time.RFC3339, value); err != nil {
		b.problem(key + " must be a valid ISO 8601 date string")
	}
}

// refusal is the 422 with all problems, or nil.
func (b *body) refusal() *answer {
	if len(b.problems) == 0 {
		return nil
	}
	sort.Strings(b.problems)
	a := unprocessable(slices.Compact(b.problems))
	return &a
}

// asked checks the query: names that are not known are refused with 422, as live probes saw even where the vendor's own older files
// list them (location_id), and locationId, where it is known, must be there and name the token's location; "locationId?" may be absent.
func (l *location) asked(r request, known ...string) *answer {
	var problems []string
	for k := range r.query {
		if !slices.Contains(known, k) && !slices.Contains(known, k+"?") {
			problems = append(problems, "property "+k+" should not exist")
		}
	}
	sort.Strings(problems)
	located := slices.Contains(known, "locationId")
	if located && r.query.Get("locationId") == "" {
		problems = append(problems, "locationId should not be empty")
	}
	if len(problems) > 0 {
		a := unprocessable(problems)
		return &a
	}
	if located || slices.Contains(known, "locationId?") && r.query.Has("locationId") {
		return l.wrongLocation(r.query.Get("locationId"))
	}
	return nil
}

func missing(what, id string) answer {
	return refuse(http.StatusNotFound, what+" with id "+id+" not found") // undocumented
}
