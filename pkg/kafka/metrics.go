package kafka

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
)

type producerMetrics struct {
	records *prometheus.CounterVec
	seconds prometheus.Histogram
	stored  sync.Map // topic to its counter of outcome ok, which every record counts into
}

func newProducerMetrics(reg prometheus.Registerer) *producerMetrics {
	return &producerMetrics{
		records: app.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_produced_records_total",
			Help: "Records handed to Kafka, by topic and outcome (ok, error).",
		}, []string{"topic", "outcome"})),
		seconds: app.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                        "neuronx_produce_duration_seconds",
			Help:                        "Time from handing a record to the producer to its acknowledgement by all in-sync replicas.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1,
		})),
	}
}

func (m *producerMetrics) observe(topic string, took time.Duration, err error) {
	if err != nil {
		m.records.WithLabelValues(topic, "error").Inc()
	} else if c, ok := m.stored.Load(topic); ok {
		c.(prometheus.Counter).Inc()
	} else {
		first := m.records.WithLabelValues(topic, "ok")
		m.stored.Store(topic, first)
		first.Inc()
	}
	m.seconds.Observe(took.Seconds())
}
