package sequencer

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

// gauges are what an operator looks at when a partition, or one of its producers, behaves oddly.
type gauges struct {
	restored   *prometheus.GaugeVec
	snapshotAt *prometheus.GaugeVec
	deltas     *prometheus.GaugeVec
	stableAge  *prometheus.GaugeVec
	behind     *prometheus.GaugeVec
	misrouted  *prometheus.CounterVec

	hangingEnded prometheus.Counter

	mu     sync.Mutex
	known  map[[2]string]bool // tenant and source that have a series of their own
	judged map[int32]int64    // next offset of ingress, by owned partition
}

// maxMisrouted bounds the series of misrouting producers: tenants and sources come from outside. Those that come later share one.
const maxMisrouted = 100

const (
	maxSourceLabel = 80 // bytes
	otherProducers = "other"
)

func newGauges(reg prometheus.Registerer) *gauges {
	p := []string{"partition"}
	gauge := func(name, help string, labels []string) *prometheus.GaugeVec {
		return app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
	}
	return &gauges{
		known: map[[2]string]bool{}, judged: map[int32]int64{},
		restored: gauge("neuronx_sequencer_partition_restore_seconds",
			"How long the last restore of an owned partition took, from its assignment until its first record could be judged.", p),
		snapshotAt: gauge("neuronx_sequencer_snapshot_timestamp_seconds",
			"When this process last wrote or restored an owned partition's state; now minus this is the age of its snapshot.", p),
		deltas: gauge("neuronx_sequencer_delta_bytes", "State written since the partition's last snapshot: what a restore reads besides it.", p),
		stableAge: gauge("neuronx_sequencer_last_stable_age_seconds",
			"How long the oldest open transaction on an owned partition of the topic has held up its readers.", []string{"topic"}),
		behind: gauge("neuronx_sequencer_behind_seconds",
			"How long the oldest record of an owned partition of ingress has waited for its verdict, to within 5 seconds.", p),
		hangingEnded: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_sequencer_hanging_transactions_ended_total",
			Help: "Open transactions that no coordinator would have ended (KIP-664), ended as it had decided so that readers go on."})),
		misrouted: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_admission_misrouted_total",
			Help: "Records found in a partition that is not their key's, and forwarded, by tenant and ce_source: their producer's partitioner is not murmur2. " +
				"The first 100 pairs have series of their own."}, []string{"tenant", "source"})),
	}
}

// restoredIn notes the end of a partition's restore.
func (g *gauges) restoredIn(p *partition, took time.Duration) {
	g.restored.WithLabelValues(label(p.id)).Set(took.Seconds())
	g.stateWritten(p)
}

// stateWritten follows a partition's deltas and snapshots.
func (g *gauges) stateWritten(p *partition) {
	g.deltas.WithLabelValues(label(p.id)).Set(float64(p.deltaBytes))
	g.snapshotAt.WithLabelValues(label(p.id)).Set(float64(p.lastSnapshot.UnixMilli()) / 1e3)
	if p.state != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.judged[p.id] = p.state.Next
	}
}

// judgedTo is the next offset of ingress of an owned partition; false before it is restored.
func (g *gauges) judgedTo(id int32) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next, ok := g.judged[id]
	return next, ok
}

// forget drops the series of a partition that left.
func (g *gauges) forget(id int32) {
	for _, v := range []*prometheus.GaugeVec{g.restored, g.snapshotAt, g.deltas, g.behind} {
		v.DeleteLabelValues(label(id))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.judged, id)
}

// forward counts a misrouted record under its producer.
func (g *gauges) forward(tenant string, headers []event.Header) {
	source := ""
	for _, h := range headers {
		if h.Key == "ce_source" {
			source = string(h.Value)
		}
	}
	source = strings.ToValidUTF8(source[:min(len(source), maxSourceLabel)], "")
	g.mu.Lock()
	defer g.mu.Unlock()
	pair := [2]string{strings.Clone(tenant), source} // which is of the record's memory
	if !g.known[pair] && len(g.known) >= maxMisrouted {
		pair = [2]string{otherProducers, otherProducers}
	} else {
		g.known[pair] = true
	}
	g.misrouted.WithLabelValues(pair[0], pair[1]).Inc()
}
