package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tables reads the projector's read model of tenants and keys.
type Tables struct {
	pool *pgxpool.Pool
}

// FromPool gives the source that reads neuronx.tenants and neuronx.api_keys.
// The pool's role must be allowed to see all tenants (neuronx_ingest,
// neuronx_ops).
func FromPool(pool *pgxpool.Pool) *Tables { return &Tables{pool: pool} }

// Load reads both tables in one snapshot: a key must not be seen without its
// tenant. Any event may have made a row, so what it did not say is null there:
// a revoked key that was never issued, limits of a tenant without a status. One
// such row must not keep the others from being read.
func (t *Tables) Load(ctx context.Context) (Snapshot, error) {
	snap := Snapshot{}
	err := pgx.BeginTxFunc(ctx, t.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := loadTenants(ctx, tx, snap); err != nil {
			return err
		}
		return loadKeys(ctx, tx, snap)
	})
	if err != nil {
		return nil, fmt.Errorf("read the tenant directory: %w", err)
	}
	return snap, nil
}

func loadTenants(ctx context.Context, tx pgx.Tx, snap Snapshot) error {
	rows, err := tx.Query(ctx, `SELECT tenant_id, coalesce(status, ''), coalesce(events_per_second, 0), coalesce(bytes_per_second, 0) FROM neuronx.tenants`)
	if err != nil {
		return err
	}
	var id, status string
	var limits Limits
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &limits.EventsPerSecond, &limits.BytesPerSecond}, func() error {
		snap[id] = Entry{Tenant: id, Status: Status(status), Limits: limits, Keys: map[string]StoredKey{}}
		return nil
	})
	return err
}

func loadKeys(ctx context.Context, tx pgx.Tx, snap Snapshot) error {
	rows, err := tx.Query(ctx, `SELECT tenant_id, key_id, coalesce(secret_sha256, ''), coalesce(scopes, '{}'), coalesce(label, ''), expires_at, revoked_at IS NOT NULL FROM neuronx.api_keys`)
	if err != nil {
		return err
	}
	var (
		tenant, id, hash, label string
		scopes                  []string
		expires                 *time.Time
		revoked                 bool
	)
	_, err = pgx.ForEachRow(rows, []any{&tenant, &id, &hash, &scopes, &label, &expires, &revoked}, func() error {
		entry, ok := snap[tenant]
		raw, err := hex.DecodeString(hash)
		if !ok || err != nil || len(raw) != sha256.Size {
			return nil // a key without a tenant, or with a hash that nothing can match, opens nothing
		}
		key := StoredKey{Tenant: tenant, ID: id, Hash: [sha256.Size]byte(raw), Scopes: append([]string(nil), scopes...), Label: label, Revoked: revoked}
		if expires != nil {
			key.ExpiresAt = *expires
		}
		entry.Keys[id] = key
		return nil
	})
	return err
}

func unixNano(n int64) time.Time { return time.Unix(0, n) }
