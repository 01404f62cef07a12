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
	pool, err := env.Pool(ctx)
	if err != nil {
		return Listing{}, err
	}
	if err := env.CheckType(ctx, f.Type); err != nil {
		return Listing{}, err
	}
	limit := f.Limit
	f.Limit++ // one more tells that there are more
	found, err := archive.Newest(ctx, pool, f)
	if err != nil {
		return Listing{}, operate.Fail("read the archive", err)
	}
	if len(found) == 0 && f.Subject != "" {
		if err := knownSubject(ctx, pool, f.Tenant, f.Subject); err != nil {
			return Listing{}, err
		}
	}
	l := Listing{More: len(found) > limit}
	found = found[:min(len(found), limit)]
	slices.Reverse(found)
	l.Events = ofArchive(found)
	return l, nil
}

// Get returns the event with an id, or else at a sequence. An id may recur after the key window: then there are several.
func Get(ctx context.Context, env *operate.Env, tenant, what string) ([]Event, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	found, err := archive.RowsByID(ctx, pool, tenant, what)
	if n, noNumber := strconv.ParseInt(what, 10, 64); err == nil && noNumber == nil && len(found) == 0 {
		found, err = archive.RowsBySequence(ctx, pool, tenant, n)
	}
	if err != nil {
		return nil, operate.Fail("read the archive", err)
	}
	if len(found) == 0 {
		return nil, noEvent(ctx, pool, tenant, what)
	}
	return ofArchive(found), nil
}

// noEvent is the error about an id that the archive lacks, with the newest ids that are like it.
func noEvent(ctx context.Context, pool *pgxpool.Pool, tenant, id string) error {
	near, err := archive.NewestIDs(ctx, pool, tenant)
	if err != nil {
		return operate.Fail("read the archive", err)
	}
	return operate.NotArchived(ctx, pool, tenant, "no event "+id, operate.Nearest(id, near),
		"`neuronx events list --tenant "+tenant+"` lists the newest, `neuronx deadletter list` what was refused")
}

// knownSubject refuses a subject that no archived event of the tenant has.
func knownSubject(ctx context.Context, pool *pgxpool.Pool, tenant, subject string) error {
	known, err := archive.HasSubject(ctx, pool, tenant, subject)
	if err != nil {
		return operate.Fail("read the archive", err)
	}
	if known {
		return nil
	}
	near, err := archive.NewestSubjects(ctx, pool, tenant)
	if err != nil {
		return operate.Fail("read the archive", err)
	}
	return operate.NotArchived(ctx, pool, tenant, "nothing about "+subject, operate.Nearest(subject, near), "`neuronx events list --tenant "+tenant+"` lists the newest events")
}
