package rules

import (
	"context"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// oneSchema knows the same schema under every number.
type oneSchema struct{ *avro.Schema }

func (s oneSchema) SchemaByID(context.Context, int32) (*avro.Schema, error) { return s.Schema, nil }

func TestDecode_WhatAStrangersRecordLacksIsNullToARule(t *testing.T) {
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	byName, byType := map[string]*avro.Schema{}, map[string]*avro.Schema{}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		byName[s.FullName()], byType[s.EventType()] = s, s
	}
	set := compiled(t, ruleFile("r", `on: [lead.created]
when: data.source == null
emit:
  - type: lead.scored
    data: {lead_id: data.lead_id, score: 'data.email != null ? 10 : 0', reason: data.channel}`))
	for name, text := range map[string]string{
		"a stranger's record":           `{"type":"record","name":"NewLead","namespace":"acme","fields":[{"name":"lead_id","type":"string"},{"name":"email","type":"string"}]}`,
		"an earlier version of our own": `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","event_type":"lead.created","fields":[{"name":"lead_id","type":"string"},{"name":"email","type":"string"}]}`,
	} {
		s, err := avro.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s = s.Within(func(n string) *avro.Schema { return byName[n] }, func(n string) *avro.Schema { return byType[n] })
		body, err := s.EncodeMap(map[string]any{"lead_id": "42", "email": "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := happened("lead.created", nil)
		r.Value = event.Frame(7, body)
		data, err := decode(t.Context(), consumer.NewDecoder(oneSchema{s}), &r, ruleset.Semantics)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := data["campaign"]; !is || data["email"] != "ada@example.com" || len(data) != len(leadData(nil)) {
			t.Errorf("%s: %v", name, data)
		}
		got, err := Evaluate(Input{Event: r, Data: data, Version: 1, Set: set, Schemas: allSchemas(t, set), Semantics: ruleset.Semantics, PublishedAt: 1})
		if err != nil || got.Failed != 0 || len(got.Outputs) != 1 {
			t.Errorf("%s: %v, %d failed, outputs %v", name, err, got.Failed, got.Outputs)
		}
		if before, err := decode(t.Context(), consumer.NewDecoder(oneSchema{s}), &r, 2); err != nil || len(before) != 2 {
			t.Errorf("%s, under the semantics before: %v %v", name, before, err)
		}
	}
}
