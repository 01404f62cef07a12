package tenants

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Directory returns all tenants with their keys, as the HTTP role sees them.
func Directory(ctx context.Context, env *operate.Env) (tenant.Snapshot, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := tenant.FromPool(pool).Load(ctx)
	if err != nil {
		return nil, operate.Fail("list tenants", err).Hint("is the database provisioned? `neuronx provision`")
	}
	return snap, nil
}

// Look returns a tenant of the directory, and what its tables lack of the tenant's stream, "" for nothing. A tenant that is not there is an error.
func Look(ctx context.Context, env *operate.Env, id string) (t tenant.Entry, behind string, err error) {
	snap, err := Directory(ctx, env)
	if err != nil {
		return t, "", err
	}
	t, ok := snap[id]
	if !ok {
		return t, "", operate.NoSuchTenant(id, slices.Collect(maps.Keys(snap)))
	}
	behind, err = env.ControlBehind(ctx, id)
	return t, behind, err
}

// CheckNew refuses an id that can't be a tenant's, or is one's already. Without Postgres that is not looked up, which is noted.
func CheckNew(ctx context.Context, env *operate.Env, id string) error {
	if !event.ValidTenant(id) {
		return operate.Usage("%q is not a tenant id", id).Hint("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	}
	if env.Value(operate.EnvPostgres) == "" {
		env.Note("whether there is a tenant %s already was not looked up: %s is not set", id, operate.EnvPostgres)
		return nil
	}
	snap, err := Directory(ctx, env)
	if err != nil {
		return err
	}
	t, ok := snap[id]
	if !ok {
		return nil
	}
	return (&operate.Error{Kind: operate.KindFailed, What: "there is a tenant " + id + " already, which is " + string(t.Status), Code: event.CodeTenantExists}).
		Hint("`neuronx tenant list` shows it; there is nothing to do")
}

// KeyStatus is active, expired or revoked.
func KeyStatus(k tenant.StoredKey, now time.Time) string {
	switch {
	case k.Revoked:
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "active"
}
