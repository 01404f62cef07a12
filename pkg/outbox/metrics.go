package outbox

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	added, sent, resent, failed, seen, conflicts, forbidden prometheus.Counter
	pending, oldest                                         prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, deriver string) *metrics {
	auto, labels := promauto.With(reg), prometheus.Labels{"deriver": deriver}
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "neuronx_outbox_" + name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return auto.NewGauge(prometheus.GaugeOpts{Name: "neuronx_outbox_" + name, Help: help, ConstLabels: labels})
	}
	return &metrics{
		added:     counter("added_total", "Derived events stored in the outbox, counted before their transaction ends."),
		sent:      counter("sent_total", "Outbox rows acknowledged by Kafka."),
		resent:    counter("resent_total", "Times that a tenant's rows were sent again because they were not seen for a while."),
		failed:    counter("send_failures_total", "Outbox rows that could not be sent."),
		seen:      counter("seen_total", "Own events seen in the log or the dead letters."),
		conflicts: counter("conflicts_total", "Other events seen under a number of this deriver. Any is an alarm."),
		forbidden: counter("forbidden_total", "Outbox rows that were set aside unsent because no process of the engine wrote them or the deriver may not derive them. Any is an alarm."),
		pending:   gauge("pending", "Outbox rows not yet seen in the log, of the owned partitions."),
		oldest:    gauge("oldest_seconds", "Age of the oldest outbox row of the owned partitions."),
	}
}
