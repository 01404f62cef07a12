package standin

import (
	"encoding/json"
	"strings"
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

// callingCode is the country of numbers without one.
func (l *location) callingCode() string {
	if l.settings.CallingCode == "" {
		return "1"
	}
	return l.settings.CallingCode
}

// decodeContact is decodeContact with what only the location knows.
func (l *location) decodeContact(op string, r request) (input, *answer) {
	in, bad := decodeContact(op, r.body)
	if bad != nil {
		return in, bad
	}
	if p := in.fields["phone"]; p != "" {
		in.fields["phone"] = e164(p, l.callingCode())
	}
	if in.custom != nil {
		b := &body{raw: map[string]json.RawMessage{"customFields": in.custom}}
		in.merge = func(have json.RawMessage) json.RawMessage { return l.customValues(r, b, "contact", have) }
		in.merge(nil)
		return in, b.refusal()
	}
	return in, nil
}
