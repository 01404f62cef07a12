package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
)

func TestFlows_MoveByOutcomesTimersAndAnswers(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.send("a", "consent.changed", "lead/1", map[string]any{"lead_id": "1", "channel": "sms", "granted": true, "basis": "form"})
	n := len(b.log["a"])
	b.lead("a", "1")
	b.is("derived by the start", b.since("a", n), "lead.assigned note.add")
	b.is("armed", b.armed("a"), "1:note:armed:0")

	n = len(b.log["a"])
	b.noted("a", "1")
	b.is("derived by the outcome", b.since("a", n), "")
	b.is("armed", b.armed("a"), "1:pause:armed:0")

	b.later(59 * time.Minute)
	b.is("derived before the due", b.since("a", n), "")
	b.later(2 * time.Minute)
	b.is("derived by the timer", b.since("a", n), "timer.fired message.send")
	b.is("armed", b.armed("a"), "1:answer:armed:0")
	if c := b.command("a", "crm.message.send.requested"); c.Hops != 1 || c.CausationID != b.command("a", timers.Type).ID {
		t.Errorf("the message has %d hops and is caused by %s; a timer ends a chain", c.Hops, c.CausationID)
	}

	n = len(b.log["a"])
	b.send("a", "activity.recorded", "lead/1", map[string]any{"activity_id": "x", "lead_id": "1", "kind": "sms", "direction": "inbound"})
	b.is("derived by the answer", b.since("a", n), "contact.tag workflow.completed")
	b.is("instances", b.statuses("a"), "1:completed")
	if left := b.lines(`SELECT id FROM neuronx.timers UNION ALL SELECT type FROM neuronx.workflow_waits`); len(left) > 0 {
		t.Errorf("an instance that has ended leaves %v", left)
	}
}

func TestFlows_UntilEndsAnInstanceAndDisarmsItsTimers(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.publish("b", 1, chase, reps)
	for _, tenant := range []string{"a", "b"} {
		b.lead(tenant, "1")
		b.noted(tenant, "1")
	}
	n := len(b.log["a"])
	b.send("a", "lead.lost", "lead/1", lead("1"))
	b.is("derived by the end", b.since("a", n), "workflow.cancelled")
	b.is("armed after the end", b.armed("a"), "")
	b.is("claims", strings.Join(b.lines(`SELECT tenant_id || ' ' || key FROM neuronx.pool_claims`), " "), "b 1")
	b.is("the same lead of another tenant", b.statuses("b")+" "+b.armed("b"), "1:waiting 1:pause:armed:0")
	b.later(2 * time.Hour)
	b.is("derived after the end", b.since("a", n), "workflow.cancelled")
	if b.since("b", 0) == "" || b.armed("b") == "1:pause:armed:0" {
		t.Errorf("the timer of the other tenant did not fire: %s", b.since("b", 0))
	}
}

// A firing that was on its way when its instance ended, or that comes a second time, is decided by the log's order.
func TestFlows_AStaleFiringChangesNothing(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.lead("a", "1")
	b.noted("a", "1")
	b.now = b.now.Add(2 * time.Hour)
	b.fire()
	firing := b.waiting(timers.Deriver)
	if len(firing) != 1 {
		t.Fatalf("%d firings are on their way", len(firing))
	}
	b.take(b.outside("a", "lead.lost", "lead/1", lead("1"))) // before the firing
	n, instances := len(b.log["a"]), b.lines(`SELECT x::text FROM neuronx.workflow_instances x`)
	b.drain()
	b.is("derived after the end", b.since("a", n), "workflow.cancelled timer.fired")
	if got := b.lines(`SELECT x::text FROM neuronx.workflow_instances x`); fmt.Sprint(got) != fmt.Sprint(instances) {
		t.Errorf("the stale firing changed the instance:\n%s", other(fmt.Sprint(got), fmt.Sprint(instances)))
	}
	before := b.kept(false)
	again := firing[0]
	again.DeriverNumber = 0
	b.take(b.record(again))
	b.is("kept after a second firing", b.kept(false), before)
}

func TestFlows_AnEarlyFiringIsHeldAndFiresAgainUnderAnotherID(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.lead("a", "1")
	b.noted("a", "1")
	n := len(b.log["a"])
	due := b.now.Add(time.Hour)
	b.now = due
	b.fire() // this machine's clock runs ahead of the log's by half an hour
	b.now = due.Add(-30 * time.Minute)
	b.drain()
	b.is("derived by an early firing", b.since("a", n), "timer.fired")
	b.is("armed", b.armed("a"), "1:pause:armed:1")
	var held float64
	if err := b.pool.QueryRow(t.Context(), `SELECT extract(epoch FROM held_until - clock_timestamp()) FROM neuronx.timers WHERE task = 'pause'`).Scan(&held); err != nil || held <= 0 || held > 1800 {
		t.Errorf("held for %v s, %v; want until its due by the log's time", held, err)
	}
	if _, err := b.pool.Exec(t.Context(), `UPDATE neuronx.timers SET held_until = due WHERE task = 'pause'`); err != nil {
		t.Fatal(err)
	}
	b.now = due // within the pause of a process whose clock runs ahead
	b.later(time.Minute)
	b.is("derived", b.since("a", n), "timer.fired timer.fired")
}

func TestFlows_ARefusedFiringIsArmedAgain(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.lead("a", "1")
	b.noted("a", "1")
	b.now = b.now.Add(time.Hour)
	b.fire()
	refused := b.waiting(timers.Deriver)[0]
	b.keys.Sign(&refused)
	forged := refused
	forged.Signature = "forged"
	b.letter(forged)
	b.is("after a forged dead letter", b.armed("a"), "1:pause:firing:0")
	b.letter(refused)
	b.is("after the dead letter", b.armed("a"), "1:pause:armed:1")
	if left := b.waiting(""); len(left) > 0 {
		t.Errorf("what was refused waits in the outbox still: %v", left[0].ID)
	}
}

// letter reads a dead letter of an event.
func (b *flowBench) letter(e event.Event) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) error {
		return b.h.ApplyDeadLetters(b.Context(), tx, []consumer.DeadLetter{{TenantID: e.TenantID, Event: e, Code: string(event.CodeUnknownSchema)}})
	})
	if err != nil {
		b.Fatal(err)
	}
}

// refuse lets the firing that is due be refused so many times.
func (b *flowBench) refuse(times int) {
	b.Helper()
	for range times {
		if _, err := b.pool.Exec(b.Context(), `UPDATE neuronx.timers SET held_until = due`); err != nil {
			b.Fatal(err)
		}
		b.fire()
		firing := b.waiting(timers.Deriver)
		if len(firing) != 1 {
			b.Fatalf("%d firings are on their way", len(firing))
		}
		b.keys.Sign(&firing[0])
		b.letter(firing[0])
	}
}

func TestFlows_ATimerThatIsRefusedTenTimesIsAnIncidentOfItsTask(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.lead("a", "1")
	b.noted("a", "1")
	b.now = b.now.Add(time.Hour)
	n := len(b.log["a"])
	b.refuse(timers.GiveUpAfter - 1)
	b.drain()
	b.is("after nine refusals", b.since("a", n)+b.armed("a"), "1:pause:armed:9")
	b.refuse(1)
	b.drain()
	b.is("after ten", b.since("a", n), "engine.timer.refused workflow.incident.raised")
	b.is("instances", b.statuses("a"), "1:incident")
	b.is("armed", b.armed("a"), "")
	data, err := decode(t.Context(), b.h.decoder, new(b.command("a", "workflow.incident.raised")), 3)
	if err != nil {
		t.Fatal(err)
	}
	incident := data["incidents"].([]any)[0].(map[string]any)
	if incident["code"] != "timer" || incident["task"] != "pause" || !strings.Contains(incident["detail"].(string), "10 times, the last time as unknown_schema") {
		t.Errorf("the incident is %v", incident)
	}
	// A reset takes the report for what it is: it was derived from a dead letter, and not from the log.
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ($1, 1, 'a', 0, $2)`,
		kafka.GroupRules, len(b.log["a"])); err != nil {
		t.Fatal(err)
	}
	s := &shadow{pool: b.pool, archive: b, registry: b.registry, log: quiet(), metrics: newMetrics(nil), patience: time.Second}
	if c, err := s.compare(t.Context(), "a"); err != nil || c.differences != 0 || c.examined == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	// A retry waits once more, by a timer of its own.
	b.send("a", "workflow.incident.resolved", "instance/"+data["instance_id"].(string),
		map[string]any{"instance_id": data["instance_id"], "incident_id": incident["incident_id"], "action": "retry"})
	b.is("after a retry", b.statuses("a")+" "+b.armed("a"), "1:waiting 1:pause:armed:0")
	n = len(b.log["a"])
	b.later(2 * time.Hour)
	b.is("derived", b.since("a", n), "timer.fired")
}

// What ends instances comes first, then rules, then what starts them; the order is part of the semantics.
func TestFlows_RulesStandBetweenWhatEndsAndWhatStarts(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, ruleFile("tags", `
on: [lead.created]
emit:
  - type: crm.contact.tag.requested
    data: {lead_id: data.lead_id, add: '["new"]', remove: '[]'}`), kindFile("Workflow", "again", `
start: {on: [lead.created], key: data.lead_id}
until: {once-more: {on: [lead.created], status: completed}}
do:
  - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: '"ann"'}}}
  - pause: {wait: {for: P1D}}`))
	n := len(b.log["a"])
	b.lead("a", "1")
	b.is("the first", b.since("a", n), "contact.tag lead.assigned")
	b.is("instances", b.statuses("a"), "1:waiting")
	n = len(b.log["a"])
	b.lead("a", "1")
	b.is("the second", b.since("a", n), "workflow.completed contact.tag lead.assigned")
	b.is("instances", strings.Join(b.lines(`SELECT status FROM neuronx.workflow_instances ORDER BY 1`), " "), "completed waiting")
}

// tale is a stretch of two tenants' days that uses everything.
func (b *flowBench) tale() {
	counts := ruleFile("counts", "on: [lead.created, lead.assigned]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")
	fails := kindFile("Workflow", "fails", `
start: {on: [lead.scored], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do:
  - bad: {set: {x: 1 / (instance.number - instance.number)}}`)
	for _, tenant := range []string{"a", "b"} {
		b.lead(tenant, "0")
		b.publish(tenant, 1, chase, reps, counts, fails)
		b.send(tenant, "consent.changed", "lead/1", map[string]any{"lead_id": "1", "channel": "sms", "granted": true})
	}
	for _, tenant := range []string{"a", "b"} {
		for _, id := range []string{"1", "2", "3"} {
			b.lead(tenant, id)
		}
		b.send(tenant, "lead.scored", "lead/2", map[string]any{"lead_id": "2", "score": int64(3)})
		b.noted(tenant, "3")
		b.lead(tenant, "3") // lives: rejected
	}
	b.later(90 * time.Minute)
	b.send("a", "crm.note.add.failed", "lead/2", map[string]any{"lead_id": "2", "command_id": b.noteOf("a", "lead/2"), "adapter": "gohighlevel", "code": "x"})
	b.send("a", "crm.note.add.succeeded", "lead/1", map[string]any{"lead_id": "1", "command_id": b.noteOf("a", "lead/1"), "adapter": "gohighlevel"})
	b.publish("a", 2, counts, reps, kindFile("Workflow", "chase", strings.SplitN(strings.ReplaceAll(chase.Text, "\n  ", "\n"), "spec:\n", 2)[1]+"  - more: {wait: {for: P1D}}"))
	b.migrateAll("a")
	b.startOn("a", "chase", b.log["a"][0])
	b.later(2 * time.Hour)
	b.send("a", "lead.lost", "lead/3", lead("3"))
	b.lead("a", "3")
	b.send("a", "workflow.paused", "workflow/chase", map[string]any{"workflow": "chase", "hold": true})
	b.later(30 * time.Hour)
	b.send("a", "workflow.unpaused", "workflow/chase", map[string]any{"workflow": "chase"})
	b.later(30 * time.Hour)
}

func (b *flowBench) noteOf(tenant, subject string) string {
	b.Helper()
	for _, r := range b.log[tenant] {
		if r.Type == "crm.note.add.requested" && r.Subject == subject {
			return r.ID
		}
	}
	b.Fatalf("no note of %s", subject)
	return ""
}

func printed(e *event.Event) string {
	return fmt.Sprint(e.TenantID, e.ID, e.Source, e.Type, e.Subject, e.Time.UnixNano(), e.CausationID, e.CorrelationID, e.Origin, e.Hops, e.Path, e.Value)
}

func TestFlows_ACrashBeforeEachCommitAndARestartAfterItGiveWhatOneBatchGives(t *testing.T) {
	torn := newFlowBench(t)
	torn.crash = true
	torn.tale()
	whole := newFlowBench(t)
	var runs []consumer.Run
	var want, got []string
	types := map[string]bool{}
	for _, tenant := range []string{"a", "b"} {
		runs = append(runs, runOf(unnumbered(torn.log[tenant])...))
		for _, r := range torn.log[tenant] {
			types[r.Type] = true
			if r.Deriver == Deriver {
				want = append(want, printed(&r.Event))
			}
		}
	}
	whole.log = torn.log
	whole.apply(whole.h, nil, runs...)
	for _, e := range whole.waiting(Deriver) {
		got = append(got, printed(&e))
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("derived in one batch (+) and event by event (-):\n%.4000s", other(a, b))
	}
	if a, b := whole.kept(false), torn.kept(false); a != b {
		t.Errorf("kept after one batch (+) and event by event (-):\n%.4000s", other(a, b))
	}
	for _, typ := range []string{"workflow.completed", "workflow.cancelled", "workflow.rejected", "workflow.incident.raised", "timer.fired", "crm.message.send.requested"} {
		if !types[typ] {
			t.Errorf("the tale has no %s", typ)
		}
	}
}

// An event that is left for the catch-up leaves nothing of its workflows, and the catch-up derives what a batch without bounds does.
func TestFlows_AnEventForLaterLeavesNothing(t *testing.T) {
	dear := kindFile("Workflow", "dear", `
start: {on: [lead.created], key: data.lead_id}
do:
  - route: {assign: {pool: team, as: owner}}
  - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.owner}}}
  - think: {if: 'instance.key == "2"', set: {n: 'size(lists.range(100).filter(i, lists.range(100).exists(j, j == i + 1000)))'}}
  - pause: {wait: {for: P1D}}`)
	free, bound := newFlowBench(t), newFlowBench(t)
	bound.keys = free.keys
	bound.restart()
	var runs []event.Recorded
	for _, b := range []*flowBench{free, bound} {
		b.take(b.outside("a", typePublished, "rules/a", ruleset.PublishedData([]ruleset.File{dear, reps}, 1, "")))
		runs = nil
		for _, id := range []string{"1", "2", "3"} {
			runs = append(runs, b.outside("a", "lead.created", "lead/"+id, lead(id)))
		}
	}
	free.take(runs[0])
	part := bound.parts(bound.h, runOf(runs...))[0]
	if part.Applied != 1 || !part.Later || part.Err != nil {
		t.Fatalf("%+v, want one event and the rest for later", part)
	}
	bound.is("kept", other(bound.kept(true), free.kept(true)), "")
	free.apply(free.h, nil, runOf(runs[1:]...))
	for done := 1; done < len(runs); {
		part := bound.catchUp(bound.h, runOf(runs[done:]...))
		if part.Err != nil || part.Applied == 0 {
			t.Fatalf("%+v", part)
		}
		done += part.Applied
	}
	bound.is("kept after the catch-up", other(bound.kept(true), free.kept(true)), "")
}

// While a tenant is suspended the facts that would end its instances are refused.
func TestFlows_ASuspendedTenantFiresNothingUntilItIsResumed(t *testing.T) {
	b := newFlowBench(t)
	loop := consumer.Config{Pool: b.pool, Log: quiet()}
	f := newFiring(&caughtUp{}, &loop, 12, timers.NewClock(func() time.Time { return b.now }))
	may := func(tenant string) bool {
		t.Helper()
		through, err := f.through(t.Context(), []string{tenant})
		if err != nil {
			t.Fatal(err)
		}
		_, may := through[tenant]
		return may
	}
	for _, tenant := range []string{"a", "b"} {
		b.publish(tenant, 1, chase, reps)
	}
	b.send("a", "tenant.suspended", "tenant/a", map[string]any{})
	if may("a") || !may("b") {
		t.Errorf("the suspended tenant may fire: %t, the other: %t", may("a"), may("b"))
	}
	b.send("a", "tenant.resumed", "tenant/a", map[string]any{})
	if !may("a") {
		t.Error("the tenant that was resumed may not fire")
	}
}

// A lead who is lost is not chased on while somebody repairs a file.
func TestFlows_UntilEndsAnInstanceThatStandsInAnIncident(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, kindFile("Workflow", "fails", `
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do:
  - bad: {set: {x: 1 / (instance.number - instance.number)}}`))
	b.lead("a", "1")
	b.is("instances", b.statuses("a"), "1:incident")
	b.send("a", "lead.lost", "lead/1", lead("1"))
	b.is("instances", b.statuses("a"), "1:cancelled")
}
