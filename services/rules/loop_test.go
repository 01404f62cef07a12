package rules

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// ping and pong trigger each other without end.
var (
	ping = ruleFile("ping", `
on: [lead.updated]
emit:
  - type: lead.contacted
    data: {lead_id: data.lead_id}`)
	pong = ruleFile("pong", `
on: [lead.contacted]
emit:
  - type: lead.updated
    data: {lead_id: data.lead_id}`)
	score = ruleFile("score", `
on: [lead.created]
emit:
  - type: lead.scored
    data: {lead_id: data.lead_id, score: 10}
set: {seen: "true"}`)
	divides = ruleFile("divides", `
on: [lead.created]
emit:
  - type: lead.scored
    data: {lead_id: data.lead_id, score: 1 / int(data.source)}`)
	broken = ruleFile("broken", `
on: [lead.created]
when: data.source == "0"
set: {x: 1 / 0}`)
)

func lead(id string) map[string]any { return map[string]any{"lead_id": id} }

func TestLoop_WhatAnImportCausesIsAnImportHopAfterHop(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, ruleFile("scores", `
on: [lead.created]
origins: [live, import]
emit:
  - type: lead.scored
    data: {lead_id: data.lead_id, score: 10}`), ruleFile("qualifies", `
on: [lead.scored]
origins: [live, import]
emit:
  - type: lead.qualified
    data: {lead_id: data.lead_id}
  - type: crm.contact.tag.requested
    data: {lead_id: data.lead_id, add: '["hot"]', remove: '[]'}`), ruleFile("greets", `
on: [lead.scored, lead.qualified]
emit:
  - type: crm.note.add.requested
    data: {lead_id: data.lead_id, body: '"hello"'}`))
	r.sendAs(event.OriginImport, "t1", "lead.created", "lead/old", lead("old"))
	r.send("t1", "lead.created", "lead/new", lead("new"))
	r.waitIdle("t1")
	got := map[string][]string{}
	for _, e := range r.log("t1") {
		if e.Derived() {
			got[e.Subject] = append(got[e.Subject], e.Type+" "+string(e.Origin))
		}
	}
	for subject, want := range map[string][]string{
		"lead/old": {"crm.contact.tag.requested import", "lead.qualified import", "lead.scored import"},
		"lead/new": {"crm.contact.tag.requested live", "crm.note.add.requested live", "crm.note.add.requested live", "lead.qualified live", "lead.scored live"},
	} {
		if slices.Sort(got[subject]); !slices.Equal(got[subject], want) {
			t.Errorf("%s: %v, want %v", subject, got[subject], want)
		}
	}
}

func TestLoop_IsCutAtHop16ReportedTrippedAndBroughtBack(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, ping, pong, score)
	r.send("t1", "lead.updated", "lead/1", lead("1"))
	r.wait("the storm to be seen in the log", func() bool { return r.count("t1", typeStorm) == 1 })
	r.waitIdle("t1")
	if n := r.count("t1", "lead.updated", "lead.contacted"); n != 17 {
		t.Fatalf("%d events of the loop in the log, want the fact and 16 derived ones", n)
	}
	var storms []event.Event
	for _, rec := range kafkatest.Consume(t, r.kafka, kafka.TopicDeadLetter) {
		e, err := kafka.ParseRecord(rec)
		if err != nil {
			t.Fatal(err)
		}
		storms = append(storms, e)
	}
	if len(storms) != 1 || storms[0].Hops != 17 || len(storms[0].Path) != 17 {
		t.Fatalf("dead letters %+v, want one of hop 17 with its path", storms)
	}
	l, err := List(t.Context(), r.ops, "t1")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range l.Rules {
		if want := map[string]string{"ping": trippedStorm}[rule.Name]; rule.Tripped != want {
			t.Errorf("rule %s is tripped %q, want %q", rule.Name, rule.Tripped, want)
		}
	}
	before := r.count("t1", "derived")
	r.send("t1", "lead.updated", "lead/1", lead("1"))
	r.send("t1", "lead.created", "lead/2", lead("2"))
	r.wait("other rules to go on", func() bool { return r.count("t1", "lead.scored") == 1 })
	r.waitIdle("t1")
	if n := r.count("t1", "derived"); n != before+1 {
		t.Errorf("%d more derived events, want 1: ping is off", n-before)
	}
	r.send("t1", typeReset, "rule/ping", map[string]any{"rule": "ping"})
	r.send("t1", "lead.updated", "lead/3", lead("3"))
	r.wait("a second storm", func() bool { return r.count("t1", typeStorm) == 2 })
	r.waitIdle("t1")
	if n := r.count("t1", "lead.updated", "lead.contacted"); n != 17+1+17 {
		t.Errorf("%d events of the loop, want %d: reset brings the rule back", n, 17+1+17)
	}
	r.compareAll("t1", r.count("t1", "derived"))
}

// compareAll resets the group back, as an operator's tool would, and expects that deriving again gives what stands in the log.
func (r *rig) compareAll(tenant string, examined int) {
	r.t.Helper()
	report := &consumer.ResetReport{}
	s := &shadow{pool: r.pool, archive: r, registry: r.registry, log: quiet(), metrics: newMetrics(nil), patience: 1}
	err := s.Reset(r.t.Context(), consumer.Reset{Topic: kafka.TopicEvents, From: 10, To: 0, Tenants: []string{tenant}, Report: report})
	if err != nil {
		r.t.Fatal(err)
	}
	if report.Differences != 0 || report.Examined != int64(examined) {
		r.t.Errorf("%d of %d derived events differ, want 0 of %d: %s", report.Differences, report.Examined, examined, report.Detail)
	}
}

func TestFailure_IsAnOutcomeAndTripsAfterFiveInARow(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, broken, score)
	send := func(i int, source string) {
		r.send("t1", "lead.created", fmt.Sprintf("lead/L%d", i), map[string]any{"lead_id": fmt.Sprint("L", i), "source": source})
		r.waitIdle("t1") // one at a time: which event the trip is seen before must not depend on timing
	}
	for i := range 4 {
		send(i, "0")
	}
	send(4, "1") // a success ends the row
	for i := 5; i < 10; i++ {
		send(i, "0")
	}
	r.wait("nine failures", func() bool { return r.count("t1", typeFailed) == 9 })
	r.waitIdle("t1")
	send(10, "1")
	if n := r.count("t1", "lead.scored"); n != 11 {
		t.Errorf("%d scores, want 11: the other rule goes on", n)
	}
	l, err := List(t.Context(), r.ops, "t1")
	if err != nil {
		t.Fatal(err)
	}
	if l.Rules[0].Name != "broken" || l.Rules[0].Tripped != trippedFailures || l.Version != 1 || l.PublishedBy != "test" {
		t.Errorf("listing %+v", l)
	}
	r.compareAll("t1", r.count("t1", "derived"))
}

func TestPublish_SwitchesAtItsSequenceAndABadBundleChangesNothing(t *testing.T) {
	r := newRig(t)
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.send("t1", "lead.created", "lead/before", lead("before")) // before any rules
	r.publish("t1", 1, score)
	r.send("t1", "lead.created", "lead/1", lead("1"))
	bad := ruleFile("bad", "on: [lead.created]\nwhen: nosuch")
	r.publish("t1", 2, bad)
	r.publish("t1", 1, score) // does not follow
	r.send("t1", "lead.created", "lead/2", lead("2"))
	r.publish("t1", 2) // an empty bundle takes the rules away
	r.send("t1", "lead.created", "lead/3", lead("3"))
	r.wait("everything derived", func() bool { return r.count("t1", "derived") == 4 })
	r.waitIdle("t1")
	if n := r.count("t1", "lead.scored"); n != 2 {
		t.Errorf("%d scores, want 2: of the leads between publishing and taking away", n)
	}
	if n := r.count("t1", typeFailed); n != 2 {
		t.Errorf("%d reports of unusable bundles, want 2", n)
	}
	r.compareAll("t1", 4)
}

func TestReset_ForwardAndDeadLettersNeedNothing(t *testing.T) {
	s := &shadow{}
	for _, r := range []consumer.Reset{{Topic: kafka.TopicEvents, From: 1, To: 9}, {Topic: kafka.TopicDeadLetter, From: 9, To: 1}} {
		r.Report = &consumer.ResetReport{}
		if err := s.Reset(context.Background(), r); err != nil || r.Report.Detail == "" {
			t.Errorf("%+v: %v, %q", r, err, r.Report.Detail)
		}
	}
}
