package rules

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	evaluated, fired, failed, derived, published, storms prometheus.Counter
	refused                                              *prometheus.CounterVec
	differences, compared                                prometheus.Counter
	over                                                 *prometheus.CounterVec
	cost                                                 prometheus.Histogram
	postponed, slow                                      prometheus.Counter
	merges                                               *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "neuronx_rules_" + name, Help: help})
	}
	m := &metrics{
		evaluated: counter("evaluated_total", "Events that some rule of their tenant listens to, each time they were evaluated."),
		fired:     counter("fired_total", "Rules whose condition held on an event."),
		failed:    counter("failed_total", "Rules that failed on an event, and bundles that could not be used."),
		derived:   counter("derived_total", "Events derived."),
		published: counter("published_total", "Bundles taken into force."),
		storms:    counter("storms_total", "Derived events that were refused as a storm."),
		refused: auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_rules_refused_total",
			Help: "Derived events seen in the dead letters, by code."}, []string{"code"}),
		compared:    counter("compared_total", "Derived events compared with the log after a reset of the group."),
		differences: counter("differences_total", "Derived events that a reset's comparison found different. Any is an alarm."),
	}
	m.over = auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_rules_over_budget_total",
		Help: "Rules cut on an event because they ran into a budget or bound, by its name."}, []string{"budget"})
	for _, b := range budgets {
		m.over.WithLabelValues(b)
	}
	m.cost = auto.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_rules_evaluation_cost",
		Help: "Cost units that the rules of a tenant spent on one event.", Buckets: []float64{30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, EventCost}})
	m.postponed = counter("postponed_total", "Runs of a tenant's events that ended early because they had used up their share; the rest is applied by the tenant's catch-up.")
	m.slow = counter("set_aside_total", "Tenants set aside because one evaluation ran into its wall time. Any is an alarm: what it costs is underestimated.")
	m.merges = auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_rules_merges_total",
		Help: "Merges and unmerges of subjects, by result: taken, or refused because they could not be."}, []string{"result"})
	for _, r := range []string{"taken", "refused"} {
		m.merges.WithLabelValues(r)
	}
	return m
}

// count adds up a fold, once it was written. The transaction may still roll back, so these count work done, not rows.
func (m *metrics) count(f *fold) {
	m.evaluated.Add(float64(f.evaluated))
	m.fired.Add(float64(f.fired))
	m.failed.Add(float64(f.failed))
	m.derived.Add(float64(f.derived))
	m.published.Add(float64(len(f.published)))
	for _, c := range f.costs {
		m.cost.Observe(float64(c))
	}
	m.merges.WithLabelValues("taken").Add(float64(f.joined))
	m.merges.WithLabelValues("refused").Add(float64(f.unjoined))
	for budget, n := range f.over {
		m.over.WithLabelValues(budget).Add(float64(n))
	}
}
