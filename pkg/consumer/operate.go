package consumer

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotStalled means that there is nothing to retry or skip: no generation of the tenant is stalled.
var ErrNotStalled = fmt.Errorf("the tenant is not stalled")

// Rows returns the progress of a consumer: of one tenant, or of all that are in a state if tenant is empty. Both empty mean all.
// The pool's role must see them (neuronx_ops, or the consumer's own).
func Rows(ctx context.Context, pool *pgxpool.Pool, consumer, tenant string, state State) ([]Row, error) {
	rows, err := pool.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress WHERE consumer = $1 AND ($2 = '' OR tenant_id = $2)
		AND ($3 = '' OR state = $3) ORDER BY tenant_id, generation`, consumer, tenant, string(state))
	if err != nil {
		return nil, fmt.Errorf("list progress: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanRow)
	if err != nil {
		return nil, fmt.Errorf("list progress: %w", err)
	}
	return list, nil
}

// Retry makes the stalled generations of a tenant catch up again, beginning with the event that they stalled at. It returns the rows
// as they were; ErrNotStalled if there are none.
func Retry(ctx context.Context, pool *pgxpool.Pool, consumer, tenant string) ([]Row, error) {
	var stalled []Row
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if stalled, err = lockStalled(ctx, tx, consumer, tenant, 0); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE neuronx.progress SET state = 'catching-up', reason = '', missing_since = NULL, updated_at = now()
			WHERE consumer = $1 AND tenant_id = $2 AND state = 'stalled'`, consumer, tenant)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("retry %s of %s: %w", tenant, consumer, err)
	}
	return stalled, nil
}

// Skip passes over the one event that a tenant is stalled at, in one generation (0: every stalled one), and makes it catch up from
// there. Before rows change, announce is called for each; its error leaves everything as it was.
func Skip(ctx context.Context, pool *pgxpool.Pool, consumer, tenant string, generation int64, announce func(Row) error) ([]Row, error) {
	var stalled []Row
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if stalled, err = lockStalled(ctx, tx, consumer, tenant, generation); err != nil {
			return err
		}
		for _, r := range stalled {
			if err := announce(r); err != nil {
				return err
			}
			// The id of the skipped event is not kept: nothing was applied that could be compared with it.
			_, err := tx.Exec(ctx, `UPDATE neuronx.progress SET sequence = sequence + 1, event_id = '', state = 'catching-up', reason = '',
				missing_since = NULL, updated_at = now() WHERE consumer = $1 AND tenant_id = $2 AND generation = $3`, consumer, tenant, r.Generation)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("skip an event of %s in %s: %w", tenant, consumer, err)
	}
	return stalled, nil
}

func lockStalled(ctx context.Context, tx pgx.Tx, consumer, tenant string, generation int64) ([]Row, error) {
	rows, err := tx.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress WHERE consumer = $1 AND tenant_id = $2 AND state = 'stalled'
		AND ($3 = 0 OR generation = $3) ORDER BY generation FOR UPDATE`, consumer, tenant, generation)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanRow)
	if err == nil && len(list) == 0 {
		err = ErrNotStalled
	}
	return list, err
}

// NewGeneration makes a row at sequence 0 above all generations of the tenant; the loop builds it from the archive. A second call
// with the same reason finds the first one's row. It returns the generation.
func NewGeneration(ctx context.Context, tx pgx.Tx, consumer, tenant string, partition int32, reason string) (int64, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "generation/"+consumer+"/"+tenant); err != nil {
		return 0, fmt.Errorf("lock generations: %w", err)
	}
	var g int64
	err := tx.QueryRow(ctx, `WITH known AS (SELECT generation FROM neuronx.progress WHERE consumer = $1 AND tenant_id = $2 AND origin = $4),
		made AS (INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state, origin)
			SELECT $1, 1 + coalesce(max(generation), 0), $2, $3, 'catching-up', $4 FROM neuronx.progress
			WHERE consumer = $1 AND tenant_id = $2 HAVING NOT EXISTS (SELECT 1 FROM known) RETURNING generation)
		SELECT generation FROM known UNION ALL SELECT generation FROM made`, consumer, tenant, partition, reason).Scan(&g)
	if err != nil {
		return 0, fmt.Errorf("insert generation: %w", err)
	}
	return g, nil
}
