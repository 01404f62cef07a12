package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// greets answers every lead, imported ones too, and counts what it answered.
func greets(body string) string {
	return "on: [lead.created]\norigins: [live, import]\nemit:\n  - {type: crm.note.add.requested, data: {lead_id: data.lead_id, body: '\"" + body + "\"'}}\nset: {greeted: 'has(state.greeted) ? state.greeted + 1 : 1'}"
}

func (b *bench) ids() []string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), `SELECT event_id FROM neuronx.outbox ORDER BY tenant_id, number`)
	if err != nil {
		b.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return ids
}

// reruns lists what became of the requests.
func (b *bench) reruns() string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), `SELECT sequence || ':' || rule || refused || ' ran ' || ran || ' fired ' || fired || ' failed ' || failed || ' derived ' || derived
		FROM neuronx.rule_reruns ORDER BY tenant_id, sequence`)
	if err != nil {
		b.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

func (b *bench) missedNow() string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), `SELECT rule || ':' || sequence FROM neuronx.rule_missed ORDER BY tenant_id, rule, sequence`)
	if err != nil {
		b.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(lines, " ")
}

func TestRerun_RunsWhatWasMissedOnceEachUnderTheTextInForce(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.recorded("a", "tenant.created", "tenant/a", map[string]any{}), // 1
		b.published("a", 1, ruleFile("greets", greets("old")), score),  // 2
		b.recorded("a", "lead.created", "lead/3", lead("3")),           // evaluated
		b.stormed("a", "greets"),                                       // 4
		b.recorded("a", "lead.created", "lead/5", lead("5")),           // missed by greets, not by score
		b.recorded("a", "lead.updated", "lead/5", lead("5")),           // greets does not hear it
		b.published("a", 2, ruleFile("greets", greets("new")), score))) // 7
	old := b.recorded("a", "lead.created", "lead/8", lead("8")) // missed
	old.Origin = event.OriginImport
	echo := b.recorded("a", "lead.created", "lead/9", lead("9"))
	echo.Origin = event.OriginEcho
	quiet := b.recorded("a", "lead.created", "lead/10", lead("10"))
	quiet.Quiet = "storm"
	copy(b.log["a"][7:], []event.Recorded{old, echo, quiet}) // the archive has what the log has
	b.apply(h, nil, runOf(old, echo, quiet,
		b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"}), // 11
		b.recorded("a", "lead.created", "lead/12", lead("12"))))                     // evaluated
	if got := b.missedNow(); got != "greets:5 greets:8" {
		t.Fatalf("missed %s, want 5 and 8", got)
	}
	before := b.ids()
	b.apply(b.handler(), nil, runOf(b.rerunOf("a", "greets", 1, 99)))                                                  // 13
	b.apply(b.handler(), nil, runOf(b.rerunOf("a", "greets", 1, 99), b.rerunOf("a", "greets", 1, 99)))                 // 14, 15
	b.apply(h, nil, runOf(b.rerunOf("a", "nosuch", 1, 99), b.rerunOf("a", "greets", 99, 1), b.rerunOf("a", "", 1, 2))) // 16 to 18
	id := func(sequence string) string { return event.DerivedID("a", sequence, Deriver, "greets", "2", "0") }
	if got := b.ids()[len(before):]; !slices.Equal(got, []string{id("5"), id("8")}) {
		t.Errorf("derived %v, want %v", got, []string{id("5"), id("8")})
	}
	if got := b.missedNow(); got != "" {
		t.Errorf("still missed: %s", got)
	}
	want := "13:greets ran 2 fired 2 failed 0 derived 2; 14:greets ran 0 fired 0 failed 0 derived 0; 15:greets ran 0 fired 0 failed 0 derived 0; " +
		"16:nosuchnot_in_force ran 0 fired 0 failed 0 derived 0; 17:greets ran 0 fired 0 failed 0 derived 0; 18:not_in_force ran 0 fired 0 failed 0 derived 0"
	if got := b.reruns(); got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	var scores int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.rule_state WHERE state->>'greeted' = '1'`).Scan(&scores); err != nil || scores != 4 {
		t.Errorf("%d leads were greeted once (%v), want 4", scores, err)
	}
}

func TestRerun_WhatIsDerivedHasOriginTimeAndCauseOfTheMissedEvent(t *testing.T) {
	b := newBench(t)
	w := &replayed{shadow: &shadow{archive: b, registry: b.registry, log: quiet()}, decoder: consumer.NewDecoder(b.registry)}
	f := newFold("a", w, nil, nil)
	story := []event.Recorded{b.published("a", 1, ruleFile("greets", greets("hello"))), b.stormed("a", "greets"), b.recorded("a", "lead.created", "lead/1", lead("1")),
		b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"}), b.rerunOf("a", "greets", 1, 9)}
	missed := story[2]
	missed.Origin, missed.CorrelationID, missed.Hops, missed.Path = event.OriginImport, "root", 1, []string{"lead.created<x@1"}
	story[2], b.log["a"][2] = missed, missed
	for i := range story {
		if i == 4 && len(f.outputs) > 0 {
			t.Fatal("something was derived before the request")
		}
		if err := f.apply(t.Context(), &story[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.outputs) != 1 {
		t.Fatalf("%d derived events, want 1", len(f.outputs))
	}
	if e := f.outputs[0]; e.Origin != event.OriginImport || !e.Time.Equal(missed.RecordedTime) || e.CausationID != missed.ID || e.CorrelationID != "root" || e.Hops != 2 {
		t.Errorf("%+v", e)
	}
}

func TestRerun_ARuleThatIsOffRunsNothingAndMissesNothingTwice(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("a", 1, ruleFile("greets", greets("x"))), b.stormed("a", "greets"), b.recorded("a", "lead.created", "lead/3", lead("3")), b.rerunOf("a", "greets", 1, 9)))
	if got := b.reruns() + " | " + b.missedNow(); got != "4:greetsoff ran 0 fired 0 failed 0 derived 0 | greets:3" || len(b.ids()) != 0 {
		t.Errorf("%s, derived %v", got, b.ids())
	}
}

func TestRerun_ARuleThatTripsAgainLeavesTheRestMissed(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	events := []event.Recorded{b.published("a", 1, broken), b.stormed("a", "broken")}
	for i := range 9 {
		events = append(events, b.recorded("a", "lead.created", fmt.Sprint("lead/", i), map[string]any{"lead_id": fmt.Sprint(i), "source": "0"}))
	}
	b.apply(h, nil, runOf(append(events, b.recorded("a", typeReset, "rule/broken", map[string]any{"rule": "broken"}), b.rerunOf("a", "broken", 1, 99))...))
	var off string
	if err := b.pool.QueryRow(t.Context(), `SELECT tripped || ' at ' || tripped_at FROM neuronx.rule_health`).Scan(&off); err != nil || off != "failures at 13" {
		t.Errorf("the rule is %q (%v), want off at the request", off, err)
	}
	if got := b.reruns() + " | " + b.missedNow(); got != "13:broken ran 5 fired 0 failed 5 derived 0 | broken:8 broken:9 broken:10 broken:11" {
		t.Error(got)
	}
	if n := len(b.ids()); n != 5 {
		t.Errorf("%d reports, want 5", n)
	}
}

func TestRerun_FailuresByDataAreReportedOnceForAWholeRequest(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	events := []event.Recorded{b.published("a", 1, divides), b.stormed("a", "divides")}
	for i := range 20 {
		events = append(events, b.recorded("a", "lead.created", fmt.Sprint("lead/", i), map[string]any{"lead_id": fmt.Sprint(i), "source": "0"}))
	}
	events = append(events, b.recorded("a", typeReset, "rule/divides", map[string]any{"rule": "divides"}), b.published("a", 2, divides), b.rerunOf("a", "divides", 1, 99))
	b.apply(h, nil, runOf(events...))
	if got := b.reruns(); got != "25:divides ran 20 fired 0 failed 20 derived 0" || len(b.ids()) != 1 {
		t.Errorf("%s, %d reports", got, len(b.ids()))
	}
}

func TestRerun_OneRequestIsBoundedAndTheNextGoesOn(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	many := rerunEvents + 20
	events := []event.Recorded{b.published("a", 1, ruleFile("counts", "on: [lead.created]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")), b.stormed("a", "counts")}
	for i := range many {
		events = append(events, b.recorded("a", "lead.created", fmt.Sprint("lead/", i%10), lead(fmt.Sprint(i))))
	}
	events = append(events, b.recorded("a", typeReset, "rule/counts", map[string]any{"rule": "counts"}))
	b.apply(h, nil, runOf(events...))
	b.apply(h, nil, runOf(b.rerunOf("a", "counts", 1, 9_999)))
	first := b.reruns()
	b.apply(h, nil, runOf(b.rerunOf("a", "counts", 1, 9_999)))
	want := fmt.Sprintf("%d:counts ran %d fired %d failed 0 derived 0", many+4, rerunEvents, rerunEvents)
	if first != want || b.reruns() != want+fmt.Sprintf("; %d:counts ran 20 fired 20 failed 0 derived 0", many+5) || b.missedNow() != "" {
		t.Errorf("%s, then %s, missed %s", first, b.reruns(), b.missedNow())
	}
	var sum int
	if err := b.pool.QueryRow(t.Context(), `SELECT sum((state->>'n')::int) FROM neuronx.rule_state`).Scan(&sum); err != nil || sum != many {
		t.Errorf("counted %d (%v), want each of %d once", sum, err, many)
	}
}

// A batch of many tenants must not wait for it, and what is written later is what would have been written at once.
func TestRerun_IsAppliedInCatchUp(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("a", 1, ruleFile("greets", greets("x"))), b.stormed("a", "greets"), b.recorded("a", "lead.created", "lead/3", lead("3")),
		b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"})))
	run := runOf(b.recorded("a", "lead.created", "lead/5", lead("5")), b.rerunOf("a", "greets", 1, 9), b.recorded("a", "lead.created", "lead/7", lead("7")))
	part := b.parts(h, run)[0]
	if part.Applied != 1 || !part.Later || part.Err != nil {
		t.Fatalf("%+v, want the event before the request, and the rest later", part)
	}
	run.Events = run.Events[1:]
	if part := b.catchUp(h, run); part.Applied != 2 || part.Err != nil {
		t.Fatalf("%+v", part)
	}
	if got := b.reruns(); got != "6:greets ran 1 fired 1 failed 0 derived 1" || b.missedNow() != "" || len(b.ids()) != 3 {
		t.Errorf("%s, missed %s, %d derived", got, b.missedNow(), len(b.ids()))
	}
}

func TestRerun_AnEventThatTheArchiveDoesNotHaveYetIsWaitedFor(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("a", 1, ruleFile("greets", greets("x"))), b.stormed("a", "greets"), b.recorded("a", "lead.created", "lead/3", lead("3")),
		b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"})))
	request := b.rerunOf("a", "greets", 1, 9)
	full := b.log["a"]
	b.log["a"] = full[:2]
	before := b.dump()
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return h.Apply(t.Context(), tx, runOf(request)) })
	if !consumer.IsTransient(err) || b.dump() != before {
		t.Errorf("got %v, want an error that is tried again and nothing changed", err)
	}
	b.log["a"] = slices.Concat(full[:2], full[3:]) // a hole: nothing to wait for
	err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.handler().Apply(t.Context(), tx, runOf(request)) })
	if err == nil || consumer.IsTransient(err) || b.dump() != before {
		t.Errorf("got %v, want an error that sets the tenant aside and nothing changed", err)
	}
	b.log["a"] = full
	b.apply(h, nil, runOf(request))
	if got := b.reruns(); got != "5:greets ran 1 fired 1 failed 0 derived 1" {
		t.Error(got)
	}
}

// What rules of older semantics missed is not on record: a log from before would derive more in a replay than it did.
func TestRerun_RulesOfOlderSemanticsKeepNoRecordOfWhatTheyMiss(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	data := ruleset.PublishedData([]ruleset.File{ruleFile("greets", greets("x"))}, 1, "")
	data["semantics"] = int64(3)
	b.apply(h, nil, runOf(b.recorded("a", typePublished, "rules/a", data), b.stormed("a", "greets"), b.recorded("a", "lead.created", "lead/3", lead("3")),
		b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"}), b.rerunOf("a", "greets", 1, 9)))
	if got := b.reruns() + b.missedNow(); got != "5:greets ran 0 fired 0 failed 0 derived 0" {
		t.Error(got)
	}
}

func TestLoop_WhatATrippedRuleMissedIsRunOverOnceAndAReplayDerivesTheSame(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, broken, score)
	send := func(i int, origin event.Origin) {
		r.sendAs(origin, "t1", "lead.created", fmt.Sprintf("lead/L%d", i), map[string]any{"lead_id": fmt.Sprint("L", i), "source": "0"})
		r.waitIdle("t1")
	}
	for i := range FailureLimit {
		send(i, "")
	}
	r.wait("the trip", func() bool { return r.count("t1", typeFailed) == FailureLimit })
	r.waitIdle("t1")
	send(5, "")
	mended := ruleFile("broken", "on: [lead.created]\norigins: [live, import]\nemit:\n  - {type: lead.qualified, data: {lead_id: data.lead_id}}")
	r.publish("t1", 2, mended, score)
	send(6, event.OriginImport)
	request := map[string]any{"rule": "broken", "from_sequence": int64(1), "through_sequence": int64(1_000)}
	r.send("t1", typeReset, "rule/broken", map[string]any{"rule": "broken"})
	r.send("t1", typeRerun, "rule/broken", request)
	r.send("t1", typeRerun, "rule/broken", request)
	r.wait("what was missed", func() bool { return r.count("t1", "lead.qualified") == 2 })
	r.waitIdle("t1")
	var got []string
	for _, e := range r.log("t1") {
		if e.Type == "lead.qualified" {
			got = append(got, e.Subject+" "+string(e.Origin))
		}
	}
	if !slices.Equal(got, []string{"lead/L5 live", "lead/L6 import"}) {
		t.Errorf("run over %v", got)
	}
	r.compareAll("t1", r.count("t1", "derived"))
}

// A log that is rebuilt is folded from its first event (Refold), which must keep what the live service keeps.
func TestRerun_AFoldFromTheFirstEventKeepsWhatTheLiveOneKeeps(t *testing.T) {
	live := newBench(t)
	live.apply(live.handler(), nil, live.story()...)
	again := newBench(t)
	var folds []*fold
	for _, tenant := range []string{"a", "b"} {
		w := &replayed{shadow: &shadow{archive: live, registry: live.registry, log: quiet()}, decoder: consumer.NewDecoder(live.registry)}
		f := newFold(tenant, w, nil, nil)
		for i := range live.log[tenant] {
			if err := f.apply(t.Context(), &live.log[tenant][i]); err != nil {
				t.Fatal(err)
			}
		}
		folds = append(folds, f)
	}
	if err := pgx.BeginFunc(t.Context(), again.pool, func(tx pgx.Tx) error { return save(t.Context(), tx, folds) }); err != nil {
		t.Fatal(err)
	}
	kept := func(dump string) string { return strings.Join(strings.Split(dump, "--\n")[2:], "--\n") } // without the outbox
	if got, want := kept(again.dump()), kept(live.dump()); got != want || !strings.Contains(want, "a greets 16\n") {
		t.Errorf("folded from the first event:\n%s\nlive:\n%s", got, want)
	}
}
