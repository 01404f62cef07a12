package rules

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// run evaluates rules on events of several subjects in a row and gives the health of the rule r.
func run(t *testing.T, semantics int64, spec, typ string, events ...map[string]any) (Health, []Output) {
	t.Helper()
	set, problems := ruleset.CompileFor(semantics, []ruleset.File{ruleFile("r", spec), ruleFile("z", "on: [lead.lost]\nset: {seen: '1'}")}, nil)
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
		for _, semantics := range []int64{3, 4} {
			onlyByData(t, name, semantics, c.spec, c.code, c.with)
		}
		if old, _ := run(t, 2, c.spec, "lead.created", times(FailureLimit, leadData(c.with))...); old.Failures != FailureLimit {
			t.Errorf("%s: semantics 2 counts %d failures; what was published keeps its meaning", name, old.Failures)
		}
	}
}

// onlyByData expects that a rule fails on every event and that none of the failures counts toward a trip.
func onlyByData(t *testing.T, name string, semantics int64, spec, code string, with map[string]any) {
	t.Helper()
	h, outputs := run(t, semantics, spec, "lead.created", times(3*FailureLimit, leadData(with))...)
	if h.Failures != 0 || h.Tripped != "" || h.ByData != 3*FailureLimit || h.LastData != code {
		t.Errorf("%s, semantics %d: %+v", name, semantics, h)
	}
	if len(outputs) != 1 || outputs[0].Type != typeFailed {
		t.Errorf("%s, semantics %d: %d reports of one kind of failure, want 1", name, semantics, len(outputs))
	}
}

// Each of these counted toward a trip under semantics 3: five leads with a zero in a field switched the rule off for everybody.
func TestEvaluate_UnderSemantics4NoFailureCountsThatAValueHadAPartIn(t *testing.T) {
	zero, huge := map[string]any{"source": "0"}, map[string]any{"source": "9223372036854775807"}
	set := func(expression string) string { return "on: [lead.created]\nset: {a: '" + expression + "'}" }
	decimal := strings.Repeat("9", 38)
	for name, c := range map[string]struct {
		spec string
		with map[string]any
		code string
	}{
		"a division by zero":                       {set("100 / int(data.source)"), zero, expr.CodeArithmetic},
		"a modulo by zero":                         {set("100 % int(data.source)"), zero, expr.CodeArithmetic},
		"a decimal division by zero":               {set(`decimal("1") / decimal(data.source)`), zero, expr.CodeArithmetic},
		"a sum that overflows":                     {set("int(data.source) + 1"), huge, expr.CodeArithmetic},
		"a product that overflows":                 {set("int(data.source) * 2"), huge, expr.CodeArithmetic},
		"a negation that overflows":                {set("-int(data.source)"), map[string]any{"source": "-9223372036854775808"}, expr.CodeArithmetic},
		"a decimal that overflows":                 {set("decimal(data.source) * decimal(data.source) * decimal(data.source)"), map[string]any{"source": decimal}, expr.CodeArithmetic},
		"a decimal that no integer holds":          {set("int(decimal(data.source))"), map[string]any{"source": decimal}, expr.CodeArithmetic},
		"a double that is infinite":                {set("1.0 / double(data.source)"), zero, expr.CodeArithmetic},
		"a text that is no number":                 {set("double(data.source)"), map[string]any{"source": "many"}, expr.CodeFailed},
		"a text that is no duration":               {set("(event.time + duration(data.source)).getHours()"), map[string]any{"source": "soon"}, expr.CodeFailed},
		"a text that is no pattern":                {set("data.lead_id.matches(data.source)"), map[string]any{"source": "("}, expr.CodeFailed},
		"an index out of range":                    {set("data.source.split(\",\")[3]"), map[string]any{"source": "a,b"}, expr.CodeMissingKey},
		"an index out of range or unknown state":   {set("has(state.nothing) || data.source.split(\",\")[3] == \"x\""), map[string]any{"source": "a,b"}, expr.CodeMissingKey},
		"a field that the producer's schema lacks": {set("data.nothing == 1"), nil, expr.CodeMissingKey},
		"a field of another kind":                  {set("data.source.startsWith(\"w\")"), map[string]any{"source": int64(7)}, expr.CodeType},
		"kinds of state that data chose":           {set("dyn(data.source == \"x\" ? 1 : 0) == 1 ? 1 : dyn(data.source) + 1"), map[string]any{"source": "y"}, expr.CodeType},
		"state that can't be read again":           {set("{data.source: 1}"), map[string]any{"source": "$time"}, codeInvalidState},
		"a subject of another kind": {"on: [lead.created]\nemit:\n  - {type: lead.lost, subject: 'dyn(data.source)', data: {lead_id: data.lead_id}}",
			map[string]any{"source": int64(7)}, codeInvalidSubject},
	} {
		onlyByData(t, name, 4, c.spec, c.code, c.with)
	}
}

// A flood about one subject runs into the bound of derived events a minute; it must take five subjects to trip the rules that answer it.
func TestFailedOn_AFloodAboutOneSubjectTripsNoRule(t *testing.T) {
	r, _ := happened("lead.created", nil)
	var h Health
	for n := range 3 * FailureLimit {
		r.Sequence++
		var trips bool
		h, _, trips = h.failedOn(Input{Event: r, Semantics: 4, PublishedAt: 1}, &ruleFailure{code: codeRate})
		if trips || h.Failures != 1 {
			t.Fatalf("failure %d: %+v, trips %v", n+1, h, trips)
		}
	}
	for n := range FailureLimit - 1 {
		r.Sequence++
		r.Subject = fmt.Sprint("lead/other-", n)
		var trips bool
		if h, _, trips = h.failedOn(Input{Event: r, Semantics: 4, PublishedAt: 1}, &ruleFailure{code: codeRate}); trips != (n == FailureLimit-2) {
			t.Errorf("subject %d: %+v, trips %v", n+2, h, trips)
		}
	}
}

func TestEvaluate_UnderSemantics4WhatFailsWhateverTheEventHoldsStillTrips(t *testing.T) {
	for name, spec := range map[string]string{
		"an unknown type":       "on: [lead.created]\nemit:\n  - {type: lead.melted, data: {lead_id: data.lead_id}}",
		"a constant that fails": "on: [lead.created]\nset: {a: 1 / 0}",
		"a constant subject":    "on: [lead.created]\nemit:\n  - {type: lead.lost, subject: '\"a\\nb\"', data: {lead_id: data.lead_id}}",
		"a constant field":      "on: [lead.created]\nemit:\n  - {type: lead.scored, data: {lead_id: '\"x\"', score: '4294967296'}}",
	} {
		h, outputs := run(t, 4, spec, "lead.created", times(FailureLimit, leadData(nil))...)
		if h.Failures != FailureLimit || h.ByData != 0 || len(outputs) != FailureLimit {
			t.Errorf("%s: %+v with %d reports", name, h, len(outputs))
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
		"an unknown type":               "on: [lead.created]\nemit:\n  - {type: lead.melted, data: {lead_id: data.lead_id}}",
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
