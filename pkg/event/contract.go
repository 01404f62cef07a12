package event

import (
	"crypto/sha256"
	"encoding/hex"
)

// Contract is what the schema of an event's data says of its attributes; *avro.Schema is one.
type Contract interface {
	EventType() string                                                   // "" where the schema says none
	ImpliedType() string                                                 // from the record's full name
	Serves(eventType string) error                                       // whether data of the schema may be of this type
	Subject(eventType string, body []byte) (prefix string, value []byte) // what the data says the subject is
	Names(subject string, body []byte) bool                              // whether the data names a subject that is not that one
	Unnamed(eventType string, body []byte) (field string, value []byte)  // the id of the event's thing, where it names nothing
}

// Adopt takes type and subject from the schema of the event's data where its producer left them out, and refuses those that the schema or the
// data contradict, and data whose own id names nothing. The type is the schema's property event_type; where it has none, it is
// the one that the producer sent, else what the record's full name gives. body may be anything: what can't be read has no subject. It is for
// what comes from outside.
func (e *Event) Adopt(c Contract, body []byte) *Refusal {
	if r := e.AdoptType(c); r != nil {
		return r
	}
	return e.adoptSubject(c, body)
}

// AdoptType is Adopt for the type alone.
func (e *Event) AdoptType(c Contract) *Refusal {
	switch own := c.EventType(); {
	case own != "" && e.Type == "" && ValidType(own):
		e.Type = own
	case own != "" && e.Type != own:
		return Refuse(CodeTypeMismatch, "ce_type is %s, the schema is of %s", e.Type, own)
	case own == "":
		if implied := c.ImpliedType(); e.Type == "" && ValidType(implied) {
			e.Type = implied
		}
		if e.Type == "" {
			return Refuse(CodeInvalidSchema, "nothing tells the event's type: there is no ce_type, the schema has no property event_type, and the record's name gives none").
				Hint("send ce_type, such as deal.closed")
		}
	}
	if err := c.Serves(e.Type); err != nil {
		return Refuse(CodeTypeMismatch, "the record can't be data of %s: %v", e.Type, err).Hint("send a ce_type of your own, such as acme.deal.closed")
	}
	return nil
}

func (e *Event) adoptSubject(c Contract, body []byte) *Refusal {
	if field, value := c.Unnamed(e.Type, body); field != "" {
		return Refuse(CodeInvalidBody, "%s is %.40q, which is the id of nothing: it is empty, or what programs write where a value is missing", field, value).
			At("/data/" + field).Hint("send the id; all that lack one would become one and the same. Where it is a real id, put something before it, such as crm-0")
	}
	prefix, value := c.Subject(e.Type, body)
	if len(value) == 0 || len(e.Subject) == len(prefix)+len(value) && e.Subject[:len(prefix)] == prefix && e.Subject[len(prefix):] == string(value) {
		return nil
	}
	want, exact := subjectOf(prefix, string(value))
	switch {
	case e.Subject == "":
		e.Subject = want
		return nil
	case !exact || e.Subject == want || c.Names(e.Subject, body):
		return nil
	}
	return Refuse(CodeInvalidAttribute, "the subject is %.100q, and the data says %.100q", e.Subject, want).At("header " + hSubject).
		Hint("leave the subject out: it follows from the data")
}

// subjectOf is a subject of a value in data. A value that no attribute can hold is told from others by its SHA-256.
func subjectOf(prefix, value string) (subject string, exact bool) {
	subject = prefix + value
	if _, err := scanText(subject, maxSubject); err == nil && checkCharacters(subject) == nil {
		return subject, true
	}
	sum := sha256.Sum256([]byte(value))
	return prefix + "sha256:" + hex.EncodeToString(sum[:]), false
}
