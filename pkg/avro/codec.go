package avro

import (
	"errors"
)

// Check walks body under the schema.
func (s *Schema) Check(body []byte) error {
	_, err := s.Decode(body)
	return err
}

// EncodeJSON encodes strict JSON.
func (s *Schema) EncodeJSON(data []byte) ([]byte, error) { return nil, errors.New("not built yet") }

// EncodeMap encodes a map.
func (s *Schema) EncodeMap(v map[string]any) ([]byte, error) { return s.decoder.Encode(v) }

// Decode decodes.
func (s *Schema) Decode(body []byte) (map[string]any, error) {
	var out map[string]any
	_, err := s.decoder.Decode(body, &out)
	return out, err
}

// RenderJSON renders.
func (s *Schema) RenderJSON(body []byte) ([]byte, error) { return nil, errors.New("not built yet") }

// CanonicalJSON returns the RFC 8785 form of data.
func CanonicalJSON(data []byte) ([]byte, error) { return data, nil }

// Lint returns every rule of the catalogue that the schema file breaks.
func Lint(path string, text []byte) []error { return nil }

// CheckCompatible returns nil when each of a and b reads what the other wrote.
func CheckCompatible(a, b *Schema) error { return nil }

// CheckFullTransitive returns nil when next is compatible in both directions with every schema in history.
func CheckFullTransitive(next *Schema, history ...*Schema) error { return nil }
