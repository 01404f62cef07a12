package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics carry no tenant: that label would grow without bound and name customers. The label service comes from the registerer that
// the process gives.
type metrics struct {
	events       *prometheus.CounterVec
	tenants      *prometheus.GaugeVec
	batchSeconds prometheus.Observer
	retries      prometheus.Counter
	takeovers    prometheus.Counter
	lastApplied  prometheus.Gauge
	builds       *prometheus.CounterVec
	resets       *prometheus.CounterVec
	stopped      *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{}
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_events_consumed_total",
		Help: "Events of the log by what became of them: applied, duplicate, passed (tenant stalled or catching up), unreadable, dead_letter."},
		[]string{"outcome"})
	m.tenants = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_consumer_tenants",
		Help: "Tenant generations of the owned partitions that are not live, by state."}, []string{"state"})
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
	m.stopped = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_consumer_stopped_partitions",
		Help: "1 for a partition that is assigned and not read, because the log was trimmed or truncated under its row."}, []string{"topic", "partition"})
	if reg != nil {
		for _, c := range []prometheus.Collector{m.events, m.tenants, seconds, retries, takeovers, applied, m.builds, m.resets, m.stopped} {
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
		m.tenants.WithLabelValues(string(state))
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

// gauges counts the tenants that are not live.
func (s *session) gauges(ctx context.Context, owned []int32) error {
	var stalled, catching int
	err := s.c.cfg.Pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'stalled'), count(*) FILTER (WHERE state = 'catching-up')
		FROM neuronx.progress WHERE consumer = $1 AND partition = ANY($2) AND state IN ('stalled', 'catching-up')`,
		s.c.cfg.Name, owned).Scan(&stalled, &catching)
	if err != nil {
		return fmt.Errorf("count waiting tenants: %w", err)
	}
	s.c.metrics.tenants.WithLabelValues(string(Stalled)).Set(float64(stalled))
	s.c.metrics.tenants.WithLabelValues(string(CatchingUp)).Set(float64(catching))
	return nil
}
