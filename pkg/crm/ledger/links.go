package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Links finds the links of leads in a location.
func (l Ledger) Links(ctx context.Context, q Querier, tenant, location string, locals []string) (map[string]crm.Link, error) {
	rows, err := q.Query(ctx, `SELECT local_id, location, remote_id, email, phone, known, version, fresh, facts FROM neuronx.crm_ids
		WHERE tenant_id = $1 AND adapter = $2 AND local_id = ANY($3) ORDER BY location = $4, updated_at`, tenant, l.Adapter, locals, location)
	out := map[string]crm.Link{}
	var local, loc, remote string
	var keys crm.Keys
	var known, facts []byte
	var version int64
	var fresh bool
	err = postgres.ForEach(rows, err, "read contact ids", []any{&local, &loc, &remote, &keys.Email, &keys.Phone, &known, &version, &fresh, &facts}, func() error {
		l := out[local]
		if loc == location { // the last row of the lead
			l.Contact, l.Version, l.Fresh = remote, version, fresh
			if err := errors.Join(json.Unmarshal(known, &l.Known), json.Unmarshal(facts, &l.Facts)); err != nil {
				return err
			}
		}
		if keys != (crm.Keys{}) {
			l.Keys = keys
		}
		out[local] = l
		return nil
	})
	return out, err
}

// Owner tells which lead other than local has a contact; "" when none. Of a lead of another tenant, who is connected to the same location,
// it tells crm.OtherTenant and no more.
func (l Ledger) Owner(ctx context.Context, q Querier, tenant, location, contact, local string) (string, error) {
	var whose, owner string
	err := q.QueryRow(ctx, `SELECT tenant_id, local_id FROM neuronx.crm_ids
		WHERE adapter = $2 AND location = $3 AND remote_id = $4 AND remote_id <> '' AND (tenant_id <> $1 OR local_id <> $5)
		ORDER BY tenant_id <> $1, local_id LIMIT 1`, tenant, l.Adapter, location, contact, local).Scan(&whose, &owner)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look whose contact it is: %w", err)
	case whose != tenant:
		return crm.OtherTenant, nil
	}
	return owner, nil
}

// Named notes when a fact happened that names fields of a lead's contact (the vendor's names), unless newer ones named them.
func (l Ledger) Named(ctx context.Context, q Querier, tenant, location, local string, fact time.Time, fields []string) error {
	if fact.IsZero() || len(fields) == 0 {
		return nil
	}
	_, err := q.Exec(ctx, `UPDATE neuronx.crm_ids i SET facts = facts || (SELECT coalesce(jsonb_object_agg(f, $5::text), '{}') FROM unnest($6::text[]) f
			WHERE coalesce((i.facts->>f)::timestamptz, '-infinity') <= $5::timestamptz)
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4`, tenant, l.Adapter, location, local, fact.UTC().Format(time.RFC3339Nano), fields)
	return wrap("note when a fact happened", err)
}

// SaveLink gives a contact to a lead, if no other lead has it; else it changes nothing and names that lead. Nothing is known of what a newly
// linked contact holds. A contact that two leads ask for at once is given to one of them; the other's statement fails, to be tried again.
func (l Ledger) SaveLink(ctx context.Context, q Querier, tenant, location, local, contact string) (owner string, err error) {
	contact = clean(contact)
	if owner, err = l.Owner(ctx, q, tenant, location, contact, local); err != nil || owner != "" {
		return owner, err
	}
	if err := postgres.Exec(ctx, q, "save contact id", `INSERT INTO neuronx.crm_ids AS i (tenant_id, adapter, location, local_id, remote_id) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, adapter, location, local_id) DO UPDATE SET remote_id = excluded.remote_id, fresh = false, updated_at = now(),
			known = CASE WHEN i.remote_id = excluded.remote_id THEN i.known ELSE '{}' END`,
		tenant, l.Adapter, location, local, contact); err != nil {
		return "", err
	}
	return "", nil
}

// Adopt is SaveLink of a contact that was found by the lead's keys: it is fresh until Learn says that the lead was written to it.
func (l Ledger) Adopt(ctx context.Context, q Querier, tenant, location, local, contact string) (owner string, err error) {
	if owner, err = l.SaveLink(ctx, q, tenant, location, local, contact); err != nil || owner != "" {
		return owner, err
	}
	_, err = q.Exec(ctx, `UPDATE neuronx.crm_ids SET fresh = true WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4`,
		tenant, l.Adapter, location, local)
	return "", wrap("save contact id", err)
}

// Unlink takes a contact from a lead again.
func (l Ledger) Unlink(ctx context.Context, q Querier, tenant, location, local, contact string) error {
	return postgres.Exec(ctx, q, "take back contact id", `UPDATE neuronx.crm_ids SET remote_id = '', known = '{}', fresh = false, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4 AND remote_id = $5`, tenant, l.Adapter, location, local, contact)
}

// Forget records that what a lead's contact holds in some fields, or (none named) in all, is no longer known. It returns the version that
// Learn needs. It is committed before the first byte of a write, since the answer may be lost.
func (l Ledger) Forget(ctx context.Context, q Querier, tenant, location, local string, fields ...string) (version int64, err error) {
	rows, err := q.Query(ctx, `UPDATE neuronx.crm_ids SET known = CASE WHEN cardinality($5::text[]) = 0 THEN '{}' ELSE known - $5::text[] END, version = version + 1
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4 RETURNING version`, tenant, l.Adapter, location, local, append([]string{}, fields...))
	if err == nil {
		var all []int64
		if all, err = pgx.CollectRows(rows, pgx.RowTo[int64]); len(all) == 1 {
			version = all[0]
		}
	}
	if err != nil {
		return 0, fmt.Errorf("forget what a contact holds: %w", err)
	}
	return version, nil
}

// Learn notes what a write made a contact hold, unless another write was begun meanwhile, and the keys of the lead.
func (l Ledger) Learn(ctx context.Context, q Querier, tenant, location, local string, version int64, wrote map[string]string) error {
	known, err := json.Marshal(wrote)
	if err != nil {
		return fmt.Errorf("keep what a contact holds: %w", err)
	}
	key := func(name string) *string {
		if v, is := wrote[name]; is {
			return &v
		}
		return nil
	}
	return postgres.Exec(ctx, q, "keep what a contact holds", `UPDATE neuronx.crm_ids SET known = CASE WHEN version = $5 THEN known || $6 ELSE known END,
			email = coalesce($7, email), phone = coalesce($8, phone), fresh = false, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4`,
		tenant, l.Adapter, location, local, version, known, key("email"), key("phone"))
}

// Holder is another lead that writes, or has just written, a key.
type Holder struct {
	Lead    string
	Contact string // "" while it has none
	Keys    crm.Keys
}

// Claim keeps a key (crm.Keys.Claims) of a lead from others for a while. ok is false when another has it, who then is named.
func (l Ledger) Claim(ctx context.Context, q Querier, tenant, location, local, key string, d time.Duration) (h Holder, ok bool, err error) {
	sum := sha256.Sum256([]byte(key))
	id := hex.EncodeToString(sum[:])
	tag, err := q.Exec(ctx, `INSERT INTO neuronx.crm_claims AS c (tenant_id, adapter, location, key, local_id, until) VALUES ($1, $2, $3, $4, $5, now() + $6)
		ON CONFLICT (tenant_id, adapter, location, key) DO UPDATE SET local_id = excluded.local_id, until = excluded.until
			WHERE c.local_id = excluded.local_id OR c.until < now()`, tenant, l.Adapter, location, id, local, d)
	if err != nil || tag.RowsAffected() == 1 {
		return h, err == nil, wrap("claim a key", err)
	}
	err = q.QueryRow(ctx, `SELECT c.local_id, coalesce(i.remote_id, ''), coalesce(i.email, ''), coalesce(i.phone, '') FROM neuronx.crm_claims c
		LEFT JOIN neuronx.crm_ids i ON i.tenant_id = c.tenant_id AND i.adapter = c.adapter AND i.location = c.location AND i.local_id = c.local_id
		WHERE c.tenant_id = $1 AND c.adapter = $2 AND c.location = $3 AND c.key = $4`, tenant, l.Adapter, location, id).Scan(&h.Lead, &h.Contact, &h.Keys.Email, &h.Keys.Phone)
	return h, false, wrap("claim a key", err)
}

// ClaimAll claims the keys of a lead in one order, so that two transactions do not wait for each other.
func (l Ledger) ClaimAll(ctx context.Context, q Querier, tenant, location, local string, keys []string, d time.Duration) (map[string]Holder, error) {
	others := map[string]Holder{}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		h, ok, err := l.Claim(ctx, q, tenant, location, local, k, d)
		if err != nil {
			return nil, err
		}
		if !ok {
			others[k] = h
		}
	}
	return others, nil
}

// Unclaim gives up the keys of a lead.
func (l Ledger) Unclaim(ctx context.Context, q Querier, tenant, location, local string) error {
	_, err := q.Exec(ctx, `DELETE FROM neuronx.crm_claims WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4`,
		tenant, l.Adapter, location, local)
	return wrap("give up keys", err)
}

// Release makes effects due that wait for an account that was connected again.
func (l Ledger) Release(ctx context.Context, q Querier, tenant string) error {
	_, err := q.Exec(ctx, `UPDATE neuronx.effects SET next_attempt_at = now(), updated_at = now()
		WHERE tenant_id = $1 AND adapter = $3 AND status = 'pending' AND code = ANY($2) AND next_attempt_at > now()`,
		tenant, []string{crm.CodeUnauthorized, crm.CodeScope, crm.CodeAccount}, l.Adapter)
	return wrap("release effects that wait for the account", err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
