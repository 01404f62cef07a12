package tenants

import (
	"cmp"
	"context"
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
// key's life, 0 for ever; label may be empty.
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
	_, err = apply(ctx, env, who, id, "tenant.key_issued", data)
	return key, err
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
