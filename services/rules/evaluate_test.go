package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

var recordedAt = time.Date(2026, 5, 6, 7, 8, 9, 123000, time.UTC)

func compiled(t testing.TB, files ...ruleset.File) *ruleset.Set {
	t.Helper()
	set, problems := ruleset.Compile(files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

func allSchemas(t testing.TB, set *ruleset.Set) Schemas {
	t.Helper()
	out := Schemas{}
	if err := fillSchemas(t.Context(), catalogue(t), out, append(set.EmitTypes(), typeFailed)); err != nil {
		t.Fatal(err)
	}
	return out
}

func happened(typ string, data map[string]any) (event.Recorded, map[string]any) {
	return event.Recorded{
		Event: event.Event{TenantID: "t1", ID: "cause-1", Source: "/test", Type: typ, Subject: "lead/42", Time: recordedAt.Add(-time.Hour),
			CorrelationID: "corr", Hops: 3, Path: []string{"a.b<x@1", "a.b<x@1", "a.b<x@1"}, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		Sequence: 17, Position: 1 << 40, RecordedTime: recordedAt, LogID: "log",
	}, data
}

// leadData is lead.created as it is decoded: every field is there, null where it was left out.
func leadData(with map[string]any) map[string]any {
	data := map[string]any{"lead_id": "42"}
	for _, f := range []string{"email", "phone", "first_name", "last_name", "company", "source", "channel", "campaign", "country", "owner_id", "status"} {
		data[f] = nil
	}
	for k, v := range with {
		data[k] = v
	}
	return data
}

func TestEvaluate(t *testing.T) {
	scored := func(expr string) ruleset.File {
		return ruleFile("r", "on: [lead.created]\nemit:\n  - type: lead.scored\n    data: {lead_id: data.lead_id, score: '"+expr+"'}")
	}
	type want struct {
		outputs []string // type subject index
		state   State
		health  map[string]Health
		code    string // of the failure
	}
	for name, c := range map[string]struct {
		files  []ruleset.File
		with   map[string]any
		origin event.Origin
		state  State
		health map[string]Health
		want   want
	}{
		"fires": {files: []ruleset.File{scored("40 + 2")}, want: want{outputs: []string{"lead.scored lead/42 0"}}},
		"does not fire when the condition is false": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nwhen: data.email != null\nset: {a: '1'}")}},
		"does not fire on other types":              {files: []ruleset.File{ruleFile("r", "on: [lead.lost]\nset: {a: '1'}")}},
		"does not fire on imports by default":       {files: []ruleset.File{scored("1")}, origin: event.OriginImport},
		"fires on imports when asked to": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\norigins: [live, import]\nset: {a: '1'}")},
			origin: event.OriginImport, want: want{state: State{"a": int64(1)}}},
		"never fires on echoes": {files: []ruleset.File{scored("1")}, origin: event.OriginEcho},
		"takes the subject from an expression": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nemit:\n  - type: lead.lost\n    subject: '\"lead/\" + data.lead_id + \"-b\"'\n    data: {lead_id: data.lead_id}")},
			want: want{outputs: []string{"lead.lost lead/42-b 0"}}},
		"an empty subject fails": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nemit:\n  - type: lead.lost\n    subject: '\"a\\nb\"'\n    data: {lead_id: data.lead_id}")},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: codeInvalidSubject}},
		"all rules see the state from before, the last name wins": {
			files: []ruleset.File{ruleFile("a", "on: [lead.created]\nset: {n: 'has(state.n) ? state.n + 1 : 1', x: '\"a\"'}"),
				ruleFile("b", "on: [lead.created]\nset: {m: 'state.n * 10', x: '\"b\"'}")},
			state: State{"n": int64(4)}, want: want{state: State{"n": int64(5), "m": int64(40), "x": "b"}}},
		"null removes a key": {files: []ruleset.File{ruleFile("a", "on: [lead.created]\nset: {n: 'null'}")},
			state: State{"n": int64(4), "k": true}, want: want{state: State{"k": true}}},
		"state that stays the same is not written": {files: []ruleset.File{ruleFile("a", "on: [lead.created]\nset: {n: '4'}")}, state: State{"n": int64(4)}},
		"a division by zero is an outcome and others go on": {files: []ruleset.File{scored("1 / int(data.source)"), ruleFile("z", "on: [lead.created]\nset: {a: '1'}")},
			with: map[string]any{"source": "0"},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, state: State{"a": int64(1)}, health: map[string]Health{"r": {Failures: 1}}, code: "arithmetic"}},
		"a missing key":        {files: []ruleset.File{scored("state.nosuch")}, want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: "missing_key"}},
		"a null in arithmetic": {files: []ruleset.File{scored("data.source + 1")}, want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: "type"}},
		"a condition that is no boolean": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nwhen: data.source\nset: {a: '1'}")},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: "type"}},
		"a value that does not fit":      {files: []ruleset.File{scored("data.lead_id")}, want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: codeInvalidData}},
		"a number over the field's size": {files: []ruleset.File{scored("4294967296")}, want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: codeInvalidData}},
		"too costly": {files: []ruleset.File{scored(strings.ReplaceAll("L.map(a, L.map(b, L.map(c, c))).size()", "L", `"`+strings.Repeat("x", 60)+`".split("")`))},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: "cost"}},
		"an unknown type at run time": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nemit:\n  - type: lead.melted\n    data: {lead_id: data.lead_id}")},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: codeUnknownType}},
		"one bad output takes the rule's others with it": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nemit:\n  - {type: lead.lost, data: {lead_id: data.lead_id}}\n  - {type: lead.scored, data: {lead_id: data.lead_id, score: state.x}}\nset: {a: '1'}")},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: "missing_key"}},
		"state that grows too large": {files: []ruleset.File{ruleFile("r", "on: [lead.created]\nset: {a: state.a + state.a}")}, state: State{"a": strings.Repeat("x", 9000)},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 1}}, code: codeTooLarge}},
		"the fifth failure in a row says tripped": {files: []ruleset.File{scored("state.x")}, health: map[string]Health{"r": {Failures: 4, ResetAt: 3}},
			want: want{outputs: []string{"engine.rule.failed rule/r failed"}, health: map[string]Health{"r": {Failures: 5, ResetAt: 3}}, code: "missing_key"}},
		"a success ends the row":   {files: []ruleset.File{scored("1")}, health: map[string]Health{"r": {Failures: 4}}, want: want{outputs: []string{"lead.scored lead/42 0"}, health: map[string]Health{"r": {}}}},
		"a tripped rule is silent": {files: []ruleset.File{scored("state.x")}, health: map[string]Health{"r": {Tripped: trippedStorm}}},
	} {
		t.Run(name, func(t *testing.T) {
			set := compiled(t, c.files...)
			r, data := happened("lead.created", leadData(c.with))
			r.Origin = c.origin
			in := Input{Event: r, Data: data, State: c.state, Health: c.health, Version: 3, Set: set, Schemas: allSchemas(t, set)}
			res, err := Evaluate(in)
			if err != nil {
				t.Fatal(err)
			}
			var outputs []string
			code := ""
			for _, o := range res.Outputs {
				outputs = append(outputs, o.Type+" "+o.Subject+" "+o.Index)
				if o.Type == typeFailed {
					_, body, err := event.Unframe(o.Value)
					if err != nil {
						t.Fatal(err)
					}
					told, err := in.Schemas[typeFailed].Avro.Decode(body)
					if err != nil {
						t.Fatal(err)
					}
					code, _ = told["code"].(string)
					if told["tripped"] != (c.health["r"].Failures == 4) || told["cause_sequence"] != int64(17) || told["version"] != int64(3) {
						t.Errorf("told %v", told)
					}
				}
			}
			if !reflect.DeepEqual(outputs, c.want.outputs) || code != c.want.code {
				t.Errorf("outputs %v %s, want %v %s", outputs, code, c.want.outputs, c.want.code)
			}
			if got := visible(res.State); len(got)+len(c.want.state) > 0 && !reflect.DeepEqual(got, c.want.state) {
				t.Errorf("state %v, want %v", got, c.want.state)
			}
			for rule, h := range res.Health {
				if h.Last.Code != c.want.code || h.Last.Code != "" && (h.Last.Sequence != 17 || h.Last.EventID != "cause-1" || h.Last.Detail == "") {
					t.Errorf("the last failure is %+v, want %s", h.Last, c.want.code)
				}
				h.Last = Failure{}
				res.Health[rule] = h
			}
			if len(res.Health)+len(c.want.health) > 0 && !reflect.DeepEqual(res.Health, c.want.health) {
				t.Errorf("health %v, want %v", res.Health, c.want.health)
			}
		})
	}
}

func TestEvaluate_ASchemaOfTheEngineThatIsMissingIsNoOutcome(t *testing.T) {
	set := compiled(t, ruleFile("r", "on: [lead.created]\nset: {a: state.x}"))
	r, data := happened("lead.created", leadData(nil))
	if _, err := Evaluate(Input{Event: r, Data: data, Set: set, Schemas: Schemas{}}); err == nil {
		t.Error("a failure that can't be reported was swallowed")
	}
}

func demoSet(t testing.TB) *ruleset.Set {
	t.Helper()
	files, err := ruleset.Load("../neuronx/demo/rules")
	if err != nil {
		t.Fatal(err)
	}
	return compiled(t, files...)
}

func TestEvaluate_IsTheSameOnEveryRun(t *testing.T) {
	set := demoSet(t)
	schemas := allSchemas(t, set)
	run := func() string {
		r, data := happened("lead.scored", map[string]any{"lead_id": "42", "score": int64(70), "reason": nil})
		res, err := Evaluate(Input{Event: r, Data: data, Version: 9, Set: set, Schemas: schemas})
		if err != nil || len(res.Outputs) != 3 {
			t.Fatalf("%d outputs: %v", len(res.Outputs), err)
		}
		var b strings.Builder
		for _, o := range res.Outputs {
			e := derive(r, o)
			fmt.Fprintf(&b, "%+v\n", e)
		}
		state, err := res.State.encode()
		if err != nil {
			t.Fatal(err)
		}
		return b.String() + string(state)
	}
	first := run()
	for range 50 {
		if again := run(); again != first {
			t.Fatalf("derived\n%s\nthen\n%s", first, again)
		}
	}
}

func TestDerive_TakesEverythingFromTheCause(t *testing.T) {
	r, _ := happened("lead.created", nil)
	e := derive(r, Output{Rule: "score", Version: 3, Index: "1", Type: "lead.scored", Subject: "lead/42", Value: []byte{0, 0, 0, 0, 1}})
	want := event.Event{TenantID: "t1", ID: event.DerivedID("t1", "17", "rules", "score", "3", "1"), Source: "/neuronx/rules", Type: "lead.scored",
		Subject: "lead/42", Time: recordedAt, ContentType: event.ContentTypeAvro, CorrelationID: "corr", CausationID: "cause-1", Hops: 4, Origin: event.OriginLive,
		TraceParent: r.TraceParent, Path: append(r.Path[:3:3], "lead.scored<score@3"), Value: []byte{0, 0, 0, 0, 1}}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("derived %+v, want %+v", e, want)
	}
	for origin, want := range map[event.Origin]event.Origin{"": event.OriginLive, event.OriginImport: event.OriginImport, event.OriginBackfill: event.OriginBackfill,
		event.OriginRedrive: event.OriginRedrive, event.OriginEcho: event.OriginEcho} {
		if r.Origin = origin; derive(r, Output{Rule: "score", Type: "lead.scored", Index: "1"}).Origin != want {
			t.Errorf("what %q causes is not %s", origin, want)
		}
	}
	r.CorrelationID = ""
	if e := derive(r, Output{Rule: "a", Type: typeFailed, Index: "failed"}); e.CorrelationID != r.ID || e.Hops != 0 || e.Path != nil {
		t.Errorf("a report %+v must begin the correlation and be no hop", e)
	}
}

func TestPathEntry_ComesBack(t *testing.T) {
	typ, rule, version, err := parsePathEntry(pathEntry("lead.scored", "score-2", 17))
	if err != nil || typ != "lead.scored" || rule != "score-2" || version != 17 {
		t.Errorf("%s %s %d %v", typ, rule, version, err)
	}
	for _, s := range []string{"", "lead.scored", "lead.scored<a", "lead.scored<a@x", "lead.scored<@1"} {
		if _, _, _, err := parsePathEntry(s); !errors.Is(err, errPath) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestState_ComesBackAsTheKindsItWas(t *testing.T) {
	s := State{"i": int64(1), "f": 1.0, "e": 1e300, "b": true, "s": "a\x00<ü>", "t": recordedAt, "y": []byte{1, 2}, "l": []any{int64(1), 2.5, nil},
		"m": map[string]any{"z": int64(-1), "a": map[string]any{}}}
	text, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeState(text)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%s came back as %#v (%v), want %#v", text, got, err, s)
	}
	if _, err := (State{"m": map[string]any{"$time": "x"}}).encode(); err == nil {
		t.Error("a map that looks like a mark was stored")
	}
}

func BenchmarkEvaluate_DemoRules(b *testing.B) {
	set := demoSet(b)
	schemas := Schemas{}
	if err := fillSchemas(b.Context(), catalogue(b), schemas, append(set.EmitTypes(), typeFailed)); err != nil {
		b.Fatal(err)
	}
	r, data := happened("lead.created", leadData(map[string]any{"email": "a@b.example", "channel": "web"}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Evaluate(Input{Event: r, Data: data, Version: 1, Set: set, Schemas: schemas}); err != nil {
			b.Fatal(err)
		}
	}
}
