package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Renumber gives the rows of one deriver and tenant above last, in their order, the numbers that follow last, and makes the next Add go
// on behind them. It is for a log that was rebuilt and lacks its tail: numbers that stood there are free again, and the sequencer
// would ignore a jump for ever. keep may change an event's value, and drops the row by answering false. Rows that must not be sent are
// kept in neuronx.outbox_forbidden and count as dropped. It returns the ids of the events that are kept, and how many were dropped. The
// sender must not run meanwhile, and tx must be a superuser's: for all others numbers only rise.
func (o *Outbox) Renumber(ctx context.Context, tx pgx.Tx, tenant string, last int64, keep func(*event.Event) (bool, error)) (kept []string, dropped int, err error) {
	sealed, err := sealsRequired(ctx, tx)
	if err != nil {
		return nil, 0, err
	}
	deriver := o.deriver
	// First, as Add does: an Add that has its numbers commits before the rows are taken, and the next one waits.
	if _, err := tx.Exec(ctx, `SELECT FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2 FOR UPDATE`, tenant, deriver); err != nil {
		return nil, 0, fmt.Errorf("take outbox rows: %w", err)
	}
	rows, err := tx.Query(ctx, `DELETE FROM neuronx.outbox o WHERE o.tenant_id = $1 AND o.deriver = $2 AND o.number > $3 RETURNING `+rowColumns, tenant, deriver, last)
	taken, err := postgres.Collect(rows, err, "take outbox rows", scanRow(tenant, deriver))
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(taken, func(a, b *row) int { return cmp.Compare(a.number, b.number) })
	next := last
	for _, x := range taken {
		e, err := vet(o.keys, x, sealed)
		switch {
		case errors.Is(err, ErrNewer), errors.Is(err, errUnknownKey):
			return nil, 0, fmt.Errorf("outbox row %d of %s: %w", x.number, tenant, err)
		case err != nil:
			o.metrics.forbidden.Inc()
			if err := keepForbidden(ctx, tx, x, err); err != nil {
				return nil, 0, err
			}
			dropped++
			continue
		}
		ok, err := keep(&e)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			dropped++
			continue
		}
		next++
		e.DeriverNumber = next
		if err := insertRow(ctx, tx, o.keys, &e); err != nil {
			return nil, 0, err
		}
		kept = append(kept, e.ID)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox_numbers (tenant_id, deriver, last) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = excluded.last`, tenant, deriver, next); err != nil {
		return nil, 0, fmt.Errorf("set outbox number: %w", err)
	}
	return kept, dropped, nil
}
