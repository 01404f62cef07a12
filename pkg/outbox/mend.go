package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// maxMend bounds how many numbers are mended at once.
const maxMend = 10_000

// Missing returns the numbers of a tenant above one, lowest first and at most 10,000, that were given to rows, or lie below one, and have no
// row now. above is the last number that the sequencer has: those up to it have no row by right. The role must see the rows: neuronx_ops, or the deriver's own.
func (o *Outbox) Missing(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, tenant string, above int64) ([]int64, error) {
	rows, err := q.Query(ctx, `SELECT n FROM generate_series($3::bigint + 1, (
			SELECT greatest(coalesce(max(number), 0), coalesce((SELECT last FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2), 0))
			  FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2)) n
		WHERE NOT EXISTS (SELECT FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number = n) ORDER BY n LIMIT $4`, tenant, o.deriver, above, maxMend)
	if err != nil {
		return nil, fmt.Errorf("look for missing outbox numbers: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for missing outbox numbers: %w", err)
	}
	return missing, nil
}

// Mend puts placeholders under numbers that have no row and are not used up. The sequencer refuses a placeholder and uses up its number,
// so that the rows behind it go on. A number that has a row by now is left alone. It needs a role that may insert.
func (o *Outbox) Mend(ctx context.Context, tx pgx.Tx, tenant string, numbers []int64) error {
	for _, n := range numbers {
		e := placeholder(tenant, o.deriver, n)
		record, err := encodeRecord(e)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			tenant, o.deriver, n, e.ID, record, seal(o.keys, tenant, o.deriver, n, e.ID, record))
		if err != nil {
			return fmt.Errorf("mend the outbox: %w", err)
		}
	}
	return nil
}
