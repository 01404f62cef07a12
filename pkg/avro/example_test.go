package avro_test

import (
	"fmt"

	"github.com/neuronx/engine/pkg/avro"
)

// Encode JSON strictly under a schema, and render it back.
func ExampleSchema_EncodeJSON() {
	s, err := avro.Parse([]byte(`{"type": "record", "name": "LeadScored", "namespace": "neuronx.lead.v1", "fields": [
		{"name": "lead_id", "type": "string"}, {"name": "score", "type": "long"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := s.EncodeJSON([]byte(`{"lead_id": "42", "score": 50}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := s.RenderJSON(body)
	fmt.Printf("% x %s %v\n", body, text, err)
	// Output: 04 34 32 64 {"lead_id":"42","score":50} <nil>
}
