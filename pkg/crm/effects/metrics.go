package effects

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
)

type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	ended     *prometheus.CounterVec
	effects   *prometheus.GaugeVec
	unknown   prometheus.Gauge
	remaining prometheus.Gauge
	daily     prometheus.Gauge
	exhausted prometheus.Gauge
	breakers  prometheus.Gauge
	paused    *prometheus.GaugeVec
	accounts  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return auto.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_crm_requests_total",
			Help: "Requests to the CRM by endpoint and status; code none is no answer."}, []string{"endpoint", "code"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{Name: "neuronx_crm_request_seconds",
			Help: "Duration of requests to the CRM.", Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"endpoint"}),
		ended: auto.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_effects_ended_total",
			Help: "Attempts and effects by kind and how they ended, and why; pending is another try."}, []string{"kind", "status", "code"}),
		effects:   auto.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_effects", Help: "Effects in the ledger by status."}, []string{"status"}),
		unknown:   gauge("neuronx_effects_unknown", "Effects whose outcome is not known: a person must resolve them."),
		remaining: gauge("neuronx_crm_rate_remaining", "Requests left in the interval, of the tenant that has least; -1 when no answer told."),
		daily:     gauge("neuronx_crm_daily_remaining", "Requests left today, of the tenant that has least; -1 when no answer told."),
		exhausted: gauge("neuronx_crm_exhausted_in_seconds", "Until the first tenant has only those requests left today that are kept for people, by the rate of the last hour and what is pending; -1 when none will."),
		breakers:  gauge("neuronx_crm_breakers_open", "Tenants whose breaker is open."),
		paused: auto.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_crm_paused_tenants",
			Help: "Tenants whose effects wait because the CRM refuses their token (auth) or one kind of call (scope), or because no request can be made with their connection (account)."}, []string{"reason"}),
		accounts: auto.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_crm_accounts",
			Help: "Accounts by what opens them: active, needs_consent (a person must consent again), token_old (a private integration token that people should replace)."}, []string{"state"}),
	}
}

func (m *metrics) request(op string, status int, took time.Duration) {
	code := "none"
	if status != 0 {
		code = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(op, code).Inc()
	m.seconds.WithLabelValues(op).Observe(took.Seconds())
}

// end counts the end of an attempt or effect. Codes are few: each is a constant of this adapter.
func (m *metrics) end(kind string, end crm.End) {
	m.ended.WithLabelValues(kind, string(end.Status), end.Code).Inc()
}

// samplePaused sets the gauge of paused tenants from the ledger, which remembers a refusal across restarts.
func (m *metrics) samplePaused(ctx context.Context, q ledger.Querier) error {
	counts, err := ledger.CountRefused(ctx, q)
	if err != nil {
		return err
	}
	for reason, n := range counts {
		m.paused.WithLabelValues(reason).Set(float64(n))
	}
	return nil
}

// sampleAccounts sets the gauge of accounts from their grants.
func (m *metrics) sampleAccounts(ctx context.Context, q ledger.Querier, adapter string) error {
	counts, err := grants.Count(ctx, q, adapter)
	if err != nil {
		return err
	}
	for _, state := range []string{grants.Active, grants.NeedsConsent, grants.TokenOld} {
		m.accounts.WithLabelValues(state).Set(float64(counts[state]))
	}
	return nil
}

// sampleExhausted sets the forecast of the day's budgets.
func (m *metrics) sampleExhausted(ctx context.Context, q ledger.Querier, w *worker, now time.Time) error {
	counts, err := w.ledger.CountPending(ctx, q, w.accounts.tenants())
	if err != nil {
		return err
	}
	requests, costs := map[string]int{}, w.adapter.Kinds()
	for tenant, kinds := range counts {
		for kind, n := range kinds {
			requests[tenant] += n * max(1, costs[kind].Cost)
		}
	}
	in, known := w.accounts.exhausted(requests, w.DailyReserve, now)
	if !known {
		in = -time.Second
	}
	m.exhausted.Set(in.Seconds())
	return nil
}

// sample keeps the gauges until ctx ends.
func (m *metrics) sample(ctx context.Context, q ledger.Querier, w *worker, log *slog.Logger) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		if err := m.samplePaused(ctx, q); err != nil && ctx.Err() == nil {
			log.Warn("can't count tenants whose CRM refuses them", "err", err)
		}
		if err := m.sampleAccounts(ctx, q, w.adapter.Name()); err != nil && ctx.Err() == nil {
			log.Warn("can't count accounts in the CRM", "err", err)
		}
		if err := m.sampleExhausted(ctx, q, w, time.Now()); err != nil && ctx.Err() == nil {
			log.Warn("can't forecast how long the CRM's daily budgets last", "err", err)
		}
		counts, err := ledger.Counts(ctx, q, "")
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.Warn("can't count effects", "err", err)
		default:
			for _, s := range []crm.Status{crm.Pending, crm.Sending, crm.Done, crm.Failed, crm.Unknown, crm.Recorded, crm.Off} {
				m.effects.WithLabelValues(string(s)).Set(float64(counts[s]))
			}
			m.unknown.Set(float64(counts[crm.Unknown]))
		}
		remaining, daily, open := w.lowest()
		m.remaining.Set(float64(remaining))
		m.daily.Set(float64(daily))
		m.breakers.Set(float64(open))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
