package events

import (
	"context"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Listing is what List found.
type Listing struct {
	Events []Event // ascending
	More   bool    // older ones match, too
}

// List returns the newest f.Limit events of a tenant that a filter chooses. A type or a subject that nothing has is an error that names the
// nearest one.
func List(ctx context.Context, env *operate.Env, f archive.Filter) (Listing, error) {
	if _, err := env.Pool(ctx); err != nil { // a tenant that is not there is told before a type
		return Listing{}, err
	}
	if err := env.CheckType(ctx, f.Type); err != nil {
		return Listing{}, err
	}
	limit := f.Limit
	f.Limit++ // one more tells that there are more
	found, err := ask(ctx, env, func(pool *pgxpool.Pool) ([]archive.Row, error) { return archive.Newest(ctx, pool, f) })
	if err != nil {
		return Listing{}, err
	}
	if len(found) == 0 && f.Subject != "" {
		if err := Known(ctx, env, f.Tenant, f.Subject); err != nil {
			return Listing{}, err
		}
	}
	l := Listing{More: len(found) > limit}
	found = found[:min(len(found), limit)]
	slices.Reverse(found)
	l.Events = ofArchive(found)
	return l, nil
}

// ask asks the archive.
func ask[T any](ctx context.Context, env *operate.Env, query func(*pgxpool.Pool) (T, error)) (T, error) {
	return operate.Ask(ctx, env, "read the archive", query)
}

// Get returns the event with an id, or else at a sequence. An id may recur after the key window: then there are several.
func Get(ctx context.Context, env *operate.Env, tenant, what string) ([]Event, error) {
	found, err := ask(ctx, env, func(pool *pgxpool.Pool) ([]archive.Row, error) {
		found, err := archive.RowsByID(ctx, pool, tenant, what)
		if n, noNumber := strconv.ParseInt(what, 10, 64); err == nil && noNumber == nil && len(found) == 0 {
			return archive.RowsBySequence(ctx, pool, tenant, n)
		}
		return found, err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noEvent(ctx, env, tenant, what)
	}
	return ofArchive(found), nil
}

// noEvent is the error about an id that the archive lacks, with the newest ids that are like it.
func noEvent(ctx context.Context, env *operate.Env, tenant, id string) error {
	near, err := ask(ctx, env, func(pool *pgxpool.Pool) ([]string, error) { return archive.NewestIDs(ctx, pool, tenant) })
	if err != nil {
		return err
	}
	return env.NotArchived(ctx, tenant, "no event "+id, operate.Nearest(id, near),
		"`neuronx events list --tenant "+tenant+"` lists the newest, `neuronx deadletter list` what was refused")
}

// Known refuses a subject that no archived event of the tenant has.
func Known(ctx context.Context, env *operate.Env, tenant, subject string) error {
	known, err := ask(ctx, env, func(pool *pgxpool.Pool) (bool, error) { return archive.HasSubject(ctx, pool, tenant, subject) })
	if err != nil || known {
		return err
	}
	near, err := ask(ctx, env, func(pool *pgxpool.Pool) ([]string, error) { return archive.NewestSubjects(ctx, pool, tenant) })
	if err != nil {
		return err
	}
	return env.NotArchived(ctx, tenant, "nothing about "+subject, operate.Nearest(subject, near), "`neuronx events list --tenant "+tenant+"` lists the newest events")
}
