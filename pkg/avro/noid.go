package avro

import "bytes"

// NamesNothing tells whether a text can't be the id of anything: it is empty or blank, it is what a program writes where a value is missing
// (JavaScript, Python, Go, SQL, C, spreadsheets), or a place in a template that nothing was put into, such as {{contact.id}}. All things
// whose id was missing would be one thing with it: one lead, with the contact of the first one.
func NamesNothing(id []byte) bool {
	if len(id) == 0 {
		return true
	}
	switch c := id[0]; {
	case c <= ' ' || c >= 0x80:
		return len(bytes.TrimSpace(id)) == 0
	case c >= '0' && c <= '9': // most ids
		return false
	}
	switch string(id) {
	case "null", "NULL", "undefined", "NaN", "nan", "None", "nil", "<nil>", "(null)", "[object Object]",
		"N/A", "n/a", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#NULL!":
		return true
	}
	return bytes.HasPrefix(id, []byte("{{")) && bytes.HasSuffix(id, []byte("}}")) || bytes.HasPrefix(id, []byte("${")) && bytes.HasSuffix(id, []byte("}"))
}

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
