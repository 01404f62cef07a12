package standin

import (
	"strings"
	"time"
)

// e164 gives a phone number as the vendor stores it: +, country, number. A number without a country gets that of the location's
// account (callingCode, digits), and loses its leading zero.
func e164(s, callingCode string) string {
	p := phoneKey(strings.ReplaceAll(s, "(0)", ""))
	switch {
	case p == "" || strings.HasPrefix(p, "+"):
		return p
	case strings.HasPrefix(p, "00"):
		return "+" + p[2:]
	case callingCode == "1" && len(p) == 11 && p[0] == '1':
		return "+" + p
	}
	return "+" + callingCode + strings.TrimPrefix(p, "0")
}

// merge is what a person does to two contacts that are one: the first is gone, and the second gets what it lacks.
func (l *location) merge(from, into string, now time.Time) bool {
	a, b := l.contacts[from], l.contacts[into]
	if a == nil || b == nil || from == into {
		return false
	}
	c := b.clone()
	l.remove(from, now)
	for k, v := range a.Fields {
		if c.Fields[k] == "" {
			c.Fields[k] = v
		}
	}
	c.Tags = lowerTags(append(c.Tags, a.Tags...))
	c.Notes = append(c.Notes, a.Notes...)
	c.DateUpdated = now
	l.put(c, now)
	return true
}

// callingCode is the country of numbers without one.
func (l *location) callingCode() string {
	if l.settings.CallingCode == "" {
		return "1"
	}
	return l.settings.CallingCode
}

// decodeContact is decodeContact with what only the location knows.
func (l *location) decodeContact(op string, body []byte) (input, *answer) {
	in, bad := decodeContact(op, body)
	if p := in.fields["phone"]; bad == nil && p != "" {
		in.fields["phone"] = e164(p, l.callingCode())
	}
	return in, bad
}
