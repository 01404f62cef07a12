package rules

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	evaluated, fired, failed, derived, published, storms prometheus.Counter
	refused                                              *prometheus.CounterVec
	differences, compared                                prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_rules_" + name, Help: help})
	}
	m := &metrics{
		evaluated: counter("evaluated_total", "Events that some rule of their tenant listens to, each time they were evaluated."),
		fired:     counter("fired_total", "Rules whose condition held on an event."),
		failed:    counter("failed_total", "Rules that failed on an event, and bundles that could not be used."),
		derived:   counter("derived_total", "Events derived."),
		published: counter("published_total", "Bundles taken into force."),
		storms:    counter("storms_total", "Derived events that were refused as a storm."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_rules_refused_total",
			Help: "Derived events seen in the dead letters, by code."}, []string{"code"}),
		compared:    counter("compared_total", "Derived events compared with the log after a reset of the group."),
		differences: counter("differences_total", "Derived events that a reset's comparison found different. Any is an alarm."),
	}
	if reg != nil {
		reg.MustRegister(m.evaluated, m.fired, m.failed, m.derived, m.published, m.storms, m.refused, m.compared, m.differences)
	}
	return m
}

// count adds up a fold. The transaction may still roll back, so these count work done, not rows.
func (m *metrics) count(f *fold) {
	m.evaluated.Add(float64(f.evaluated))
	m.fired.Add(float64(f.fired))
	m.failed.Add(float64(f.failed))
	m.derived.Add(float64(len(f.outputs)))
	m.published.Add(float64(len(f.published)))
}
