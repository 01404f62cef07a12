package rules

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/neuronx/engine/pkg/postgres"
)

const (
	trippedInterval = 10 * time.Second
	maxTrippedRules = 50 // that have series of their own; the others share one
	otherTripped    = "other"
)

// tripped tells which rules are off, as the tables say: a counter would count a trip again in every replay, and would not say that an
// operator has ended it.
type tripped struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	gauge *prometheus.GaugeVec
}

func newTripped(pool *pgxpool.Pool, log *slog.Logger, reg prometheus.Registerer) *tripped {
	return &tripped{pool: pool, log: log, gauge: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_rules_tripped",
		Help: "Rules that are off because they tripped, by reason: 1 for each of the first 50, and the number of the others under tenant and rule other."},
		[]string{"tenant", "rule", "reason"})}
}

// trippedRule is a rule that is off; All is how many there are.
type trippedRule struct {
	Tenant, Rule, Reason string
	All                  int
}

// run samples the tables until ctx ends. Every instance shows all tenants, whichever partitions it owns.
func (t *tripped) run(ctx context.Context) error {
	tick := time.NewTicker(trippedInterval)
	defer tick.Stop()
	for {
		if err := t.sample(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("cannot count tripped rules; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *tripped) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, trippedInterval)
	defer cancel()
	rows, err := t.pool.Query(ctx, `SELECT tenant_id, rule, tripped, count(*) OVER () FROM neuronx.rule_health WHERE tripped <> ''
		ORDER BY tenant_id, rule LIMIT $1`, maxTrippedRules)
	named, err := postgres.Collect(rows, err, "read tripped rules", pgx.RowToStructByPos[trippedRule])
	if err != nil {
		return err
	}
	t.show(named)
	return nil
}

// show replaces all series: a rule that was reset must not stay.
func (t *tripped) show(named []trippedRule) {
	t.gauge.Reset()
	others := 0
	for _, r := range named {
		t.gauge.WithLabelValues(r.Tenant, r.Rule, r.Reason).Set(1)
		others = r.All - len(named)
	}
	if others > 0 {
		t.gauge.WithLabelValues(otherTripped, otherTripped, otherTripped).Set(float64(others))
	}
}
