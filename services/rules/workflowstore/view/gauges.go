package view

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	interval = 30 * time.Second
	maxNamed = 50      // workflows that have series of their own; the others share one
	others   = "other" // tenant and workflow of that one
)

// Gauges tells which workflows are in trouble, as the tables say: a counter would count an incident again in every replay, and would not say
// that a person has resolved it.
type Gauges struct {
	q         Querier
	log       *slog.Logger
	incidents *prometheus.GaugeVec
	overdue   *prometheus.GaugeVec
	tripped   *prometheus.GaugeVec
}

// NewGauges makes them. The role of q must see all tenants.
func NewGauges(q Querier, log *slog.Logger, reg prometheus.Registerer) *Gauges {
	auto := promauto.With(reg)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"tenant", "workflow"}, labels...))
	}
	return &Gauges{
		q: q, log: log,
		incidents: gauge("neuronx_workflows_incidents", "Instances in an incident, which wait for a person, of the first 50 workflows in trouble; of the others under tenant and workflow other."),
		overdue:   gauge("neuronx_workflows_overdue_timers", "Timers that were due ten minutes ago and have not fired, of the first 50 workflows in trouble; of the others under tenant and workflow other."),
		tripped:   gauge("neuronx_workflows_tripped", "Workflows that start nothing because they tripped, by reason: 1 for each of the first 50 in trouble, and the number of the others under tenant and workflow other.", "reason"),
	}
}

// Run samples the tables until ctx ends. Every instance shows all tenants, whichever partitions it owns.
func (g *Gauges) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := g.sample(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("cannot count workflows in trouble; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *Gauges) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	list, all, err := Troubles(ctx, g.q, maxTroubles)
	if err != nil {
		return err
	}
	g.show(list, all)
	return nil
}

// maxTroubles bounds what one sample holds.
const maxTroubles = 10_000

// show replaces all series: what was resolved must not stay.
func (g *Gauges) show(list []Trouble, all int) {
	g.incidents.Reset()
	g.overdue.Reset()
	g.tripped.Reset()
	for i, t := range list {
		tenant, workflow, reason := t.Tenant, t.Workflow, t.Tripped
		if i >= maxNamed {
			tenant, workflow, reason = others, others, others
		}
		if t.Incidents > 0 {
			g.incidents.WithLabelValues(tenant, workflow).Add(float64(t.Incidents))
		}
		if t.Overdue > 0 {
			g.overdue.WithLabelValues(tenant, workflow).Add(float64(t.Overdue))
		}
		if t.Tripped != "" {
			g.tripped.WithLabelValues(tenant, workflow, reason).Add(1)
		}
	}
	if all > len(list) {
		g.log.Warn("too many workflows are in trouble to count their instances", "workflows", all, "counted", len(list))
	}
}
