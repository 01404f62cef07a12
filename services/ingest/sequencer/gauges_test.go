package sequencer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

func TestGauges_NameAMisroutingProducerAndStayBounded(t *testing.T) {
	g := newGauges(prometheus.NewRegistry())
	source := func(s string) []event.Header {
		return []event.Header{{Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte(s)}}
	}
	g.forward("acme", source("/billing"))
	g.forward("acme", source("/billing"))
	if n := testutil.ToFloat64(g.misrouted.WithLabelValues("acme", "/billing")); n != 2 {
		t.Errorf("/billing of acme has %v misrouted records, want 2", n)
	}
	g.forward("acme", source(strings.Repeat("é", 1000)))
	for i := range 5_000 {
		g.forward(fmt.Sprintf("t%d", i), source("/x"))
	}
	if n := testutil.CollectAndCount(g.misrouted); n > maxMisrouted+1 {
		t.Errorf("%d series", n)
	}
	if n := testutil.ToFloat64(g.misrouted.WithLabelValues(otherProducers, otherProducers)); n < 4_000 {
		t.Errorf("%v records of others were counted", n)
	}
	g.forward("acme", source("/billing"))
	if n := testutil.ToFloat64(g.misrouted.WithLabelValues("acme", "/billing")); n != 3 {
		t.Errorf("a known producer lost its series: %v", n)
	}
}

func TestGauges_OfAPartitionThatLeftAreGone(t *testing.T) {
	g := newGauges(prometheus.NewRegistry())
	p := &partition{id: 3, deltaBytes: 77, lastSnapshot: time.Now(), state: &admission.State{Next: 12}}
	g.restoredIn(p, 2*time.Second)
	if restored, deltas := testutil.ToFloat64(g.restored.WithLabelValues("3")), testutil.ToFloat64(g.deltas.WithLabelValues("3")); restored != 2 || deltas != 77 {
		t.Errorf("restored in %v s, %v bytes of deltas", restored, deltas)
	}
	if next, ok := g.judgedTo(3); !ok || next != 12 {
		t.Errorf("judged up to %d, %v", next, ok)
	}
	g.behind.WithLabelValues("3").Set(1)
	g.forget(3)
	if _, ok := g.judgedTo(3); ok {
		t.Error("where a partition stands that another process has is still known")
	}
	if n := testutil.CollectAndCount(g.behind) + testutil.CollectAndCount(g.restored) + testutil.CollectAndCount(g.snapshotAt) + testutil.CollectAndCount(g.deltas); n != 0 {
		t.Errorf("%d series of a partition that another process has", n)
	}
}

func TestBacklog_IsAsOldAsItsOldestRecord(t *testing.T) {
	b := backlog{}
	at := time.Unix(1000, 0)
	for i, c := range []struct {
		stable, judged int64
		want           float64
	}{
		{10, 10, 0},  // nothing waits
		{20, 10, 0},  // the first look is no time
		{30, 12, 5},  // it moves, but not as far as the end of 5 s ago
		{30, 19, 10}, // one is left of that
		{40, 20, 10}, // now the oldest came with the second look
		{40, 40, 0},
		{50, 40, 0},
	} {
		if got := b.age(1, c.stable, c.judged, at.Add(time.Duration(i)*5*time.Second)); got != c.want {
			t.Errorf("look %d, judged %d of %d: %v s, want %v", i, c.judged, c.stable, got, c.want)
		}
	}
	if b.age(1, 50, 50, at); len(b) != 0 {
		t.Errorf("%d ends are kept of what is judged", len(b))
	}
}

func TestStableAges_AnOpenTransactionShowsOnItsTopicOnly(t *testing.T) {
	w := stableWatch{}
	at := time.Unix(1000, 0)
	look := func(stable int64, later time.Duration) float64 { return w.age("a", 0, stable, 20, at.Add(later)) }
	if got := look(10, 0); got != 0 {
		t.Errorf("the first look is no time: %v", got)
	}
	if got := look(10, 5*time.Second); got != 5 {
		t.Errorf("held up for 5 s: %v", got)
	}
	if got := w.age("b", 0, 20, 20, at.Add(5*time.Second)); got != 0 {
		t.Errorf("another topic: %v", got)
	}
	if got := look(12, 10*time.Second); got != 0 {
		t.Errorf("it moved, so another transaction is the oldest: %v", got)
	}
	if got := look(20, 15*time.Second); got != 0 {
		t.Errorf("it ended: %v", got)
	}
	if got := look(10, 20*time.Second); got != 0 {
		t.Errorf("what ended is forgotten: %v", got)
	}
}
