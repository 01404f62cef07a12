package landing

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
)

type metrics struct {
	records      *prometheus.CounterVec
	stripped     *prometheus.CounterVec
	transactions *prometheus.CounterVec
	resets       prometheus.Counter
	throttles    prometheus.Counter
	throttled    prometheus.Gauge
	topics       prometheus.Gauge
	lag          prometheus.Gauge
	topicLag     *prometheus.GaugeVec
	oldest       prometheus.Gauge
	blocked      prometheus.Gauge
	stopped      prometheus.Gauge

	waiting int // topics that waited for their rate at the last look
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return app.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return app.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
	}
	return &metrics{
		records: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_landing_records_total",
			Help: "Records of landing topics written to ingress in committed transactions: forwarded, or refused with the reason that the dead letter gives."}, []string{"outcome", "reason"})),
		stripped: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_landing_attributes_stripped_total",
			Help: "System attributes and signatures taken off records of landing topics, where none counts."}, []string{"attribute"})),
		transactions: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_landing_transactions_total",
			Help: "Transactions by outcome: committed, or failed, which ends the session."}, []string{"outcome"})),
		resets:    counter("neuronx_landing_resets_undone_total", "Offsets of the group neuronx.landing that were not the forwarder's own and were not followed."),
		throttles: counter("neuronx_landing_throttled_total", "Times that a landing topic began to wait for its tenant's rate."),
		throttled: gauge("neuronx_landing_throttled_topics", "Landing topics that have records and wait for their tenant's rate."),
		topics:    gauge("neuronx_landing_topics", "Landing topics that this process forwards."),
		lag:       gauge("neuronx_landing_lag_records", "Offsets that landing topics of this process are behind, in all."),
		topicLag: app.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_landing_topic_lag_records",
			Help: "Offsets that a landing topic is behind; absent while this process forwards more than 50."}, []string{"topic"})),
		oldest:  gauge("neuronx_landing_oldest_age_seconds", "Age of the oldest record that was read from a landing topic and is not forwarded."),
		blocked: gauge("neuronx_landing_blocked_topics", "Landing topics that end at a transaction which a producer leaves open."),
		stopped: gauge("neuronx_landing_stopped_topics", "Partitions of landing topics that are not read on, because records would be passed over, or because they have no leader."),
	}
}

// count adds one record of a committed transaction.
func (m *metrics) count(f *fate) {
	m.records.WithLabelValues(f.outcome, string(f.code)).Inc()
	for _, a := range f.stripped {
		m.stripped.WithLabelValues(a).Inc()
	}
}

// throttle notes how many topics wait for their rate now.
func (m *metrics) throttle(n int) {
	if n > m.waiting {
		m.throttles.Add(float64(n - m.waiting))
	}
	m.waiting = n
	m.throttled.Set(float64(n))
}

func (m *metrics) show(n sums) {
	m.topics.Set(float64(n.topics))
	m.lag.Set(n.lag)
	m.blocked.Set(float64(n.blocked))
	m.stopped.Set(float64(n.stopped))
	age := 0.0
	if !n.oldest.IsZero() {
		age = max(0, time.Since(n.oldest).Seconds())
	}
	m.oldest.Set(age)
	m.topicLag.Reset()
	if n.topics > maxLabels {
		return
	}
	for topic, lag := range n.perTopic {
		m.topicLag.WithLabelValues(topic).Set(lag)
	}
}

// clear shows nothing: what the topics of a session that ended are behind is for the next owner to say.
func (m *metrics) clear() {
	m.show(sums{})
	m.throttle(0)
}
