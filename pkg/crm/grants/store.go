package grants

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/vault"
)

// ErrTaken says that an account's grant is another tenant's.
var ErrTaken = errors.New("the account is another tenant's")

// ErrSame says that the token is the one in force already.
var ErrSame = errors.New("this token is in force already")

// Given is a grant that a person gave.
type Given struct {
	Adapter   string
	Holder    string
	Tenant    string
	Auth      string
	By        string
	Scopes    string
	Tokens    Tokens
	ExpiresAt time.Time     // zero: the access token is not refreshed
	RefreshAt time.Time     // zero with ExpiresAt
	Fallback  time.Duration // how long the version before serves where this one is refused
}

// Give stores a grant: the account's first one, or the next version of it. The transaction is the caller's, who commits it. Errors: ErrTaken,
// ErrSame, and what the tokens are refused for.
func Give(ctx context.Context, tx pgx.Tx, v *vault.Vault, g Given) (version int64, err error) {
	var tenant, state, print string
	err = tx.QueryRow(ctx, `SELECT tenant_id, state, version, fingerprint FROM neuronx.crm_grants WHERE adapter = $1 AND holder = $2 FOR UPDATE`, g.Adapter, g.Holder).
		Scan(&tenant, &state, &version, &print)
	fresh := Fingerprint(g.Tokens.Access)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return 0, fmt.Errorf("read the account's grant: %w", err)
	case tenant != g.Tenant && state != Revoked:
		return 0, ErrTaken
	case print == fresh && state == Active:
		return version, ErrSame
	}
	var other bool // whose token is a file
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM neuronx.crm_connections WHERE adapter = $1 AND 'location/' || location = $2 AND base_url = '' AND tenant_id <> $3 AND mode <> 'off')`,
		g.Adapter, g.Holder, g.Tenant).Scan(&other)
	switch {
	case err != nil:
		return 0, fmt.Errorf("look for tenants of the account: %w", err)
	case other:
		return 0, ErrTaken
	}
	version++
	var fallback *time.Duration
	if tenant == g.Tenant && state == Active && g.Fallback > 0 {
		fallback = &g.Fallback
	}
	sealed, err := seal(v, g.Adapter, g.Holder, version, g.Tokens)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO neuronx.crm_grants (adapter, holder, tenant_id, auth, version, state, fingerprint, scopes, given_by, expires_at, refresh_at)
		VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $9, $10)
		ON CONFLICT (adapter, holder) DO UPDATE SET tenant_id = $3, auth = $4, version = $5, state = 'active', reason = '', fingerprint = $6, scopes = $7, given_at = now(),
			given_by = $8, expires_at = $9, refresh_at = $10, refreshed_at = NULL, claimed_until = NULL, fallback_until = now() + $11::interval`,
		g.Adapter, g.Holder, g.Tenant, g.Auth, version, fresh, g.Scopes, g.By, orNull(g.ExpiresAt), orNull(g.RefreshAt), fallback)
	if err != nil {
		return 0, fmt.Errorf("store the grant: %w", err)
	}
	return version, keep(ctx, tx, g.Adapter, g.Holder, version, sealed, fallback != nil)
}

// keep adds the tokens of a version and deletes those of others, but for the one before where that is wanted.
func keep(ctx context.Context, tx pgx.Tx, adapter, holder string, version int64, sealed []byte, before bool) error {
	oldest := version
	if before {
		oldest--
	}
	if err := postgres.Exec(ctx, tx, "delete tokens that serve no more", `DELETE FROM neuronx.crm_tokens WHERE adapter = $1 AND holder = $2 AND version < $3`, adapter, holder, oldest); err != nil {
		return err
	}
	return postgres.Exec(ctx, tx, "store the token", `INSERT INTO neuronx.crm_tokens (adapter, holder, version, sealed) VALUES ($1, $2, $3, $4)`, adapter, holder, version, sealed)
}

// Revoke ends a tenant's grant and deletes its tokens. It reports whether there was one in force.
func Revoke(ctx context.Context, tx pgx.Tx, adapter, holder, tenant, reason string) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE neuronx.crm_grants SET state = 'revoked', reason = $4, refresh_at = NULL, claimed_until = NULL, fallback_until = NULL
		WHERE adapter = $1 AND holder = $2 AND tenant_id = $3 AND state <> 'revoked'`, adapter, holder, tenant, reason)
	if err != nil {
		return false, fmt.Errorf("revoke the grant: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, postgres.Exec(ctx, tx, "delete the grant's tokens", `DELETE FROM neuronx.crm_tokens WHERE adapter = $1 AND holder = $2`, adapter, holder)
}

const grantColumns = `adapter, holder, tenant_id, auth, version, state, reason, fingerprint, scopes, given_at, given_by, fallback_until, expires_at, refresh_at, refreshed_at`

func scanGrant(r pgx.CollectableRow) (g Grant, err error) {
	var fallback, expires, refresh, refreshed *time.Time
	err = r.Scan(&g.Adapter, &g.Holder, &g.Tenant, &g.Auth, &g.Version, &g.State, &g.Reason, &g.Fingerprint, &g.Scopes, &g.GivenAt, &g.GivenBy, &fallback, &expires, &refresh, &refreshed)
	for at, v := range map[*time.Time]*time.Time{&g.FallbackUntil: fallback, &g.ExpiresAt: expires, &g.RefreshAt: refresh, &g.RefreshedAt: refreshed} {
		if v != nil {
			*at = v.UTC()
		}
	}
	g.GivenAt = g.GivenAt.UTC()
	return g, err
}

// List lists grants of an adapter, or of all with "", by tenant and holder.
func List(ctx context.Context, q ledger.Querier, adapter string) ([]Grant, error) {
	rows, err := q.Query(ctx, `SELECT `+grantColumns+` FROM neuronx.crm_grants WHERE $1 IN ('', adapter) ORDER BY tenant_id, adapter, holder`, adapter)
	return postgres.Collect(rows, err, "list grants", scanGrant)
}

// TokenOld is what Count calls a grant whose private integration token people should replace.
const TokenOld = "token_old"

// Old is the age from which that is so: the vendor advises 90 days.
const Old = 80 * 24 * time.Hour

// Count counts an adapter's grants by state, those whose token is old as TokenOld.
func Count(ctx context.Context, q ledger.Querier, adapter string) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT CASE WHEN state = 'active' AND auth = 'pit' AND given_at < now() - $2::interval THEN 'token_old' ELSE state END AS s, count(*)
		FROM neuronx.crm_grants WHERE adapter = $1 GROUP BY s`, adapter, Old)
	counts := map[string]int64{}
	var state string
	var n int64
	err = postgres.ForEach(rows, err, "count grants", []any{&state, &n}, func() error { counts[state] = n; return nil })
	return counts, err
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
