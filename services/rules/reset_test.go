package rules

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
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

// fixed is an archive of one tenant that does not change.
type fixed []event.Recorded

func (f fixed) Events(_ context.Context, _ string, from int64, limit int) ([]event.Recorded, error) {
	rest := f[min(int64(len(f)), from-1):]
	return rest[:min(len(rest), limit)], nil
}
