package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// ErrNotFound means that the archive does not hold the event.
var ErrNotFound = errors.New("not in the archive")

// ErrDamaged means that a row of the archive disagrees with its own hash or key.
var ErrDamaged = errors.New("the archive's row is damaged")

// Reader reads events of the archive. Each call is one read-only transaction that sees the rows of one tenant. It is safe for
// concurrent use.
type Reader struct {
	pool *pgxpool.Pool

	mu     sync.Mutex
	moves  Moves
	looked time.Time
}

// movesFor is how long moved schemas are taken for known: a reseed stops all services but the HTTP endpoint and the tools.
const movesFor = time.Minute

// NewReader reads through a pool of a role that may select from the archive: any service's, neuronx_reader or neuronx_ops.
func NewReader(pool *pgxpool.Pool) *Reader { return &Reader{pool: pool} }

// Events returns at most limit events of the tenant whose sequence is at least from, ascending, as far as they are there. Values
// are framed as in the log of now; Partition and Offset say where the record was read.
func (r *Reader) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	moves, err := r.moved(ctx)
	if err != nil {
		return nil, err
	}
	var out []event.Recorded
	err = r.read(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEvents+` AND sequence >= $2 ORDER BY sequence LIMIT $3`, tenant, from, limit)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (event.Recorded, error) { return scanEvent(row, tenant, moves) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read archive of %s from %d: %w", tenant, from, err)
	}
	return out, nil
}

// moved returns the moved schemas, read again when what is known is old.
func (r *Reader) moved(ctx context.Context) (Moves, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.moves != nil && time.Since(r.looked) < movesFor {
		return r.moves, nil
	}
	m, err := LoadMoves(ctx, r.pool)
	if err != nil {
		return nil, err
	}
	r.moves, r.looked = m, time.Now()
	return m, nil
}

// ByID returns the tenant's event of that id; of several (a producer may use an id again after a day) the first. ErrNotFound if
// there is none.
func (r *Reader) ByID(ctx context.Context, tenant, id string) (event.Recorded, error) {
	moves, err := r.moved(ctx)
	if err != nil {
		return event.Recorded{}, err
	}
	var out event.Recorded
	err = r.read(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEvents+` AND event_id = $2 ORDER BY sequence LIMIT 1`, tenant, id)
		if err != nil {
			return err
		}
		out, err = pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (event.Recorded, error) { return scanEvent(row, tenant, moves) })
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return event.Recorded{}, fmt.Errorf("read archive of %s by id: %w", tenant, err)
	}
	return out, nil
}

// About returns at most limit events of the tenant about some subjects, with sequences from from through through, ascending.
func (r *Reader) About(ctx context.Context, tenant string, subjects []string, from, through int64, limit int) ([]event.Recorded, error) {
	return r.some(ctx, tenant, ` AND subject = ANY($2) AND sequence BETWEEN $3 AND $4 ORDER BY sequence LIMIT $5`, subjects, from, through, limit)
}

// OfIDs returns at most limit events of the tenant that have one of some ids, ascending.
func (r *Reader) OfIDs(ctx context.Context, tenant string, ids []string, limit int) ([]event.Recorded, error) {
	return r.some(ctx, tenant, ` AND event_id = ANY($2) ORDER BY sequence LIMIT $3`, ids, limit)
}

// CausedBy returns at most limit events of the tenant that have one of some ids as their cause, and a sequence above after, ascending. No index
// helps: it looks at the tenant's events after that.
func (r *Reader) CausedBy(ctx context.Context, tenant string, ids []string, after int64, limit int) ([]event.Recorded, error) {
	return r.some(ctx, tenant, ` AND causation_id = ANY($2) AND sequence > $3 ORDER BY sequence LIMIT $4`, ids, after, limit)
}

func (r *Reader) some(ctx context.Context, tenant, where string, args ...any) (out []event.Recorded, err error) {
	moves, err := r.moved(ctx)
	if err != nil {
		return nil, err
	}
	err = r.read(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEvents+where, append([]any{tenant}, args...)...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (event.Recorded, error) { return scanEvent(row, tenant, moves) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read archive of %s: %w", tenant, err)
	}
	return out, nil
}

// Head returns the highest sequence of the tenant in the archive; 0 when it holds none.
func (r *Reader) Head(ctx context.Context, tenant string) (sequence int64, err error) {
	err = r.read(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT coalesce(max(sequence), 0) FROM neuronx.tenant_events WHERE tenant_id = $1`, tenant).Scan(&sequence)
	})
	if err != nil {
		return 0, fmt.Errorf("read head of %s: %w", tenant, err)
	}
	return sequence, nil
}

// Tenants lists the tenants that have a table in the archive, sorted. Only neuronx_ops may.
func (r *Reader) Tenants(ctx context.Context) ([]string, error) {
	rows, err := r.pool.Query(ctx, `SELECT tenant_id FROM neuronx.tenant_leaves ORDER BY tenant_id`)
	return postgres.Collect(rows, err, "list tenants of the archive", pgx.RowTo[string])
}

// read runs fn in a read-only transaction that sees one tenant. Plans are made for the tenant at hand: a generic plan would lock
// the table of every tenant before it drops all but one.
func (r *Reader) read(ctx context.Context, tenant string, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('neuronx.tenant', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)`, tenant); err != nil {
			return fmt.Errorf("set tenant: %w", err)
		}
		return fn(tx)
	})
}

const selectEvents = `SELECT sequence, log_partition, log_offset, payload, hash FROM neuronx.tenant_events WHERE tenant_id = $1`

func scanEvent(row pgx.CollectableRow, tenant string, moves Moves) (event.Recorded, error) {
	var sequence, offset int64
	var partition int32
	var payload, hash []byte
	if err := row.Scan(&sequence, &partition, &offset, &payload, &hash); err != nil {
		return event.Recorded{}, err
	}
	if sum := sha256.Sum256(payload); !bytes.Equal(sum[:], hash) {
		return event.Recorded{}, fmt.Errorf("%w: sequence %d: the payload is not what was hashed", ErrDamaged, sequence)
	}
	r, fingerprint, err := ParseStored(payload)
	if err != nil {
		return event.Recorded{}, fmt.Errorf("%w: sequence %d: %w", ErrDamaged, sequence, err)
	}
	if r.TenantID != tenant || r.Sequence != sequence {
		return event.Recorded{}, fmt.Errorf("%w: sequence %d: the payload is %s/%d", ErrDamaged, sequence, r.TenantID, r.Sequence)
	}
	r.Partition, r.Offset, r.Value = partition, offset, moves.Reframe(r.Value, fingerprint)
	return r, nil
}
