package avro

import (
	"bytes"
	"unicode"
)

const nilUUID = "00000000-0000-0000-0000-000000000000" // RFC 9562, 5.9

// templates are how mail programs, form builders and template languages write a place for a value.
var templates = []struct{ begin, end string }{{"{{", "}}"}, {"${", "}"}, {"#{", "}"}, {"<%", "%>"}, {"[[", "]]"}, {"*|", "|*"}, {"%", "%"}}

// NamesNothing tells whether a text can't be the id of anything: it is empty or nothing of it can be seen, it is what a program writes where
// a value is missing (JavaScript, Python, Go, SQL, C, spreadsheets, a UUID that was never made), what shops and CRMs export where a record
// refers to none (0 for a guest, -1, the key of zeros of Salesforce), or a place in a template that nothing was put into, such as
// {{contact.id}} or %LEAD_ID%. All things whose id was missing would be one thing with it: one lead, with the contact of the first one. An
// id 0 that is real is one record, which its producer can send under another name; people who became one can't be told apart again.
func NamesNothing(id []byte) bool {
	if len(id) == 0 {
		return true
	}
	switch c := id[0]; {
	case c <= ' ' || c >= 0x80:
		return len(bytes.TrimLeftFunc(id, unseen)) == 0
	case c >= '0' && c <= '9': // most ids
		return c == '0' && isZero(id)
	}
	switch string(id) {
	case "-1", "-1.0", "null", "NULL", "undefined", "NaN", "nan", "None", "nil", "<nil>", "(null)", "[object Object]",
		"N/A", "n/a", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#NULL!":
		return true
	}
	if c := id[0] | 0x20; c >= 'a' && c <= 'z' { // no template begins with a letter
		return false
	}
	for _, t := range templates {
		if len(id) > len(t.begin)+len(t.end) && string(id[:len(t.begin)]) == t.begin && string(id[len(id)-len(t.end):]) == t.end {
			return true
		}
	}
	return false
}

// isZero tells the forms of zero that programs and CRMs write for no record: the number, also as what a column of fractions makes of it, and
// the keys of zeros. Other texts of zeros, such as 0000, are somebody's numbers.
func isZero(id []byte) bool {
	switch string(id) {
	case "0", "0.0", nilUUID, "000000000000000", "000000000000000AAA": // the last two are Salesforce's
		return true
	}
	return false
}

// unseen tells a space or a character that only formats, such as the zero width space.
func unseen(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// Unnamed finds an id that the thing of an event must have, and that names nothing: a field that the subject follows from and that can't be
// null. It returns the name of the field; "" where there is none.
func (s *Schema) Unnamed(eventType string, body []byte) (field string, value []byte) {
	rules := s.subjects
	if s.roles != nil {
		rules = s.role(eventType).rules
	}
	for i := range rules {
		r := &rules[i]
		if s.program[r.at-1].null != 0 {
			continue
		}
		if value = s.textAt(body, r.at); value != nil && NamesNothing(value) {
			return r.field, value
		}
	}
	return "", nil
}
