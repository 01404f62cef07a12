package archiver

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	events      prometheus.Counter
	bytes       prometheus.Counter
	unrendered  prometheus.Counter
	deadLetters *prometheus.CounterVec
	conflicts   prometheus.Counter
	audited     prometheus.Counter
	differences prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		events:     counter("neuronx_archive_events_written_total", "Events written, also in transactions that rolled back later."),
		bytes:      counter("neuronx_archive_stored_bytes_total", "Stored bytes of these events."),
		unrendered: counter("neuronx_archive_unrendered_total", "Events archived without the data column, because their body cannot be rendered."),
		deadLetters: auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_archive_dead_letters_total",
			Help: "Dead letters kept, by reason."}, []string{"reason"}),
		conflicts:   counter("neuronx_archive_conflicts_total", "Rows that were to be written and exist with other bytes. Alarm."),
		audited:     counter("neuronx_archive_audited_total", "Records compared with the archive by audits."),
		differences: counter("neuronx_archive_differences_total", "Rows that audits found different, missing, or in the archive only. Alarm."),
	}
}

func (m *metrics) count(entries []entry) {
	m.events.Add(float64(len(entries)))
	n := 0
	for i := range entries {
		n += len(entries[i].stored)
	}
	m.bytes.Add(float64(n))
}
