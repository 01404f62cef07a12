package kafka

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type producerMetrics struct {
	records *prometheus.CounterVec
	seconds prometheus.Histogram
	stored  sync.Map // topic to its counter of outcome ok, which every record counts into
}

func newProducerMetrics(reg prometheus.Registerer) *producerMetrics {
	return &producerMetrics{
		records: shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_produced_records_total",
			Help: "Records handed to Kafka, by topic and outcome (ok, error).",
		}, []string{"topic", "outcome"})),
		seconds: shared(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
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

// shared registers a collector, or returns the one of the same name that is there: several producers of one process count
// into the same numbers. With a nil registerer nothing is registered.
func shared[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if old, ok := there.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}
