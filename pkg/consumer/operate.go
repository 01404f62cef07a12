package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/stream"
)

var (
	// ErrNotStalled means that there is nothing to retry or skip: no generation of the tenant is stalled.
	ErrNotStalled = errors.New("the tenant is not stalled")
	// ErrNoSkip means that this consumer must not pass over an event.
	ErrNoSkip = errors.New("a skip would make a hole in the archive")
	// ErrMoved means that the tenant is stalled at another event than the one that is to be skipped.
	ErrMoved = errors.New("the tenant is stalled at another event")
)

// Rows returns the progress of a consumer (RowName of a group and a feed): of one tenant, or of all that are in a state if tenant is
// empty. Both empty mean all. The pool's role must see them (neuronx_ops, or the consumer's own).
func Rows(ctx context.Context, pool *pgxpool.Pool, consumer, tenant string, state State) ([]Row, error) {
	rows, err := pool.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress WHERE consumer = $1 AND ($2 = '' OR tenant_id = $2)
		AND ($3 = '' OR state = $3) ORDER BY tenant_id, generation`, consumer, tenant, string(state))
	return postgres.Collect(rows, err, "list progress", scanRow)
}

// Retry makes the stalled generations of a tenant, or of all tenants if it is empty, catch up again, beginning with the event that they
// stalled at. It returns the rows as they were; ErrNotStalled if there are none.
func Retry(ctx context.Context, pool *pgxpool.Pool, consumer, tenant string) ([]Row, error) {
	var stalled []Row
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if stalled, err = lockStalled(ctx, tx, consumer, tenant, 0); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE neuronx.progress SET state = 'catching-up', reason = '', missing_since = NULL, updated_at = now()
			WHERE consumer = $1 AND ($2 = '' OR tenant_id = $2) AND state = 'stalled'`, consumer, tenant)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("retry %s of %s: %w", cmp.Or(tenant, "all tenants"), consumer, err)
	}
	return stalled, nil
}

// SkipOptions say which event to pass over, where, and why.
type SkipOptions struct {
	Consumer   string // RowName of a group and a feed
	Tenant     string
	Generation int64  // 0: every stalled one
	Sequence   int64  // of the event; 0: whichever it is stalled at. Stalled at another is ErrMoved
	Reason     string // needed: it stands in the log for ever
	By         string // who; may be empty
}

// Skip passes over the one event that a tenant is stalled at and makes it catch up from there. The skip is kept in neuronx.skips, so that
// a generation that is built later passes over the same event. Before rows change, announce is called for each; its error leaves
// everything as it was. It returns the rows as they were.
func Skip(ctx context.Context, pool *pgxpool.Pool, opt SkipOptions, announce func(Row) error) ([]Row, error) {
	var stalled []Row
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if opt.Consumer == kafka.GroupArchiver {
			return ErrNoSkip
		}
		if opt.Tenant == "" {
			return errors.New("no tenant is named")
		}
		if stalled, err = lockStalled(ctx, tx, opt.Consumer, opt.Tenant, opt.Generation); err != nil {
			return err
		}
		if opt.Sequence != 0 {
			at := stalled[0].Sequence + 1
			stalled = slices.DeleteFunc(stalled, func(r Row) bool { return r.Sequence+1 != opt.Sequence })
			if len(stalled) == 0 {
				return fmt.Errorf("%w: at sequence %d, not %d", ErrMoved, at, opt.Sequence)
			}
		}
		for _, r := range stalled {
			if err := announce(r); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO neuronx.skips (consumer, tenant_id, sequence, reason, skipped_by) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT DO NOTHING`, r.Consumer, r.TenantID, r.Sequence+1, opt.Reason, opt.By)
			if err != nil {
				return err
			}
			// The id of the skipped event is not kept: nothing was applied that could be compared with it.
			_, err = tx.Exec(ctx, `UPDATE neuronx.progress SET sequence = sequence + 1, event_id = '', state = 'catching-up', reason = '',
				missing_since = NULL, updated_at = now() WHERE consumer = $1 AND tenant_id = $2 AND generation = $3`, r.Consumer, r.TenantID, r.Generation)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("skip an event of %s in %s: %w", opt.Tenant, opt.Consumer, err)
	}
	return stalled, nil
}

// Publisher publishes events signed by the engine. *control.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...control.Option) (event.Event, error)
}

// SkipAnnounced is Skip that is itself an event, engine.projection.skipped, which is stored before the row moves: its id is derived, so a
// repeat after a crash between the two is the same event. stored tells the id of the event that is skipped.
func SkipAnnounced(ctx context.Context, pool *pgxpool.Pool, stored stream.Source, pub Publisher, opt SkipOptions) ([]Row, error) {
	if opt.Reason == "" {
		return nil, event.Refuse(event.CodeUsage, "a skip needs a reason")
	}
	return Skip(ctx, pool, opt, func(r Row) error {
		skipped := r.Sequence + 1
		data := map[string]any{"projection": r.Consumer, "generation": r.Generation, "skipped_sequence": skipped, "reason": opt.Reason}
		if opt.By != "" {
			data["by"] = opt.By
		}
		found, err := stored.Events(ctx, opt.Tenant, skipped, 1)
		if err != nil && retriable(err) {
			return fmt.Errorf("find the event to skip: %w", err)
		}
		if err == nil && len(found) == 1 && found[0].Sequence == skipped {
			data["event_id"] = found[0].ID
		}
		id := event.DerivedID(opt.Tenant, "skip", r.Consumer, strconv.FormatInt(r.Generation, 10), strconv.FormatInt(skipped, 10))
		group, _ := SplitName(r.Consumer)
		_, err = pub.Publish(ctx, opt.Tenant, "engine.projection.skipped", "projection/"+r.Consumer, id, data, control.WithSource(strings.TrimPrefix(group, "neuronx.")))
		if err != nil {
			return fmt.Errorf("publish the skip: %w", err)
		}
		return nil
	})
}

func lockStalled(ctx context.Context, tx pgx.Tx, consumer, tenant string, generation int64) ([]Row, error) {
	rows, err := tx.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress WHERE consumer = $1 AND ($2 = '' OR tenant_id = $2) AND state = 'stalled'
		AND ($3 = 0 OR generation = $3) ORDER BY tenant_id, generation FOR UPDATE`, consumer, tenant, generation)
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

// Retire stops feeding generations of a tenant, and returns how many it stopped.
func Retire(ctx context.Context, tx pgx.Tx, consumer, tenant string, generations ...int64) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE neuronx.progress SET state = 'retired', reason = '', updated_at = now()
		WHERE consumer = $1 AND tenant_id = $2 AND generation = ANY($3) AND state <> 'retired'`, consumer, tenant, generations)
	if err != nil {
		return 0, fmt.Errorf("retire generations of %s: %w", tenant, err)
	}
	return tag.RowsAffected(), nil
}

// Lock locks the rows of a tenant that are not retired and returns them, generations ascending: the order in which the loop and the catch-up
// lock them.
func Lock(ctx context.Context, tx pgx.Tx, consumer, tenant string) ([]Row, error) {
	rows, err := tx.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress
		WHERE consumer = $1 AND tenant_id = $2 AND state <> 'retired' ORDER BY generation FOR UPDATE`, consumer, tenant)
	return postgres.Collect(rows, err, "lock progress", scanRow)
}
