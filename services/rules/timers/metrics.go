package timers

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	fired, recovered, early prometheus.Counter
	refused                 *prometheus.CounterVec
	late                    prometheus.Histogram
	oldest                  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "neuronx_timers_" + name, Help: help})
	}
	return &metrics{
		fired:     counter("fired_total", "Timers put into the outbox because they were due."),
		recovered: counter("recovered_total", "Firings that were in neither the outbox nor the log, and are fired again. Any is an alarm."),
		early:     counter("early_total", "Firings that reached the log before their due, because a clock ran ahead. Any is an alarm."),
		refused: auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_timers_refused_total", Help: "Firings seen in the dead letters, by code. They are fired again, later each time."},
			[]string{"code"}),
		late: auto.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_timers_late_seconds", Help: "How long after its due a timer was fired.",
			Buckets: []float64{0.5, 1, 2, 5, 15, 60, 300, 3600, 86400}}),
		oldest: auto.NewGauge(prometheus.GaugeOpts{Name: "neuronx_timers_oldest_due_seconds", Help: "How long ago the oldest timer of the owned partitions that may fire was due; 0: none is due."}),
	}
}
