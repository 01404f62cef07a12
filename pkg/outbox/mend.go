package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// maxMend bounds how many numbers are mended at once.
const maxMend = 10_000

// A Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// gaps are the stretches without rows behind $3: each from after prev to before number. The number behind the last one that was given out
// stands at the end.
const gaps = `(SELECT number, lag(number, 1, $3::bigint) OVER (ORDER BY number) AS prev FROM (
		SELECT number FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number > $3::bigint
		UNION SELECT least(greatest((SELECT max(number) FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2),
			(SELECT last FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2), $3::bigint), 9007199254740992) + 1) have(number)) g`

// Missing returns the numbers of a tenant above one, lowest first and at most 10,000, that were given to rows, or lie below one, and have no
// row now. above is the last number that the sequencer has: those up to it have no row by right. More than 10,000 in a row are not
// missing but a Jump. The role must see the rows: neuronx_ops, or the deriver's own.
func (o *Outbox) Missing(ctx context.Context, q Querier, tenant string, above int64) ([]int64, error) {
	rows, err := q.Query(ctx, `SELECT n FROM (SELECT * FROM `+gaps+` WHERE number - prev BETWEEN 2 AND $4::bigint + 1 ORDER BY number LIMIT $4::bigint) g,
		LATERAL generate_series(prev + 1, number - 1) n ORDER BY n LIMIT $4::bigint`, tenant, o.deriver, above, maxMend)
	return postgres.Collect(rows, err, "look for missing outbox numbers", pgx.RowTo[int64])
}

// Jump finds the first stretch of more than 10,000 numbers behind above that have no row: somebody raised the tenant's number, and what
// came after got numbers that the sequencer will never reach. after is the number before it. Renumber(after) closes it, also while rows are
// sent: the sequencer ignores whatever is still sent with a number from behind the jump.
func (o *Outbox) Jump(ctx context.Context, q Querier, tenant string, above int64) (after int64, found bool, err error) {
	rows, err := q.Query(ctx, `SELECT prev FROM `+gaps+` WHERE number - prev > $4::bigint + 1 ORDER BY number LIMIT 1`, tenant, o.deriver, above, maxMend)
	if err != nil {
		return 0, false, fmt.Errorf("look for a jump in outbox numbers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(list) == 0 {
		return 0, false, err
	}
	return list[0], true, nil
}

// Mend puts placeholders under numbers that have no row and are not used up. The sequencer refuses a placeholder and uses up its number,
// so that the rows behind it go on. A number that has a row by now is left alone; those that were mended are returned. It needs a role
// that may insert.
func (o *Outbox) Mend(ctx context.Context, tx pgx.Tx, tenant string, numbers []int64) (mended []int64, _ error) {
	for _, n := range numbers {
		e := placeholder(tenant, o.deriver, n)
		record, err := encodeRecord(e)
		if err != nil {
			return nil, err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			tenant, o.deriver, n, e.ID, record, seal(o.keys, tenant, o.deriver, n, e.ID, record))
		if err != nil {
			return nil, fmt.Errorf("mend the outbox: %w", err)
		}
		if tag.RowsAffected() == 1 {
			mended = append(mended, n)
		}
	}
	return mended, nil
}
