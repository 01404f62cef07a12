package archive

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
)

// Snapshot is the archive of one tenant as it was at one moment. It is safe for concurrent use; queries run one after the other, because it is
// one transaction.
type Snapshot struct {
	tenant string
	moves  Moves

	mu sync.Mutex
	tx pgx.Tx
}

// Snapshot calls fn with the archive of a tenant as it is now, in one read-only transaction that sees no other tenant and nothing that is archived
// meanwhile. It ends with fn, whose error it returns.
func (r *Reader) Snapshot(ctx context.Context, tenant string, fn func(*Snapshot) error) error {
	return pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('neuronx.tenant', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)`, tenant); err != nil {
			return fmt.Errorf("set tenant: %w", err)
		}
		moves, err := LoadMoves(ctx, tx)
		if err != nil {
			return err
		}
		return fn(&Snapshot{tenant: tenant, moves: moves, tx: tx})
	})
}

var errOtherTenant = errors.New("the snapshot is of another tenant")

// Events is Reader.Events as of the snapshot.
func (s *Snapshot) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	if tenant != s.tenant {
		return nil, errOtherTenant
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.tx.Query(ctx, selectEvents+` AND sequence >= $2 ORDER BY sequence LIMIT $3`, tenant, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read archive of %s from %d: %w", tenant, from, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (event.Recorded, error) { return scanEvent(row, tenant, s.moves) })
	if err != nil {
		return nil, fmt.Errorf("read archive of %s from %d: %w", tenant, from, err)
	}
	return out, nil
}

// Query asks something else of the snapshot: see the functions that take a Querier. Its rows must be read before anything else is asked.
func (s *Snapshot) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.tx.Query(ctx, sql, args...)
}
