package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// hostileFiles are the rules of testdata/hostile, one a file: what an author would try who wants to stop the service.
func hostileFiles(t *testing.T) []ruleset.File {
	t.Helper()
	paths, err := filepath.Glob("testdata/hostile/*.yaml")
	if err != nil || len(paths) < 25 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	var files []ruleset.File
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, ruleset.File{Name: filepath.Base(p), Text: string(text)})
	}
	return files
}

// hostileData is the largest that an event can hold, in the shapes that cost most.
func hostileData() map[string]any {
	tags := make([]any, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	wide := map[string]any{}
	for i := range 20_000 {
		wide[fmt.Sprint("key", i)] = int64(i)
	}
	deep := map[string]any{"bottom": true}
	for range 2_000 {
		deep = map[string]any{"x": deep, "y": "z"}
	}
	return leadData(map[string]any{"company": strings.Repeat("a", 900_000), "first_name": strings.Repeat("ä", 450_000), "phone": strings.Repeat("7", 900_000),
		"source": strings.Repeat("(a?){9}", 100), "tags": tags, "wide": wide, "deep": deep})
}

func TestHostile_EveryRuleIsRefusedOrBounded(t *testing.T) {
	long := hostileData()
	short := leadData(map[string]any{"company": "Ada Ltd", "first_name": "Ada", "phone": "7", "source": "x", "tags": []any{"a"}, "wide": map[string]any{"k": int64(1)}, "deep": map[string]any{}})
	for _, f := range hostileFiles(t) {
		t.Run(strings.TrimSuffix(f.Name, ".yaml"), func(t *testing.T) {
			set, problems := ruleset.Compile([]ruleset.File{f})
			if problems.Err() != nil {
				t.Logf("refused: %v", problems.Err())
				return
			}
			for _, semantics := range []int64{1, 2} {
				for name, data := range map[string]map[string]any{"long": long, "short": short} {
					r, _ := happened("lead.created", nil)
					in := Input{Event: r, Data: data, Version: 1, Set: set, Schemas: allSchemas(t, set), Semantics: semantics, Health: map[string]Health{}}
					start := time.Now()
					res, err := Evaluate(in)
					took := time.Since(start)
					if err != nil {
						t.Fatalf("semantics %d, %s data: %v after %d units", semantics, name, err, res.Cost)
					}
					if testing.Verbose() {
						t.Logf("semantics %d, %s: %s for %d units, %d bytes, over %v", semantics, name, took, res.Cost, res.Bytes, res.Over)
					}
					// One expression can go over a budget that was not used up before it.
					if res.Cost > EventCost+110_000+outputCost || res.Bytes > EventOutput {
						t.Errorf("semantics %d, %s data: %d units, %d bytes", semantics, name, res.Cost, res.Bytes)
					}
					total := 0
					for _, o := range res.Outputs {
						total += len(o.Value)
					}
					if total > EventOutput+1024 {
						t.Errorf("semantics %d, %s data: %d bytes derived", semantics, name, total)
					}
					if again, err := Evaluate(in); err != nil || !reflect.DeepEqual(again, res) {
						t.Errorf("semantics %d, %s data: evaluated again it gives something else (%v)", semantics, name, err)
					}
				}
			}
		})
	}
}

// Five hundred of a kind: the rules of an event share its budget, and the ones for which nothing is left say so.
func TestHostile_RulesOfOneEventShareABudget(t *testing.T) {
	var near ruleset.File
	for _, f := range hostileFiles(t) {
		if f.Name == "near-the-limit.yaml" {
			near = f
		}
	}
	var files []ruleset.File
	for i := range 400 {
		name := fmt.Sprintf("near-%03d", i)
		files = append(files, ruleset.File{Name: name + ".yaml", Text: strings.Replace(near.Text, "near-the-limit", name, 1)})
	}
	set := compiled(t, files...)
	r, data := happened("lead.created", leadData(nil))
	in := Input{Event: r, Data: data, Version: 1, Set: set, Schemas: allSchemas(t, set), Semantics: 2, Health: map[string]Health{}}
	res, err := Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	if res.Fired < 2 || res.Fired > 10 || res.Over[budgetEventCost] != 400-res.Fired || res.Outputs[0].Rule != "near-000" || res.Outputs[0].Type != "lead.scored" {
		t.Fatalf("%d fired, over %v", res.Fired, res.Over)
	}
	if res.Cost > EventCost+110_000+400*outputCost {
		t.Errorf("%d units", res.Cost)
	}
	// What was cut is told once, not with every event.
	in.Health = res.Health
	in.Event.Sequence++
	again, err := Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(again.Outputs); n != res.Fired {
		t.Errorf("%d events derived from the next one, want the %d that the budget allows and no report", n, res.Fired)
	}
	if h := again.Health["near-399"]; h.OverBudget != 2 || h.LastBudget != budgetEventCost || h.Failures != 0 {
		t.Errorf("health %+v", h)
	}
	in.Event.Sequence += reportEvery
	later, err := Evaluate(in)
	if err != nil || len(later.Outputs) != 400 {
		t.Errorf("%d events after %d others, want a report of every rule again (%v)", len(later.Outputs), reportEvery, err)
	}
}

// A bundle derives what it derived under the semantics that it was published under, also after an upgrade.
func TestApply_ABundleOfSemantics1ReadsLargeFieldsAndTripsOnOneSubject(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	reads := ruleFile("reads", "on: [lead.created]\nset: {n: data.company.size()}")
	fails := ruleFile("fails", "on: [lead.created]\nset: {x: '1 / int(data.source)'}")
	for _, tenant := range []string{"old", "new"} {
		data := ruleset.PublishedData([]ruleset.File{reads, fails}, 1, "")
		if tenant == "old" {
			data["semantics"] = int64(1)
		}
		events := []event.Recorded{b.recorded(tenant, typePublished, "rules/"+tenant, data)}
		for range 6 {
			events = append(events, b.recorded(tenant, "lead.created", "lead/1", map[string]any{"lead_id": "1", "company": strings.Repeat("x", 40_000), "source": "0"}))
		}
		b.apply(h, nil, runOf(events...))
	}
	for tenant, want := range map[string]string{"old": "6 true 2 f:6 o:0 ", "new": "2 false 1 f:0 o:6 field"} {
		var got string
		err := b.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM neuronx.outbox WHERE tenant_id = $1) || ' ' ||
			EXISTS (SELECT 1 FROM neuronx.rule_state WHERE tenant_id = $1 AND state->>'n' = '40000') || ' ' ||
			(SELECT coalesce(max(sequence), 1) FROM neuronx.rule_state WHERE tenant_id = $1 AND state->>'n' = '40000') || ' f:' ||
			(SELECT max(failures) FROM neuronx.rule_health WHERE tenant_id = $1) || ' o:' || (SELECT max(over_budget) FROM neuronx.rule_health WHERE tenant_id = $1) || ' ' ||
			(SELECT max(last_budget) FROM neuronx.rule_health WHERE tenant_id = $1)`, tenant).Scan(&got)
		if err != nil || strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: %q (%v), want %q", tenant, got, err, want)
		}
	}
}

func TestFailedOn_DataNeverTripsARule(t *testing.T) {
	set := compiled(t, ruleFile("r", "on: [lead.created]\nwhen: '[1,2,3,4,5,6].all(a, data.company.split(\"\").all(x, data.company.split(\"\").all(y, x != y || true)))'\nset: {a: '1'}"),
		ruleFile("s", "on: [lead.created]\nset: {b: '100 / int(data.phone)'}"),
		ruleFile("t", "on: [lead.created]\nemit:\n  - {type: lead.lost, subject: data.company, data: {lead_id: data.lead_id}}"))
	for _, c := range []struct {
		name            string
		data            map[string]any
		subjects        int
		wantR, wantS    bool
		reportsR, reads int
	}{
		{"a long name, five times and more", map[string]any{"company": strings.Repeat("Ltd ", 4_500), "phone": "1"}, 20, false, false, 1, 0},
		{"a name of a megabyte", map[string]any{"company": strings.Repeat("Ltd ", 250_000), "phone": "1"}, 20, false, false, 1, 0},
		{"one lead that is sent again and again", map[string]any{"company": "x", "phone": "0"}, 1, false, false, 0, 0},
		{"five leads that nothing is wrong with", map[string]any{"company": "x", "phone": "0"}, 20, false, true, 0, 0},
	} {
		health := map[string]Health{}
		reports, tripped := map[string]int{}, map[string]bool{}
		for i := range 20 {
			r, data := happened("lead.created", leadData(c.data))
			r.Subject, r.Sequence = fmt.Sprint("lead/", i%c.subjects), int64(20+i)
			in := Input{Event: r, Data: data, Version: 1, Set: set, Schemas: allSchemas(t, set), Semantics: 2, Health: health, PublishedAt: 1}
			res, err := Evaluate(in)
			if err != nil {
				t.Fatal(err)
			}
			for rule, h := range res.Health {
				health[rule] = h
			}
			for _, o := range res.Outputs {
				if o.Type != typeFailed {
					continue
				}
				_, body, err := event.Unframe(o.Value)
				if err != nil {
					t.Fatal(err)
				}
				told, err := in.Schemas[typeFailed].Avro.Decode(body)
				if err != nil {
					t.Fatal(err)
				}
				reports[o.Rule]++
				tripped[o.Rule] = tripped[o.Rule] || told["tripped"] == true
			}
		}
		if tripped["t"] || tripped["r"] != c.wantR || tripped["s"] != c.wantS || reports["r"] != c.reportsR {
			t.Errorf("%s: tripped %v, reports %v, health %+v", c.name, tripped, reports, health)
		}
		if !c.wantS && reports["s"] > 1 {
			t.Errorf("%s: %d reports of one lead", c.name, reports["s"])
		}
	}
}

// A batch with an expensive tenant in it is applied in parts: the others' events are, whole, and the first one's at its share.
func TestApplyParts_AnExpensiveTenantGoesAtItsShareAndTheOthersGoOn(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	for i, f := range hostileFiles(t) {
		if _, problems := ruleset.Compile([]ruleset.File{f}); problems.Err() != nil {
			continue
		}
		bad, good := fmt.Sprintf("bad-%d", i), fmt.Sprintf("good-%d", i)
		company := strings.Repeat("a", 200_000)
		runs := []consumer.Run{
			runOf(b.published(bad, 1, f)),
			runOf(b.published(good, 1, score)),
		}
		b.apply(h, nil, runs...)
		evil := consumer.Run{TenantID: bad, Generation: 1}
		for n := range 6 {
			evil.Events = append(evil.Events, b.recorded(bad, "lead.created", fmt.Sprintf("lead/%d", n), map[string]any{"lead_id": fmt.Sprint(n), "company": company,
				"first_name": company, "phone": "12", "source": "(a?){9}"}))
		}
		fine := runOf(b.recorded(good, "lead.created", "lead/1", lead("1")), b.recorded(good, "lead.created", "lead/2", lead("2")))
		parts := b.parts(h, evil, fine)
		if parts[0].Applied < 1 && !parts[0].Later || parts[0].Err != nil || parts[1].Applied != 2 || parts[1].Err != nil {
			t.Errorf("%s: %+v", f.Name, parts)
		}
		for evil.Events = evil.Events[parts[0].Applied:]; len(evil.Events) > 0; {
			part := b.catchUp(h, evil)
			if part.Applied < 1 || part.Err != nil {
				t.Fatalf("%s: in catch-up: %+v", f.Name, part)
			}
			evil.Events = evil.Events[part.Applied:]
		}
		var n int
		if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.outbox WHERE tenant_id = $1`, good).Scan(&n); err != nil || n != 2 {
			t.Errorf("%s: the other tenant has %d derived events, want 2 (%v)", f.Name, n, err)
		}
	}
}

// Sixteen outputs of 230 KB from each of 150 events would be half a gigabyte: a batch holds a few megabytes of it.
func TestApplyParts_DerivedEventsAreWrittenInBoundedPieces(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	fat := ruleFile("fat", "on: [lead.created]\nemit:\n"+strings.Repeat(
		"  - {type: lead.scored, data: {lead_id: data.lead_id, score: '1', reason: '\""+strings.Repeat("x", 3_000)+"\"'}}\n", 16))
	b.apply(h, nil, runOf(b.published("a", 1, fat)))
	run := consumer.Run{TenantID: "a", Generation: 1}
	for n := range 300 {
		run.Events = append(run.Events, b.recorded("a", "lead.created", fmt.Sprintf("lead/%d", n), lead(fmt.Sprint(n))))
	}
	rounds, applied := 0, 0
	for left := run; len(left.Events) > 0; rounds++ {
		part := b.catchUp(h, left)
		if part.Err != nil || part.Applied == 0 {
			t.Fatalf("%+v", part)
		}
		if bytes := part.Applied * 16 * 3_000; bytes > flushOutput*2 {
			t.Errorf("one part derived %d bytes", bytes)
		}
		applied += part.Applied
		left.Events = left.Events[part.Applied:]
	}
	var n int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.outbox`).Scan(&n); err != nil || n != 300*16 || applied != 300 || rounds < 2 {
		t.Errorf("%d derived events in %d rounds over %d events, want 4800 in some rounds (%v)", n, rounds, applied, err)
	}
}

// An evaluation that takes too long is no outcome: the tenant stops before the event, named, and the others' part is kept.
func TestApplyParts_ATenantWhoseEvaluationTakesTooLongIsSetAsideAlone(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("a", 1, ruleFile("loops", "on: [lead.updated]\nset: {x: 'data.lead_id.split(\"\").exists(a, a == \"z\")'}"), score)))
	good := b.recorded("a", "lead.created", "lead/1", lead("1"))
	slow := b.recorded("a", "lead.updated", "lead/1", lead(strings.Repeat("y", 5_000)))
	h.within = time.Nanosecond // whatever has a loop is too slow
	other := consumer.Run{TenantID: "b", Generation: 1, Events: []event.Recorded{b.recorded("b", "lead.created", "lead/1", lead("1"))}}
	if parts := b.parts(h, runOf(slow), other); parts[0].Applied != 0 || !parts[0].Later || parts[0].Err != nil || parts[1].Applied != 1 {
		t.Fatalf("in a batch: %+v", parts)
	}
	if part := b.catchUp(h, runOf(slow)); part.Applied != 0 || part.Err == nil || !strings.Contains(part.Err.Error(), "rule loops") || consumer.IsTransient(part.Err) {
		t.Fatalf("in catch-up: %+v", part)
	}
	h.within = 0 // the machine is quiet again, an operator says retry
	if part := b.catchUp(h, runOf(good, slow)); part.Applied != 2 || part.Err != nil {
		t.Errorf("%+v", part)
	}
}

func TestBudget_AnExpensiveTenantCatchesUpAndAReplayDerivesTheSame(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	var rules []ruleset.File
	for _, f := range hostileFiles(t) {
		if f.Name == "near-the-limit.yaml" {
			for i := range 5 { // three of them fit an event's budget
				name := fmt.Sprint("near-", i)
				rules = append(rules, ruleset.File{Name: name + ".yaml", Text: strings.Replace(f.Text, "near-the-limit", name, 1)})
			}
		}
	}
	for _, tenant := range []string{"dear", "good"} {
		r.send(tenant, "tenant.created", "tenant/"+tenant, map[string]any{})
	}
	r.publish("dear", 1, rules...)
	r.publish("good", 1, score)
	for i := range 6 {
		r.send("dear", "lead.created", fmt.Sprint("lead/L", i), lead(fmt.Sprint("L", i)))
		r.send("good", "lead.created", fmt.Sprint("lead/L", i), lead(fmt.Sprint("L", i)))
	}
	r.wait("the other tenant's scores", func() bool { return r.count("good", "lead.scored") == 6 })
	r.wait("the expensive tenant to catch up", func() bool { return r.count("dear", "lead.scored") == 6*3 })
	r.wait("reports of the rules over the event's budget", func() bool { return r.count("dear", typeFailed) == 2 })
	r.wait("what was derived to be seen", func() bool {
		var applied, pending int
		err := r.pool.QueryRow(t.Context(), `SELECT sequence, (SELECT count(*) FROM neuronx.outbox) FROM neuronx.progress WHERE tenant_id = 'dear'`).Scan(&applied, &pending)
		return err == nil && pending == 0 && applied == len(r.log("dear"))
	})
	if n := r.count("dear", typeFailed); n != 2 {
		t.Errorf("%d reports of rules over the event's budget, want one of each of the last two", n)
	}
	l, err := List(t.Context(), r.ops, "dear")
	if err != nil || l.Semantics != 4 || l.Rules[4].OverBudget != 6 || l.Rules[4].LastBudget != budgetEventCost || l.Rules[4].Tripped != "" || l.Rules[0].OverBudget != 0 {
		t.Errorf("%v %+v", err, l)
	}
	r.compareAll("dear", r.count("dear", "derived"))
}
