package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/postgres"
)

// maxStalledSeries bounds the series that name a tenant, a process.
const maxStalledSeries = 50

// metrics carry no tenant, because that label would grow without bound, with one exception: a stalled tenant is named for those who are
// on call, at most maxStalledSeries of them. The label service comes from the registerer that the process gives.
type metrics struct {
	events       *prometheus.CounterVec
	tenants      *prometheus.GaugeVec
	stalled      *prometheus.GaugeVec
	named        map[[2]string]bool // tenant and feed of the series of stalled; of the goroutine that calls gauges
	batchSeconds prometheus.Observer
	retries      prometheus.Counter
	takeovers    prometheus.Counter
	lastApplied  prometheus.Gauge
	builds       *prometheus.CounterVec
	resets       *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, feeds []*feed) (*metrics, error) {
	m := &metrics{}
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_events_consumed_total",
		Help: "Events of the log by what became of them: applied, duplicate, passed (tenant stalled or catching up), unreadable, dead_letter."},
		[]string{"outcome"})
	m.tenants = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_consumer_tenants",
		Help: "Tenant generations of the owned partitions that are not live, by state and feed."}, []string{"state", "feed"})
	m.stalled = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_consumer_stalled",
		Help: "1 for a tenant of the owned partitions that is stalled; at most 50 are named, neuronx_consumer_tenants counts them all."},
		[]string{"tenant", "feed"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "neuronx_consumer_batch_seconds",
		Help:    "Time to write one batch, retries included.",
		Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60}})
	retries := prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_consumer_batch_retries_total",
		Help: "Batches that rolled back and were tried again."})
	takeovers := prometheus.NewCounter(prometheus.CounterOpts{Name: "neuronx_consumer_takeovers_total",
		Help: "Batches that were dropped because another member had moved the partition's row."})
	applied := prometheus.NewGauge(prometheus.GaugeOpts{Name: "neuronx_consumer_applied_timestamp_seconds",
		Help: "Recorded time of the newest applied event; now minus this is the lag of the rows."})
	m.builds = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_consumer_generation_builds_total",
		Help: "Catch-ups of a generation that ended, by how: live, stalled."}, []string{"outcome"})
	m.resets = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_consumer_resets_total",
		Help: "Side jobs of operators' resets that ended, by how: done, failed."}, []string{"outcome"})
	if reg != nil {
		for _, c := range []prometheus.Collector{m.events, m.tenants, m.stalled, seconds, retries, takeovers, applied, m.builds, m.resets} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics: %w", err)
			}
		}
	}
	m.batchSeconds, m.retries, m.takeovers, m.lastApplied = seconds, retries, takeovers, applied
	for _, o := range []outcome{outcomeApplied, outcomeDuplicate, outcomePassed, outcomeUnreadable} {
		m.events.WithLabelValues(string(o))
	}
	for _, state := range []State{Stalled, CatchingUp} {
		for _, f := range feeds {
			m.tenants.WithLabelValues(string(state), f.name)
		}
	}
	return m, nil
}

func (m *metrics) consumed(o outcome, n int) {
	if n > 0 {
		m.events.WithLabelValues(string(o)).Add(float64(n))
	}
}

func (m *metrics) applied(recorded time.Time) { m.lastApplied.Set(float64(recorded.UnixMicro()) / 1e6) }

func (m *metrics) built(outcome string) { m.builds.WithLabelValues(outcome).Inc() }

// gauges counts the tenants that are not live, and names those that are stalled.
func (s *session) gauges(ctx context.Context, owned []int32) error {
	rows, err := s.c.cfg.Pool.Query(ctx, `SELECT consumer, state, count(*) FROM neuronx.progress
		WHERE consumer = ANY($1) AND partition = ANY($2) AND state IN ('stalled', 'catching-up') GROUP BY 1, 2`, s.c.names(), owned)
	counts := map[[2]string]int{}
	var consumer, state string
	var n int
	if err := postgres.ForEach(rows, err, "count waiting tenants", []any{&consumer, &state, &n}, func() error { counts[[2]string{consumer, state}] = n; return nil }); err != nil {
		return err
	}
	rows, err = s.c.cfg.Pool.Query(ctx, `SELECT DISTINCT tenant_id, consumer FROM neuronx.progress
		WHERE consumer = ANY($1) AND partition = ANY($2) AND state = 'stalled' ORDER BY 1, 2 LIMIT $3`, s.c.names(), owned, maxStalledSeries)
	named := map[[2]string]bool{}
	var tenant string
	if err := postgres.ForEach(rows, err, "list stalled tenants", []any{&tenant, &consumer}, func() error {
		_, feed := SplitName(consumer)
		named[[2]string{tenant, feed}] = true
		return nil
	}); err != nil {
		return err
	}
	for _, f := range s.c.feeds {
		for _, state := range []State{Stalled, CatchingUp} {
			s.c.metrics.tenants.WithLabelValues(string(state), f.name).Set(float64(counts[[2]string{f.consumer, string(state)}]))
		}
	}
	s.c.metrics.name(named)
	return nil
}

// name makes the series of stalled tenants those of a set. A series that ended is removed, so that its alert ends.
func (m *metrics) name(stalled map[[2]string]bool) {
	for at := range m.named {
		if !stalled[at] {
			m.stalled.DeleteLabelValues(at[0], at[1])
		}
	}
	for at := range stalled {
		m.stalled.WithLabelValues(at[0], at[1]).Set(1)
	}
	m.named = stalled
}
