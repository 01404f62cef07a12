package projector

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// metrics of both feeds.
type metrics struct {
	untouched *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, specs []*fold.Spec) (*metrics, error) {
	m := &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "neuronx_projection_untouched_total",
		Help: "Events that a projection left out, or took without one of their values, by reason: a key that is null, too long or invalid; an expression, or a value that a column can't hold."},
		[]string{"projection", "reason"})}
	for _, s := range specs {
		for _, why := range fold.Reasons() {
			m.untouched.WithLabelValues(s.Name, string(why))
		}
	}
	if reg != nil {
		if err := reg.Register(m.untouched); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// leftAt is where something was left out.
type leftAt struct {
	tenant     string
	generation int64
	projection string
	reason     fold.Left
}

// leftOut counts what a batch left out.
type leftOut map[leftAt]struct{ events, last int64 }

func (l leftOut) add(where rowID, s *fold.Spec, sequence int64, reasons ...fold.Left) {
	for _, why := range reasons {
		at := leftAt{where.tenant, where.generation, s.Name, why}
		n := l[at]
		n.events, n.last = n.events+1, max(n.last, sequence)
		l[at] = n
	}
}

// keep adds what was left out to what is shown to operators.
func (p *Projector) keep(ctx context.Context, tx pgx.Tx, l leftOut) error {
	if len(l) == 0 {
		return nil
	}
	var tenants, projections, reasons []string
	var generations, events, last []int64
	for at, n := range l {
		tenants, generations = append(tenants, at.tenant), append(generations, at.generation)
		projections, reasons = append(projections, at.projection), append(reasons, string(at.reason))
		events, last = append(events, n.events), append(last, n.last)
	}
	if err := postgres.Exec(ctx, tx, "count what was left out", `INSERT INTO projection.untouched AS u (tenant_id, generation, projection, reason, events, last_sequence, feed)
		SELECT *, $7::text FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) ORDER BY 1, 2, 3, 4
		ON CONFLICT (tenant_id, feed, generation, projection, reason) DO UPDATE SET events = u.events + excluded.events,
			last_sequence = greatest(u.last_sequence, excluded.last_sequence)`, tenants, generations, projections, reasons, events, last, p.feed); err != nil {
		return err
	}
	for at, n := range l {
		p.m.untouched.WithLabelValues(at.projection, string(at.reason)).Add(float64(n.events))
	}
	return nil
}

// passing marks an error that another attempt may not have: a slow machine must not stall a tenant.
func passing(err error) error {
	var e *expr.EvalError
	if errors.As(err, &e) && e.Code == expr.CodeDeadline {
		return consumer.Transient(err)
	}
	return err
}
