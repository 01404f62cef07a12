package rules_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const scoring = `apiVersion: neuronx/v1
kind: Rule
metadata: {name: score}
spec:
  on: [lead.created]
  when: data.email != null
  emit:
    - type: lead.scored
      data:
        lead_id: data.lead_id
        score: 'data.channel == "referral" ? 50 : 15'
  set:
    scored: "true"
`

// created is lead 42, as the log has it, under the rule of this file.
func created(data map[string]any) (rules.Input, error) {
	set, problems := ruleset.Compile([]ruleset.File{{Name: "score.yaml", Text: scoring}})
	if err := problems.Err(); err != nil {
		return rules.Input{}, err
	}
	catalogue, err := ruleset.Embedded()
	if err != nil {
		return rules.Input{}, err
	}
	schemas := rules.Schemas{}
	for _, typ := range set.EmitTypes() {
		id, schema, err := catalogue.ByType(context.Background(), typ)
		if err != nil {
			return rules.Input{}, err
		}
		schemas[typ] = rules.Schema{ID: id, Avro: schema}
	}
	e := event.Event{TenantID: "acme", ID: "lead-42", Source: "/my/form", Type: "lead.created", Subject: "lead/42"}
	return rules.Input{
		Event: event.Recorded{Event: e, Sequence: 1, Position: 1 << 40, RecordedTime: time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)},
		Data:  data, Version: 1, Semantics: ruleset.Semantics, Set: set, Schemas: schemas,
	}, nil
}

// Evaluate the rules that answer an event. It is pure: what it returns is written by the service in one transaction.
func ExampleEvaluate() {
	in, err := created(map[string]any{"lead_id": "42", "email": "ada@example.com", "channel": "referral"})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := rules.Evaluate(in)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, out := range result.Outputs {
		_, body, err := event.Unframe(out.Value)
		if err != nil {
			fmt.Println(err)
			return
		}
		data, err := in.Schemas[out.Type].Avro.RenderJSON(body)
		fmt.Println(out.Rule, "derives", out.Type, "about", out.Subject, string(data), err)
	}
	fmt.Println(result.State)
	// Output:
	// score derives lead.scored about lead/42 {"lead_id":"42","score":50,"reason":null} <nil>
	// map[scored:true]
}

// The test of a rule is an event in, and what it derives.
func TestScore_LeavesLeadsWithoutAnAddressAlone(t *testing.T) {
	in, err := created(map[string]any{"lead_id": "42", "email": nil, "channel": "referral"})
	if err != nil {
		t.Fatal(err)
	}
	result, err := rules.Evaluate(in)
	if err != nil || result.Fired != 0 || len(result.Outputs) != 0 || result.Failed != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}
