package rules

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/timers"
)

// caughtUp is a partition whose log is empty, or not read to its end.
type caughtUp struct{ behind bool }

func (r *caughtUp) IngressEnd(context.Context, int32) (int64, error)      { return 0, nil }
func (r *caughtUp) Sequenced(context.Context, int32, int64) (bool, error) { return true, nil }
func (r *caughtUp) LogEnd(context.Context, int32) (int64, error)          { return 0, nil }
func (r *caughtUp) Applied(context.Context, int32, int64) (bool, error)   { return !r.behind, nil }

// Another process may have fired in between, and a database that was restored meanwhile would not know it.
func TestFiring_WaitsAtAnAssignmentThatComesBackBetweenTwoLooks(t *testing.T) {
	at, loop := &caughtUp{}, consumer.Config{Log: quiet()}
	f := newFiring(at, &loop, 12, nil)
	f.owned = func() []int32 { return []int32{3, 4} }
	if open := f.open(t.Context()); len(open) != 2 {
		t.Fatalf("open are %v, want both partitions", open)
	}
	at.behind = true
	if open := f.open(t.Context()); len(open) != 2 {
		t.Fatalf("open are %v: what is open stays open while it is owned", open)
	}
	loop.Assigned(3)
	if open := f.open(t.Context()); !slices.Equal(open, []int32{4}) {
		t.Errorf("open are %v, want 4 alone: 3 was assigned again", open)
	}
}

func TestLoop_ATimerFiresThroughTheLogAndAResetDerivesTheSameAgain(t *testing.T) {
	r := newRig(t)
	var passed atomic.Int64 // ns that the test lets pass
	r.clock = func() time.Time { return time.Now().Add(-48*time.Hour + time.Duration(passed.Load())) }
	stop := r.start()
	tenants := []string{"t1", "t2"}
	for _, tenant := range tenants {
		r.send(tenant, "tenant.created", "tenant/"+tenant, map[string]any{})
		r.publish(tenant, 1, chase, reps, score)
		for _, id := range []string{"1", "2"} {
			r.send(tenant, "lead.created", "lead/"+id, lead(id))
		}
	}
	armed := func(tenant, task string) int {
		var n int
		if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.timers WHERE tenant_id = $1 AND task = $2 AND state = 'armed'`, tenant, task).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	for _, tenant := range tenants {
		r.wait("the notes of "+tenant, func() bool { return r.count(tenant, "crm.note.add.requested") == 2 })
		for _, e := range r.log(tenant) {
			if e.Type == "crm.note.add.requested" {
				id := strings.TrimPrefix(e.Subject, "lead/")
				r.send(tenant, "crm.note.add.succeeded", e.Subject, map[string]any{"lead_id": id, "command_id": e.ID, "adapter": "gohighlevel"})
			}
		}
		r.wait("the pauses of "+tenant, func() bool { return armed(tenant, "pause") == 2 })
	}
	r.send("t1", "lead.lost", "lead/2", lead("2"))
	r.wait("the end of one instance", func() bool { return armed("t1", "pause") == 1 })
	passed.Add(int64(61 * time.Minute))
	for _, tenant := range tenants {
		want := map[string]int{"t1": 1, "t2": 2}[tenant]
		r.wait("the timers of "+tenant, func() bool { return armed(tenant, "answer") == want && r.count(tenant, timers.Type) == want })
	}
	r.send("t2", "lead.lost", "lead/1", lead("1"))
	for _, tenant := range tenants {
		r.wait("everything of "+tenant+" to be applied and seen", func() bool {
			var sequence, waiting int64
			err := r.pool.QueryRow(t.Context(), `SELECT sequence, (SELECT count(*) FROM neuronx.outbox WHERE tenant_id = $1) FROM neuronx.progress WHERE tenant_id = $1`, tenant).
				Scan(&sequence, &waiting)
			return err == nil && r.count(tenant, "workflow.cancelled") == 1 && waiting == 0 && sequence == int64(len(r.log(tenant)))
		})
	}
	stop()
	reset := func(archive func(tenant string) []event.Recorded) consumer.ResetReport {
		t.Helper()
		report := consumer.ResetReport{}
		s := &shadow{pool: r.pool, archive: archived(archive), registry: r.registry, log: quiet(), metrics: newMetrics(nil), patience: 5 * time.Second}
		if err := s.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, From: 10, Tenants: tenants, Report: &report}); err != nil {
			t.Fatal(err)
		}
		return report
	}
	derived := r.count("t1", "derived", timers.Type) + r.count("t2", "derived", timers.Type)
	if got := reset(r.log); got.Differences != 0 || got.Examined != int64(derived) {
		t.Errorf("%+v, want %d events and no difference", got, derived)
	}
	// One output of a workflow says something else than it should.
	got := reset(func(tenant string) []event.Recorded {
		events := r.log(tenant)
		for i := range events {
			if e := &events[i]; tenant == "t2" && e.Type == "lead.assigned" {
				e.Value = bytes.Replace(e.Value, []byte("ann"), []byte("eve"), 1)
			}
		}
		return events
	})
	if got.Differences == 0 || !strings.Contains(got.Detail, "t2: sequence") || !strings.Contains(got.Detail, "lead.assigned") {
		t.Errorf("%+v, want the assignment that differs", got)
	}
	// So does a firing of a timer that nothing armed.
	got = reset(func(tenant string) []event.Recorded {
		events := r.log(tenant)
		for i := range events {
			if e := &events[i]; tenant == "t1" && e.Type == timers.Type {
				e.Value = value(t, r.registry, timers.Type, map[string]any{"timer_id": "other", "due": r.clock().Truncate(time.Second)})
			}
		}
		return events
	})
	if got.Differences == 0 || !strings.Contains(got.Detail, "which nothing armed") {
		t.Errorf("%+v, want the firing that nothing armed", got)
	}
}

// archived is an archive that does not change, of many tenants.
type archived func(tenant string) []event.Recorded

func (a archived) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	return fixed(a(tenant)).Events(ctx, tenant, from, limit)
}
