package rules

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// lagging is an archive whose events after a sequence come only to those that ask for them, as they do to one that looks again.
type lagging struct {
	*rig
	at int64
}

func (l lagging) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	if from <= l.at {
		limit = int(l.at - from + 1)
	}
	return l.rig.Events(ctx, tenant, from, limit)
}

// both derives two events of one.
var both = ruleFile("both", `
on: [lead.created]
emit:
  - type: lead.scored
    data: {lead_id: data.lead_id, score: 10}
  - type: lead.qualified
    data: {lead_id: data.lead_id}`)

func TestReset_WhatLeavesTheOutboxWhileItIsWaitedForIsNoDifference(t *testing.T) {
	r := newRig(t)
	stop := r.start()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, both)
	r.send("t1", "lead.created", "lead/1", lead("1"))
	r.wait("both events", func() bool { return r.count("t1", "derived") == 2 })
	r.waitIdle("t1")
	stop()
	// As it was a moment ago: the lead is applied, its first event is in the outbox still, the second in the log, and the archive
	// has neither.
	first := r.log("t1")[3]
	for _, change := range []string{
		`UPDATE neuronx.progress SET sequence = 3 WHERE consumer = 'neuronx.rules' AND tenant_id = 't1'`,
		`INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('t1', 'rules', 1, '` + first.ID + `', '')`,
	} {
		if _, err := r.pool.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	report := &consumer.ResetReport{}
	s := &shadow{pool: r.pool, archive: lagging{r, 3}, registry: r.registry, log: quiet(), metrics: newMetrics(nil), patience: 12 * time.Second}
	err := s.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, From: 10, To: 0, Tenants: []string{"t1"}, Report: report})
	if err != nil || report.Differences != 0 || report.Examined != 2 {
		t.Errorf("%+v %v, want 2 events and no difference", *report, err)
	}
}

func TestReset_WhatIsMissingIsFoundWithoutWaitingForEver(t *testing.T) {
	r := newRig(t)
	stop := r.start()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, both)
	r.send("t1", "lead.created", "lead/1", lead("1"))
	r.wait("both events", func() bool { return r.count("t1", "derived") == 2 })
	r.waitIdle("t1")
	stop()
	events := r.log("t1")
	for i := range events {
		events[i].ID = "other-" + events[i].ID // nothing of what is derived again has such an id
	}
	report := &consumer.ResetReport{}
	s := &shadow{pool: r.pool, archive: fixed(events), registry: r.registry, log: quiet(), metrics: newMetrics(nil), patience: time.Minute}
	began := time.Now()
	err := s.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, From: 10, To: 0, Tenants: []string{"t1"}, Report: report})
	if err != nil || report.Differences != 4 {
		t.Errorf("%+v %v, want 4 differences: two not derived again, two not in the log", *report, err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to say so", took)
	}
	// An attempt that is made again counts again, not on top. Tenants of the partition are not told of each other.
	err = s.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, From: 10, To: 0, Tenants: []string{"t1"}, Report: report})
	if err != nil || report.Differences != 4 || !strings.Contains(report.Detail, "t1") || strings.Contains(report.Told, "t1") || report.Told == "" {
		t.Errorf("once more: %+v %v, want 4 differences", *report, err)
	}
}

// The service goes on while a reset compares, and what it derives then comes into the archive that the reset reads.
func TestReset_WhatIsAppliedMeanwhileIsNoDifference(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps, both)
	for _, id := range []string{"1", "2", "3"} {
		b.lead("a", id)
		b.noted("a", id)
	}
	b.later(2 * time.Hour)
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ($1, 1, 'a', 0, 1)`, kafka.GroupRules); err != nil {
		t.Fatal(err)
	}
	compare := func(through int) comparison {
		t.Helper()
		if _, err := b.pool.Exec(t.Context(), `UPDATE neuronx.progress SET sequence = $1`, through); err != nil {
			t.Fatal(err)
		}
		s := &shadow{pool: b.pool, archive: b, registry: b.registry, log: quiet(), metrics: newMetrics(nil), patience: time.Second}
		c, err := s.compare(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	log := b.log["a"]
	for through := 1; through <= len(log); through++ {
		if c := compare(through); c.differences != 0 || c.examined == 0 {
			t.Errorf("applied are %d of %d events: %+v", through, len(log), c)
		}
	}
	// What differs is found all the same.
	last := len(log) - 1
	for log[last].Deriver != Deriver {
		last--
	}
	was := log[last]
	log[last].Subject = "lead/other"
	if c := compare(3); c.differences != 1 {
		t.Errorf("%+v, want the one that has another subject", c)
	}
	log[last] = was
	// The service stalls where it can't go on, and the reset is about what is before.
	data := ruleset.PublishedData([]ruleset.File{both}, 2, "")
	data["semantics"] = int64(ruleset.Semantics + 1)
	b.outside("a", typePublished, "rules/a", data)
	if c := compare(len(log)); c.differences != 0 {
		t.Errorf("before an event that can't be applied: %+v", c)
	}
}

// fixed is an archive of one tenant that does not change.
type fixed []event.Recorded

func (f fixed) Events(_ context.Context, _ string, from int64, limit int) ([]event.Recorded, error) {
	rest := f[min(int64(len(f)), from-1):]
	return rest[:min(len(rest), limit)], nil
}
