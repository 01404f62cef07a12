package sequencer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

type metrics struct {
	records      *prometheus.CounterVec
	transactions *prometheus.CounterVec
	txnSeconds   prometheus.Histogram
	txnRecords   prometheus.Histogram
	restore      prometheus.Histogram
	keys         *prometheus.GaugeVec
	keyBytes     *prometheus.GaugeVec
	keyLimit     prometheus.Gauge
	stopped      *prometheus.GaugeVec
	paused       *prometheus.GaugeVec
	stripped     *prometheus.CounterVec
	leftOut      prometheus.Counter
	badSignature prometheus.Counter
	conflicts    prometheus.Counter
	quiet        prometheus.Counter
	resets       prometheus.Counter
	strays       *prometheus.GaugeVec
	snapshots    prometheus.Counter
	owned        prometheus.Gauge
	*gauges
}

// newMetrics registers the sequencer's metrics. None has a tenant label but that of misrouting producers, which is bounded.
func newMetrics(reg prometheus.Registerer) *metrics {
	p := []string{"partition"}
	return &metrics{
		records: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_admission_records_total",
			Help: "Ingress records judged in committed transactions, by outcome and, for refusals and duplicates of refusals, reason. forwarded counts misrouted records."}, []string{"outcome", "reason"})),
		transactions: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_sequencer_transactions_total",
			Help: "Transactions by outcome: committed, or failed, which ends the session."}, []string{"outcome"})),
		txnSeconds: app.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_sequencer_transaction_seconds",
			Help: "Time from the first record judged to the confirmed commit.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 13)})),
		txnRecords: app.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_sequencer_transaction_records",
			Help: "Ingress records of a committed transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 13)})),
		restore: app.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_sequencer_restore_seconds",
			Help: "Time from the assignment of a partition until its first record can be judged.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 13)})),
		keys: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_sequencer_window_keys",
			Help: "Idempotency keys remembered."}, p)),
		keyBytes: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_sequencer_window_bytes",
			Help: "Memory that the remembered idempotency keys take."}, p)),
		keyLimit: app.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: "neuronx_sequencer_window_limit_bytes",
			Help: "Memory that all key windows of this process may take (--key-memory); partitions that need more are paused."})),
		stopped: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_sequencer_stopped_partitions",
			Help: "1 for a partition that is not sequenced until its cause is repaired."}, []string{"partition", "reason"})),
		paused: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_sequencer_paused_partitions",
			Help: "1 for a partition that waits for the registry, the clock or memory for its keys."}, []string{"partition", "reason"})),
		stripped: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_admission_attributes_stripped_total",
			Help: "System attributes removed from records that the engine did not sign."}, []string{"attribute"})),
		leftOut: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_admission_foreign_headers_left_out_total",
			Help: "Headers of other systems that were not taken into the log, because they were too many, too large or had no printable name."})),
		badSignature: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_admission_bad_signatures_total",
			Help: "Records with a signature that does not match."})),
		conflicts: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_admission_deriver_conflicts_total",
			Help: "Derived events whose number was used by another event: a deriver's numbering is broken."})),
		quiet: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_admission_quiet_facts_total",
			Help: "Facts over the rate of their subject: admitted, and marked to trigger nothing."})),
		strays: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_sequencer_foreign_state_records",
			Help: "Records in the state topic that the sequencer did not write, found and ignored by the last restore. Any is an alarm."}, p)),
		resets: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_sequencer_resets_undone_total",
			Help: "Offset resets of the group neuronx.sequencer that were undone."})),
		snapshots: app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_sequencer_snapshots_total",
			Help: "Snapshots written to the state topic."})),
		owned: app.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: "neuronx_sequencer_partitions",
			Help: "Partitions that this process sequences."})),
		gauges: newGauges(reg),
	}
}

// window tells the size of a partition's key window.
func (m *metrics) window(p *partition) {
	m.keys.WithLabelValues(label(p.id)).Set(float64(p.state.Keys.Len()))
	m.keyBytes.WithLabelValues(label(p.id)).Set(float64(p.state.Keys.Bytes()))
}

// tally is what the decisions of a transaction count as, once it is committed.
type tally struct {
	runs      []tallied // nearly all decisions have the same outcome
	stripped  []string
	forwards  []*admission.Decision
	quiet     int
	badSig    int
	leftOut   int
	conflicts int
}

type tallied struct {
	outcome admission.Outcome
	code    event.Code
	n       int
}

func (t *tally) add(d *admission.Decision) {
	if n := len(t.runs); n == 0 || t.runs[n-1].outcome != d.Outcome || t.runs[n-1].code != d.Code {
		t.runs = append(t.runs, tallied{outcome: d.Outcome, code: d.Code})
	}
	t.runs[len(t.runs)-1].n++
	t.stripped = append(t.stripped, d.Stripped...)
	t.leftOut += d.LeftOut
	if d.Forward != nil {
		t.forwards = append(t.forwards, &admission.Decision{Tenant: d.Tenant, Forward: d.Forward})
	}
	if d.Recorded != nil && d.Recorded.Quiet != "" {
		t.quiet++
	}
	if d.BadSig {
		t.badSig++
	}
	if d.Code == event.CodeDeriverConflict && d.Outcome == admission.Refused {
		t.conflicts++
	}
}

// count adds the tally of a committed transaction.
func (m *metrics) count(t *tally) {
	for _, r := range t.runs {
		m.records.WithLabelValues(string(r.outcome), string(r.code)).Add(float64(r.n))
	}
	for _, a := range t.stripped {
		m.stripped.WithLabelValues(a).Inc()
	}
	for _, d := range t.forwards {
		m.forward(d.Tenant, d.Forward.Headers)
	}
	m.quiet.Add(float64(t.quiet))
	m.badSignature.Add(float64(t.badSig))
	m.leftOut.Add(float64(t.leftOut))
	m.conflicts.Add(float64(t.conflicts))
}
