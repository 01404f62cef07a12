package tenants

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Key is an API key without its secret.
type Key struct {
	Tenant  string     `json:"tenant_id"`
	ID      string     `json:"key_id"`
	Status  string     `json:"status"` // as KeyStatus has it
	Scopes  []string   `json:"scopes"`
	Label   string     `json:"label,omitempty"`
	Expires *time.Time `json:"expires_at,omitempty"`
}

// Keys lists the keys of a tenant, or of all for "", by tenant and id.
func Keys(ctx context.Context, env *operate.Env, id string) ([]Key, error) {
	snap, err := Directory(ctx, env)
	if err != nil {
		return nil, err
	}
	var keys []Key
	for t, entry := range snap {
		if id != "" && t != id {
			continue
		}
		for _, k := range entry.Keys {
			key := Key{Tenant: t, ID: k.ID, Status: KeyStatus(k, env.Now()), Scopes: k.Scopes, Label: k.Label}
			if !k.ExpiresAt.IsZero() {
				key.Expires = &k.ExpiresAt
			}
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID)) })
	return keys, nil
}

// IssueKey makes an API key of a tenant, and waits until it works. Its secret is in the returned key alone: the stream has a hash. expires is the
// key's life, 0 for ever; label may be empty. With an error of operate.KindPartial the key is recorded, and works as soon as the tables of keys
// have it: it must be shown all the same, as nothing else has its secret.
func IssueKey(ctx context.Context, env *operate.Env, who operate.Principal, id string, scopes []string, label string, expires time.Duration) (tenant.Key, error) {
	key, err := tenant.NewKey(id)
	if err != nil {
		return key, operate.Fail("make a key", err)
	}
	list := operate.Each(scopes, func(s string) any { return s })
	data := map[string]any{"key_id": key.ID, "secret_sha256": key.HashHex(), "scopes": list, "label": operate.OrNil(label), "expires_at": nil}
	if expires > 0 {
		data["expires_at"] = env.Now().Add(expires).UTC().Truncate(time.Microsecond)
	}
	d, err := act(ctx, env, who, id, "tenant.key_issued", data)
	if err != nil {
		return key, unissued(err, key)
	}
	return key, issued(env.Applied(ctx, d), id)
}

// issued is the error about a key that is recorded, and of which it is not known whether it works yet.
func issued(err error, id string) error {
	var e *operate.Error
	if err == nil || errors.As(err, &e) && e.Kind == operate.KindPartial {
		return err
	}
	return operate.Partial("the key is recorded, and it is not known whether it works yet").Because("%v", err).
		Hint("`neuronx key list --tenant %s` shows it when it does; the command need not be given again", id)
}

// unissued is the error about a key whose event was not seen in the log. Where the event was published, it may come there yet.
func unissued(err error, key tenant.Key) error {
	var e *operate.Error
	if !errors.As(err, &e) || !e.Open {
		return err
	}
	return e.Hint("issue another; if this one is admitted after all, nobody has its secret: `neuronx key list --tenant %s` shows it then, and `neuronx key revoke %s --tenant %s --execute` ends it",
		key.Tenant, key.ID, key.Tenant)
}

// FindKey returns a key of a tenant; one that is not there is an error. When the tables lack a part of the tenant's stream and the key is not in
// them, it may be there or not, which is an error, too.
func FindKey(ctx context.Context, env *operate.Env, id, keyID string) (tenant.StoredKey, error) {
	snap, err := Directory(ctx, env)
	if err != nil {
		return tenant.StoredKey{}, err
	}
	k, ok := snap[id].Keys[keyID]
	behind, err := env.ControlBehind(ctx, id)
	switch {
	case err != nil:
		return k, err
	case ok:
		return k, nil
	case behind != "":
		return k, operate.Partial("tenants and keys are not up to date for %s, so key %s may be there or not", id, keyID).Because("%s", behind).
			Hint("try again when it has caught up; see `neuronx status`")
	}
	return k, operate.Unknown("key of "+id, keyID, slices.Collect(maps.Keys(snap[id].Keys)), "`neuronx key list --tenant "+id+"`")
}

// RevokeKey revokes a key, and waits until the HTTP role goes by it.
func RevokeKey(ctx context.Context, env *operate.Env, who operate.Principal, id, keyID, reason string) (operate.Done, error) {
	return apply(ctx, env, who, id, "tenant.key_revoked", map[string]any{"key_id": keyID, "reason": operate.OrNil(reason)})
}
