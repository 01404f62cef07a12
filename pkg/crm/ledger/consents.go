package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Revoke notes that a lead is not to be reached over a channel since a time. The latest time counts, and of the codes the one of that time.
func (l Ledger) Revoke(ctx context.Context, q Querier, tenant, lead, channel, code string, at time.Time, sequence int64) error {
	return postgres.Exec(ctx, q, "note a revocation", `INSERT INTO neuronx.crm_consents AS c (tenant_id, adapter, local_id, channel, code, revoked_at, revoked_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (tenant_id, adapter, local_id, channel) DO UPDATE SET code = CASE WHEN c.revoked_at > excluded.revoked_at THEN c.code ELSE excluded.code END,
			revoked_at = greatest(c.revoked_at, excluded.revoked_at), revoked_sequence = greatest(c.revoked_sequence, excluded.revoked_sequence)`,
		tenant, l.Adapter, lead, channel, code, at, sequence)
}

// Grant notes that a lead may be reached over a channel since a time. The latest counts.
func (l Ledger) Grant(ctx context.Context, q Querier, tenant, lead, channel string, at time.Time, sequence int64) error {
	return postgres.Exec(ctx, q, "note a consent", `INSERT INTO neuronx.crm_consents AS c (tenant_id, adapter, local_id, channel, granted_at, granted_sequence) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant_id, adapter, local_id, channel) DO UPDATE SET granted_at = excluded.granted_at, granted_sequence = excluded.granted_sequence
			WHERE c.granted_at IS NULL OR c.granted_at <= excluded.granted_at`,
		tenant, l.Adapter, lead, channel, at, sequence)
}

// Said reads what was said of contact with some leads.
func (l Ledger) Said(ctx context.Context, q Querier, tenant string, leads []string) ([]crm.Said, error) {
	rows, err := q.Query(ctx, `SELECT local_id, channel, code, revoked_at, revoked_sequence, granted_at, granted_sequence
		FROM neuronx.crm_consents WHERE tenant_id = $1 AND adapter = $2 AND local_id = ANY($3) ORDER BY local_id, channel`, tenant, l.Adapter, leads)
	return postgres.Collect(rows, err, "read what was said of contact", func(row pgx.CollectableRow) (s crm.Said, err error) {
		var revoked, granted *time.Time
		err = row.Scan(&s.Lead, &s.Channel, &s.Code, &revoked, &s.RevokedSequence, &granted, &s.GrantedSequence)
		if revoked != nil {
			s.Revoked = *revoked
		}
		if granted != nil {
			s.Granted = *granted
		}
		return s, err
	})
}
