package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
)

// Renumber gives the rows of one deriver and tenant above last, in their order, the numbers that follow last, and makes the next Add go
// on behind them. It is for a log that was built anew and lacks its tail: numbers that stood there are free again, and the sequencer
// would ignore a jump for ever. keep may change an event's value, and drops the row by answering false. It returns the ids of the
// events that are kept, and how many were dropped. Nobody may send meanwhile.
func Renumber(ctx context.Context, tx pgx.Tx, tenant, deriver string, last int64, keep func(*event.Event) (bool, error)) (kept []string, dropped int, err error) {
	rows, err := tx.Query(ctx, `DELETE FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number > $3 RETURNING number, record`, tenant, deriver, last)
	if err != nil {
		return nil, 0, fmt.Errorf("take outbox rows: %w", err)
	}
	records := map[int64][]byte{}
	var number int64
	var record []byte
	highest := last
	if _, err := pgx.ForEachRow(rows, []any{&number, &record}, func() error {
		records[number], highest = append([]byte(nil), record...), max(highest, number)
		return nil
	}); err != nil {
		return nil, 0, fmt.Errorf("take outbox rows: %w", err)
	}
	next := last
	for n := last + 1; n <= highest; n++ {
		b, ok := records[n]
		if !ok {
			continue
		}
		e, err := decodeRecord(tenant, b)
		if err != nil {
			return nil, 0, fmt.Errorf("outbox row %d of %s: %w", n, tenant, err)
		}
		ok, err = keep(&e)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			dropped++
			continue
		}
		next++
		e.DeriverNumber = next
		if b, err = encodeRecord(&e); err != nil {
			return nil, 0, err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ($1, $2, $3, $4, $5)`,
			tenant, deriver, next, e.ID, b); err != nil {
			return nil, 0, fmt.Errorf("put outbox row back: %w", err)
		}
		kept = append(kept, e.ID)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox_numbers (tenant_id, deriver, last) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = excluded.last`, tenant, deriver, next); err != nil {
		return nil, 0, fmt.Errorf("set outbox number: %w", err)
	}
	return kept, dropped, nil
}
