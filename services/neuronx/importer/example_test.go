package importer_test

import (
	"fmt"

	"github.com/neuronx/engine/services/neuronx/importer"
)

// A spec maps rows to events. The same tenant, spec and row give the same ids, so that a second import is all duplicates.
func ExampleSpec_Map() {
	spec, err := importer.Parse([]byte(`apiVersion: neuronx/v1
kind: Import
metadata: {name: leads}
spec:
  inputs:
    - file: leads.csv
      format: csv
      zone: Europe/Berlin
      events:
        - type: lead.created
          id: row.id
          subject: "'lead/' + row.id"
          time: row.day
          data: {lead_id: row.id, email: row.email}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	row := importer.Row{Number: 1, Line: 2, Values: map[string]any{"id": "42", "day": "2026-11-30", "email": "ada@example.com"}}
	events, err := spec.Map("acme", spec.Inputs[0], row)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range events {
		fmt.Println(e.Type, e.Subject, e.Time, e.Origin, e.Data)
	}
	// Output: lead.created lead/42 2026-11-29T23:00:00Z import map[email:ada@example.com lead_id:42]
}
