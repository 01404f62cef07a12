package rules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// memoryLog is a tenant's log that is folded in memory, with what the service keeps.
type memoryLog struct {
	*testing.T
	*Timeline
	registry registryClient
	n        int64
	now      time.Time
}

func newMemoryLog(t *testing.T, files ...ruleset.File) *memoryLog {
	t.Helper()
	l := &memoryLog{T: t, registry: catalogue(t), now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	l.Timeline = NewTimeline("a", l.registry, &Compiled{}, workflows.NewMemory(), 1, func(context.Context, int64) (*event.Recorded, error) { return nil, errNotInLog })
	if taken := l.send(typePublished, "rules/a", ruleset.PublishedData(files, 1, "")); len(taken.Derived) > 0 {
		data := l.data(&taken.Derived[0])
		t.Fatalf("the rules can't be published: %v", data["detail"])
	}
	return l
}

func (l *memoryLog) send(typ, subject string, data map[string]any, changes ...func(e *event.Recorded)) Taken {
	l.Helper()
	l.n++
	r := event.Recorded{Event: event.Event{TenantID: "a", ID: fmt.Sprintf("e%d", l.n), Source: "/test", Type: typ, Subject: subject, Time: l.now,
		ContentType: event.ContentTypeAvro, Value: value(l, l.registry, typ, data)}, Sequence: l.n, Position: event.PositionAt(l.now.UnixMilli()) + l.n, RecordedTime: l.now, LogID: "log"}
	for _, c := range changes {
		c(&r)
	}
	taken, err := l.Apply(l.Context(), r)
	if err != nil {
		l.Fatal(err)
	}
	return taken
}

func (l *memoryLog) data(e *event.Event) map[string]any {
	l.Helper()
	data, err := l.Decode(l.Context(), &event.Recorded{Event: *e})
	if err != nil {
		l.Fatal(err)
	}
	return data
}

// owner is who a lead that is created goes to; in words, why it goes to nobody.
func (l *memoryLog) owner(id string, data map[string]any) string {
	l.Helper()
	all := lead(id)
	for k, v := range data {
		all[k] = v
	}
	taken := l.send("lead.created", "lead/"+id, all)
	for _, f := range taken.Failures {
		return f.Code
	}
	if len(taken.Derived) != 1 || taken.Derived[0].Type != "lead.assigned" {
		l.Fatalf("%d events are derived", len(taken.Derived))
	}
	return l.data(&taken.Derived[0])["owner_id"].(string)
}

func people(rows, pool string) ruleset.File {
	return kindFile("Lookup", "team", "key: rep\ncolumns: {rep: string, weight: int, room: int, hours: string}\nrows:\n"+rows+"pool: {"+pool+"}")
}

var routes = ruleFile("routes", `
on: [lead.created]
key: data.lead_id
assign: {pool: team, as: owner}
emit:
  - type: lead.assigned
    data: {lead_id: data.lead_id, owner_id: vars.owner}`)

func TestAssign_SharesAreWithinOneOfWhatTheWeightsSay(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 2))
		var rows strings.Builder
		weights, sum := map[string]int64{}, int64(0)
		for i := range 2 + r.IntN(5) {
			name, w := fmt.Sprintf("m%d", i), 1+r.Int64N(9)
			weights[name], sum = w, sum+w
			fmt.Fprintf(&rows, "  - {rep: %s, weight: %d, room: 9999, hours: x}\n", name, w)
		}
		l := newMemoryLog(t, routes, people(rows.String(), "weight: weight"))
		got := map[string]int64{}
		for n := range int64(200) {
			got[l.owner(fmt.Sprint(n), nil)]++
			for name, w := range weights {
				if off := float64(got[name]) - float64((n+1)*w)/float64(sum); off <= -1 || off >= 1 {
					t.Fatalf("seed %d: of %d leads %s has %d, with %d of %d parts of the weight", seed, n+1, name, got[name], w, sum)
				}
			}
		}
	}
}

func TestAssign_TheKeyKeepsItsMemberUntilItIsReleased(t *testing.T) {
	l := newMemoryLog(t, routes, people("  - {rep: ann, weight: 1, room: 2, hours: x}\n  - {rep: bob, weight: 1, room: 2, hours: x}\n",
		"weight: weight, capacity: room, release: {on: [lead.lost], key: data.lead_id, after: P30D}"))
	var got []string
	for _, id := range []string{"1", "2", "1", "3", "1", "4", "5", "5"} {
		got = append(got, l.owner(id, nil))
	}
	l.send("lead.lost", "lead/2", lead("2"))
	got = append(got, l.owner("5", nil), l.owner("6", nil))
	l.now = l.now.Add(31 * 24 * time.Hour)
	got = append(got, l.owner("7", nil), l.owner("8", nil))
	if want := "ann bob ann ann ann bob no_capacity no_capacity bob no_capacity bob ann"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
}

// SuiteCRM/SuiteCRM#2032 and mshanemc/roundRobinProcessBuilder#28: who had left the team was assigned leads still.
func TestAssign_WhoLeftTheTeamGetsNothingAndKeepsNothing(t *testing.T) {
	const ann, bob = "  - {rep: ann, weight: 9, room: 2, hours: x}\n", "  - {rep: bob, weight: 1, room: 9, hours: x}\n"
	const of = "weight: weight, capacity: room, release: {on: [lead.lost], key: data.lead_id}, follow: {on: [lead.updated], member: data.owner_id}"
	l := newMemoryLog(t, routes, people(ann+bob, of))
	got := []string{l.owner("1", nil), l.owner("2", nil)}
	l.send(typePublished, "rules/a", ruleset.PublishedData([]ruleset.File{routes, people(bob, of)}, 2, ""))
	got = append(got, l.owner("1", nil), l.owner("3", nil))
	given := lead("3")
	given["owner_id"] = "ann" // a person gives the lead to who is in the team no more
	l.send("lead.updated", "lead/3", given)
	got = append(got, l.owner("3", nil))
	l.send(typePublished, "rules/a", ruleset.PublishedData([]ruleset.File{routes, people(ann+bob, of)}, 3, ""))
	got = append(got, l.owner("1", nil), l.owner("2", nil), l.owner("4", nil), l.owner("5", nil)) // back from leave, with the lead that nobody asked for
	if want := "ann ann bob bob bob bob ann ann bob"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
}

func TestAssign_ExceptLeavesOutAndOrStandsIn(t *testing.T) {
	rule := ruleFile("routes", `
on: [lead.created]
assign: {pool: team, as: owner, except: 'data.source == null ? [] : [data.source]', or: '"manager"'}
emit:
  - type: lead.assigned
    data: {lead_id: data.lead_id, owner_id: vars.owner}
set: {owner: vars.owner}`)
	office := kindFile("Calendar", "office", `
zone: UTC
hours: {mon-fri: ["09:00-17:00"]}`)
	l := newMemoryLog(t, rule, office, people("  - {rep: ann, weight: 1, room: 9, hours: office}\n  - {rep: bob, weight: 1, room: 9, hours: office}\n", "calendar: hours"))
	got := []string{l.owner("1", map[string]any{"source": "ann"}), l.owner("2", map[string]any{"source": "ann"}), l.owner("3", nil)}
	if state := l.State("lead/1"); state["owner"] != "bob" {
		t.Errorf("the rule sets %v", state)
	}
	l.now = l.now.Add(10 * time.Hour) // in the evening
	got = append(got, l.owner("4", nil), l.owner("1", nil))
	if want := "bob bob ann manager bob"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
	taken := l.send("lead.created", "lead/9", lead("9"))
	if len(taken.Picks) != 1 || taken.Picks[0].Rule != "routes" || taken.Picks[0].Member != "manager" || len(taken.Picks[0].Members) != 2 || !taken.Picks[0].Members[0].Closed {
		t.Errorf("told of the pick is %+v", taken.Picks)
	}
}

// Five leads that come when everybody is full must not switch a rule off for those that come later.
func TestAssign_NobodyIsAnOutcomeThatTripsNothing(t *testing.T) {
	l := newMemoryLog(t, routes, people("  - {rep: ann, weight: 1, room: 1, hours: x}\n", "capacity: room, release: {on: [lead.lost], key: data.lead_id}"))
	l.owner("0", nil)
	told := 0
	for i := 1; i <= 20; i++ {
		taken := l.send("lead.created", fmt.Sprintf("lead/%d", i), lead(fmt.Sprint(i)))
		if len(taken.Failures) != 1 || taken.Failures[0].Code != codeNoCapacity {
			t.Fatalf("%+v", taken.Failures)
		}
		told += len(taken.Derived)
	}
	if off := l.Off("routes"); off != "" || told != 1 {
		t.Errorf("the rule is off: %q, and %d reports were made; want one", off, told)
	}
	l.send("lead.lost", "lead/0", lead("0"))
	if got := l.owner("21", nil); got != "ann" {
		t.Errorf("after a release: %s", got)
	}
}

func TestAssign_ARuleThatFailsAfterItPickedClaimsNobody(t *testing.T) {
	rule := ruleFile("routes", `
on: [lead.created]
assign: {pool: team, as: owner}
emit:
  - type: lead.assigned
    data: {lead_id: data.lead_id, owner_id: vars.owner, team: 'data.source.upperAscii()'}`)
	l := newMemoryLog(t, rule, people("  - {rep: ann, weight: 1, room: 1, hours: x}\n  - {rep: bob, weight: 1, room: 1, hours: x}\n", "capacity: room"))
	some := map[string]any{"source": "web"}
	got := []string{l.owner("1", nil), l.owner("2", nil), l.owner("3", some), l.owner("4", nil), l.owner("5", some), l.owner("6", some)}
	if want := "ann bob"; got[2]+" "+got[4] != want || got[0] == "ann" || got[5] != codeNoCapacity {
		t.Errorf("%v, want %s for those with a source, and then nobody", got, want)
	}
}

func TestAssign_LaterRulesOfAnEventSeeThePicksOfThoseBefore(t *testing.T) {
	rule := func(name, key string) ruleset.File {
		return ruleFile(name, "on: [lead.created]\nkey: '"+key+"'\nassign: {pool: team, as: owner}\nset: {"+name+": vars.owner}")
	}
	l := newMemoryLog(t, rule("a", `"x" + data.lead_id`), rule("b", `"y" + data.lead_id`), rule("c", `"x" + data.lead_id`), rule("d", `"z" + data.lead_id`),
		people("  - {rep: ann, weight: 1, room: 1, hours: x}\n  - {rep: bob, weight: 1, room: 9, hours: x}\n", "capacity: room"))
	l.send("lead.created", "lead/1", lead("1"))
	s := l.State("lead/1")
	if got := fmt.Sprint(s["a"], s["b"], s["c"], s["d"]); got != "annbobannbob" {
		t.Errorf("the rules picked %s", got)
	}
}

func (b *flowBench) owners(tenant string) string {
	b.Helper()
	var out []string
	for _, r := range b.log[tenant] {
		if r.Type == "lead.assigned" {
			data, err := decode(b.Context(), b.h.decoder, &r, 3)
			if err != nil {
				b.Fatal(err)
			}
			out = append(out, fmt.Sprint(data["lead_id"], ":", data["owner_id"]))
		}
	}
	return strings.Join(out, " ")
}

var reroutes = ruleFile("reroutes", `
on: [lead.updated]
key: data.lead_id
assign: {pool: team, as: owner}
emit:
  - type: lead.assigned
    data: {lead_id: data.lead_id, owner_id: vars.owner}`)

func TestAssign_RulesAndWorkflowsShareTurnsAndClaims(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps, reroutes, ruleFile("second", `
on: [lead.scored]
key: '"second " + data.lead_id'
assign: {pool: team, as: owner}
set: {second: vars.owner}`), kindFile("Workflow", "first", `
start: {on: [lead.scored], key: data.lead_id}
do:
  - route: {assign: {pool: team, as: owner}}
  - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.owner}}}`))
	b.lead("a", "1")                                 // ann, by the workflow
	b.send("a", "lead.updated", "lead/1", lead("1")) // hers still, by the rule
	b.send("a", "lead.updated", "lead/2", lead("2")) // bob, by the rule
	b.lead("a", "2")                                 // his still, by the workflow
	b.send("a", "lead.updated", "lead/3", lead("3")) // ann
	b.is("owners", b.owners("a"), "1:ann 1:ann 2:bob 2:bob 3:ann")
	b.is("claims", strings.Join(b.lines(`SELECT key || ':' || member || ':' || about FROM neuronx.pool_claims ORDER BY 1`), " "), "1:ann:lead/1 2:bob:lead/2 3:ann:lead/3")
	b.send("a", "lead.scored", "lead/4", map[string]any{"lead_id": "4", "score": int64(1)}) // the workflow starts, then the rule runs
	b.is("who was first", strings.Join(b.lines(`SELECT key || ':' || member FROM neuronx.pool_claims WHERE key LIKE '%4' ORDER BY 1`), " "), "4:ann second 4:bob")
}

func TestAssign_ARerunPicksAsItRuns(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, reps, reroutes)
	b.take(b.outside("a", typeStorm, "rule/reroutes", map[string]any{"rule": "reroutes", "version": int64(1), "hops": int64(17), "path": []any{}, "event_id": "r1"}))
	for _, id := range []string{"1", "2", "3"} {
		b.send("a", "lead.updated", "lead/"+id, lead(id))
	}
	b.send("a", typeReset, "rule/reroutes", map[string]any{"rule": "reroutes"})
	b.send("a", typeRerun, "rule/reroutes", map[string]any{"rule": "reroutes", "from_sequence": int64(1), "through_sequence": int64(99)})
	b.is("owners", b.owners("a"), "1:ann 2:bob 3:ann")
}

// calls counts and lists what it counted.
var calls = ruleFile("calls", `
on: [activity.recorded]
windows:
  calls: {on: [activity.recorded], when: data.kind == "call", over: PT2H, distinct: data.outcome}
  all: {on: [activity.recorded, lead.updated], over: P7D}
set:
  calls: windows.calls.count
  outcomes: windows.calls.distinct
  rate: windows.calls.rate
  all: windows.all.count`)

func activity(id, kind, outcome string) map[string]any {
	return map[string]any{"activity_id": "x", "lead_id": id, "kind": kind, "outcome": outcome}
}

func TestWindows_CountAsAnOracleThatKeepsEveryEvent(t *testing.T) {
	l := newMemoryLog(t, calls)
	r := rand.New(rand.NewPCG(7, 7))
	type done struct {
		at      time.Time
		id      string
		outcome string // of a call; empty: it is none
	}
	var all []done
	in := func(at time.Time, over time.Duration) bool {
		width := over.Milliseconds() / 60
		return at.UnixMilli()/width > l.now.UnixMilli()/width-60
	}
	most := int64(0)
	for i := range 600 {
		l.now = l.now.Add(time.Duration(r.IntN(int(4 * time.Minute))))
		if r.IntN(60) == 0 {
			l.now = l.now.Add(36 * time.Hour)
		}
		d := done{at: l.now, id: fmt.Sprint(r.IntN(3))}
		if r.IntN(4) == 0 {
			all = append(all, d)
			l.send("lead.updated", "lead/"+d.id, lead(d.id))
			continue
		}
		kind := "email"
		if r.IntN(3) > 0 {
			kind, d.outcome = "call", fmt.Sprint(r.IntN(12))
		}
		all = append(all, d)
		l.send("activity.recorded", "lead/"+d.id, activity(d.id, kind, d.outcome))
		var count, every int64
		outcomes := map[string]bool{}
		for _, e := range all {
			if e.id != d.id {
				continue
			}
			if in(e.at, 7*24*time.Hour) {
				every++
			}
			if e.outcome != "" && in(e.at, 2*time.Hour) {
				count++
				outcomes[e.outcome] = true
			}
		}
		most = max(most, int64(len(outcomes)))
		s := l.State("lead/" + d.id)
		if s["calls"] != count || s["outcomes"] != int64(len(outcomes)) || s["rate"] != float64(count)/2 || s["all"] != every {
			t.Fatalf("event %d: %v, want %d calls, %d outcomes, %d in all", i, s, count, len(outcomes), every)
		}
	}
	if most < 8 {
		t.Errorf("never more than %d outcomes were counted", most)
	}
}

func TestWindows_CountWhatIsLiveAndNothingElse(t *testing.T) {
	l := newMemoryLog(t, ruleset.File{Name: calls.Name, Text: strings.Replace(calls.Text, "windows:", "origins: [live, import]\n  windows:", 1)})
	as := func(o event.Origin) func(e *event.Recorded) { return func(e *event.Recorded) { e.Origin = o } }
	l.send("activity.recorded", "lead/1", activity("1", "call", "x"))
	l.send("activity.recorded", "lead/1", activity("1", "call", "y"), as(event.OriginImport))
	l.send("activity.recorded", "lead/1", activity("1", "call", "y"), as(event.OriginEcho))
	l.send("activity.recorded", "lead/1", activity("1", "call", "y"), func(e *event.Recorded) { e.Quiet = "storm" })
	l.send("activity.recorded", "lead/1", activity("1", "call", "y"), func(e *event.Recorded) { e.Deriver = "corrections" })
	if s := l.State("lead/1"); s["calls"] != int64(1) || s["outcomes"] != int64(1) {
		t.Errorf("%v, want the one live call", s)
	}
}

// A count that is too low must not act as if nothing had happened.
func TestWindows_WhatCannotBeCountedIsAFailureOfItsRule(t *testing.T) {
	counts := ruleFile("counts", `
on: [activity.recorded]
windows: {big: {on: [activity.recorded], when: int(data.outcome) > 3, over: P7D}, all: {on: [activity.recorded], over: P7D}}
set: {big: windows.big.count, all: windows.all.count}`)
	other := ruleFile("other", "on: [activity.recorded]\nset: {other: 'has(state.other) ? state.other + 1 : 1'}")
	l := newMemoryLog(t, counts, other)
	l.send("activity.recorded", "lead/1", activity("1", "call", "5"))
	taken := l.send("activity.recorded", "lead/1", activity("1", "call", "five"))
	if len(taken.Failures) != 1 || taken.Failures[0].Rule != "counts" || !strings.Contains(taken.Failures[0].Detail, "windows.big.when: ") || len(taken.Derived) != 1 {
		t.Errorf("%+v, %d derived", taken.Failures, len(taken.Derived))
	}
	if s := l.State("lead/1"); s["big"] != int64(1) || s["all"] != int64(1) || s["other"] != int64(2) {
		t.Errorf("%v: the rule ran on the event, or the other did not", s)
	}
	for i := range 20 {
		l.send("activity.recorded", fmt.Sprintf("lead/%d", i+2), activity("1", "call", "five"))
	}
	l.send("activity.recorded", "lead/1", activity("1", "call", "7"))
	if s := l.State("lead/1"); l.Off("counts") != "" || s["big"] != int64(2) || s["all"] != int64(3) {
		t.Errorf("%v, off: %q", s, l.Off("counts"))
	}
}

// assigned is a stretch of days with picks and counts: merged, erased, missed, published again.
func (b *flowBench) assigned() {
	b.Helper()
	b.publish("a", 1, chase, reps, reroutes, calls)
	for i := range 12 {
		id := fmt.Sprint(i % 4)
		b.send("a", "activity.recorded", "lead/"+id, activity(id, "call", fmt.Sprint(i)))
		b.send("a", "lead.updated", "lead/"+id, lead(id))
		b.now = b.now.Add(7 * time.Minute)
	}
	b.lead("a", "1")
	b.send("a", "subject.merged", "lead/1", map[string]any{"from": "lead/1", "into": "lead/2"})
	b.send("a", "activity.recorded", "lead/1", activity("1", "call", "z"))
	b.send("a", "lead.updated", "lead/1", lead("1"))
	b.send("a", "lead.lost", "lead/3", lead("3"))
	b.send("a", "lead.updated", "lead/3", lead("3"))
	b.publish("a", 2, chase, reps, reroutes, ruleset.File{Name: calls.Name, Text: strings.Replace(calls.Text, "P7D", "P8D", 1)})
	b.send("a", "activity.recorded", "lead/0", activity("0", "call", "z"))
	b.later(3 * time.Hour)
	b.send("a", "activity.recorded", "lead/2", activity("2", "call", "last"))
}

func TestAssign_PicksAndCountsAreKeptAlikeInOneBatchAndByEveryEventWithACrashBefore(t *testing.T) {
	torn, whole := newFlowBench(t), newFlowBench(t)
	torn.crash = true
	torn.assigned()
	whole.log = torn.log
	whole.apply(whole.h, nil, runOf(unnumbered(torn.log["a"])...))
	var want, got []string
	for _, r := range torn.log["a"] {
		if r.Deriver == Deriver {
			want = append(want, printed(&r.Event))
		}
	}
	for _, e := range whole.waiting(Deriver) {
		got = append(got, printed(&e))
	}
	if !slices.Equal(got, want) || len(want) < 15 {
		t.Errorf("derived in one batch (+) and event by event (-):\n%.4000s", other(strings.Join(got, "\n"), strings.Join(want, "\n")))
	}
	if a, b := whole.kept(false), torn.kept(false); a != b || !strings.Contains(a, "window") {
		t.Errorf("kept after one batch (+) and event by event (-):\n%.4000s", other(a, b))
	}
	state := strings.Join(torn.lines(`SELECT (state->>'calls') || ' ' || (state->>'outcomes') || ' ' || (state->>'all') FROM neuronx.rule_state WHERE subject = 'lead/2'`), "")
	torn.is("calls, outcomes and all of lead/2 after three hours and another definition", state, "1 1 1")
	torn.is("who has counts", strings.Join(torn.lines(`SELECT name FROM neuronx.named_state WHERE kind = 'window' ORDER BY 1`), " "), "lead/0 lead/2 lead/3")
	if _, err := torn.pool.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ($1, 1, 'a', 0, $2)`,
		kafka.GroupRules, len(torn.log["a"])); err != nil {
		t.Fatal(err)
	}
	s := &shadow{pool: torn.pool, archive: torn, registry: torn.registry, log: quiet(), metrics: newMetrics(nil), patience: time.Second}
	if c, err := s.compare(t.Context(), "a"); err != nil || c.differences != 0 || c.examined < 15 {
		t.Errorf("%+v, %v", c, err)
	}
}
