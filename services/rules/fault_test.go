package rules

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// run evaluates rules on events of several subjects in a row and gives the health of the rule r.
func run(t *testing.T, semantics int64, spec, typ string, events ...map[string]any) (Health, []Output) {
	t.Helper()
	set, problems := ruleset.CompileFor(semantics, []ruleset.File{ruleFile("r", spec), ruleFile("z", "on: [lead.lost]\nset: {seen: '1'}")})
	if set == nil {
		t.Fatal(problems)
	}
	health := map[string]Health{}
	schemas := allSchemas(t, set)
	var outputs []Output
	for i, data := range events {
		e, _ := happened(typ, nil)
		e.Sequence, e.Subject = int64(10+i), fmt.Sprint("lead/", i)
		res, err := Evaluate(Input{Event: e, Data: data, Version: 1, Set: set, Schemas: schemas, Semantics: semantics, Health: health, PublishedAt: 1})
		if err != nil {
			t.Fatal(err)
		}
		if h, changed := res.Health["r"]; changed {
			health["r"] = h
		}
		outputs = append(outputs, res.Outputs...)
	}
	return health["r"], outputs
}

func times(n int, data map[string]any) (out []map[string]any) {
	for range n {
		out = append(out, data)
	}
	return out
}

func TestEvaluate_DataAloneNeverTripsARule(t *testing.T) {
	emit := func(field, expression string) string {
		return "on: [lead.created]\nemit:\n  - {type: lead.scored, data: {lead_id: data.lead_id, " + field + ": '" + expression + "'}}"
	}
	for name, c := range map[string]struct {
		spec string
		with map[string]any
		code string
	}{
		"a null operand":             {"on: [lead.created]\nwhen: data.phone.startsWith(\"+1\")\nset: {a: '1'}", nil, expr.CodeType},
		"a null condition":           {"on: [lead.created]\nwhen: data.phone\nset: {a: '1'}", nil, expr.CodeType},
		"a text that is no number":   {emit("score", "int(data.source)"), map[string]any{"source": "web"}, expr.CodeFailed},
		"a zone that does not exist": {"on: [lead.created]\nwhen: event.time.getHours(data.channel) > 9\nset: {a: '1'}", map[string]any{"channel": "phone"}, expr.CodeFailed},
		"a part that is not there":   {"on: [lead.created]\nwhen: data.email.split(\"@\")[1] == \"x\"\nset: {a: '1'}", map[string]any{"email": "nobody"}, expr.CodeMissingKey},
		"a number over the field's":  {emit("score", "int(data.source) * 1000000"), map[string]any{"source": "9999"}, codeInvalidData},
		"a null in a required field": {"on: [lead.created]\nemit:\n  - {type: lead.scored, data: {lead_id: data.phone, score: '1'}}", nil, codeInvalidData},
		"a subject with a line feed": {"on: [lead.created]\nemit:\n  - {type: lead.lost, subject: data.company, data: {lead_id: data.lead_id}}", map[string]any{"company": "a\nb"}, codeInvalidSubject},
		"a null as the subject":      {"on: [lead.created]\nemit:\n  - {type: lead.lost, subject: data.company, data: {lead_id: data.lead_id}}", nil, codeInvalidSubject},
		"state that is not set yet":  {"on: [lead.created]\nwhen: state.seen == 1\nset: {a: '1'}", nil, expr.CodeMissingKey},
		"a date that is none":        {"on: [lead.created]\nwhen: timestamp(data.source) > event.time\nset: {a: '1'}", map[string]any{"source": "soon"}, expr.CodeFailed},
	} {
		h, outputs := run(t, 3, c.spec, "lead.created", times(3*FailureLimit, leadData(c.with))...)
		if h.Failures != 0 || h.Tripped != "" || h.ByData != 3*FailureLimit || h.LastData != c.code {
			t.Errorf("%s: %+v", name, h)
		}
		if len(outputs) != 1 || outputs[0].Type != typeFailed {
			t.Errorf("%s: %d reports of one kind of failure, want 1", name, len(outputs))
		}
		if old, _ := run(t, 2, c.spec, "lead.created", times(FailureLimit, leadData(c.with))...); old.Failures != FailureLimit {
			t.Errorf("%s: semantics 2 counts %d failures; what was published keeps its meaning", name, old.Failures)
		}
	}
}

func TestEvaluate_WhatFailsOnOrdinaryEventsStillTrips(t *testing.T) {
	full := map[string]any{}
	for k := range leadData(nil) {
		full[k] = "x"
	}
	for name, spec := range map[string]string{
		"kinds that do not go together": "on: [lead.created]\nwhen: data.phone > 5\nset: {a: '1'}",
		"state that no rule sets":       "on: [lead.created]\nwhen: state.nothing == 1\nset: {a: '1'}",
		"a field that no schema has":    "on: [lead.created]\nwhen: data.nothing == 1\nset: {a: '1'}",
		"a type that nobody knows":      "on: [lead.created]\nemit:\n  - {type: lead.melted, data: {lead_id: data.lead_id}}",
		"a division by zero":            "on: [lead.created]\nset: {a: 1 / (event.sequence * 0)}",
		"a constant that fails":         "on: [lead.created]\nset: {a: 1 / 0}",
	} {
		h, outputs := run(t, 3, spec, "lead.created", times(FailureLimit, full)...)
		if h.Failures != FailureLimit || h.ByData != 0 || len(outputs) != FailureLimit {
			t.Errorf("%s: %+v with %d reports", name, h, len(outputs))
		}
	}
}

func TestEvaluate_MoneyIsCalculatedAsDecimalsUnderSemantics3(t *testing.T) {
	value := func(v any) map[string]any {
		return map[string]any{"opportunity_id": "o1", "lead_id": "l1", "value": v, "currency": "EUR", "segment": "commission"}
	}
	spec := "on: [opportunity.won]\nwhen: data.value >= 100\nemit:\n  - type: opportunity.created\n    data: {opportunity_id: data.opportunity_id, value: data.value * 1.1, name: string((data.value * 0.19).round(2))}\nset: {sum: 'data.value + 0.005', last: data.value}"
	h, outputs := run(t, 3, spec, "opportunity.won", value(expr.Decimal("100.0000")), value(expr.Decimal("99.9999")), value(expr.Decimal("9000.0001")))
	if h.Failures != 0 || len(outputs) != 2 {
		t.Fatalf("%+v, %d outputs", h, len(outputs))
	}
	_, schema, err := catalogue(t).ByType(t.Context(), "opportunity.created")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]string{{"110.0000", "19.00"}, {"9900.0001", "1710.00"}} {
		_, body, err := event.Unframe(outputs[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := schema.Decode(body); err != nil || data["value"] != want[0] || data["name"] != want[1] {
			t.Errorf("%v (%v), want %v", data, err, want)
		}
	}
}

func TestState_KeepsDecimals(t *testing.T) {
	s := State{"sum": expr.Decimal("-12.5000"), "list": []any{expr.Decimal("1")}}
	b, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeState(b)
	if err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("%s came back as %#v (%v)", b, back, err)
	}
}

// The same texts mean another thing under other semantics, and both tenants are in one batch after the other.
func TestApply_ABundleKeepsTheLanguageItWasPublishedIn(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	texts := []ruleset.File{ruleFile("big", "on: [opportunity.created]\nset: {big: 9000 < data.value, value: data.value}")}
	for _, tenant := range []string{"old", "new"} {
		data := ruleset.PublishedData(texts, 1, "")
		if tenant == "old" {
			data["semantics"] = int64(2)
		}
		b.apply(h, nil, runOf(b.recorded(tenant, typePublished, "rules/"+tenant, data)))
		for range 2 { // compiled and found again
			b.apply(h, nil, runOf(b.recorded(tenant, "opportunity.created", "opportunity/1", map[string]any{"opportunity_id": "1", "value": "12000"})))
		}
	}
	for tenant, want := range map[string]string{"old": "none f:1", "new": `{"big":true,"value":{"$decimal":"12000.0000"}} f:0`} {
		var got string
		err := b.pool.QueryRow(t.Context(), `SELECT coalesce((SELECT state::text FROM neuronx.rule_state WHERE tenant_id = $1), 'none') || ' f:' ||
			coalesce((SELECT failures FROM neuronx.rule_health WHERE tenant_id = $1), 0)`, tenant).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", tenant, got, err, want)
		}
	}
}
