package ledger

import (
	"context"
	"fmt"
	"strconv"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
)

// TenantScope and PartitionScope name what a freeze is about.
func TenantScope(tenant string) string { return "tenant/" + tenant }

// PartitionScope names all tenants of a partition.
func PartitionScope(p int32) string { return "partition/" + strconv.Itoa(int(p)) }

const frozenText = "the ledger was restored from a backup; this effect may have been carried out before: resolve it"

// Freeze notes that the ledger is older than the log, as of a position. All once effects up to it that look unsent become unknown,
// those that are recorded later too (Frozen). tenant or partition narrows it; the other is "" or negative. It returns how many
// effects it changed; asking twice changes nothing.
func (l Ledger) Freeze(ctx context.Context, q Querier, tenant string, partition int32, position int64, reason string) (int64, error) {
	scope := TenantScope(tenant)
	if tenant == "" {
		scope = PartitionScope(partition)
	}
	if _, err := q.Exec(ctx, `INSERT INTO neuronx.effect_freezes (adapter, scope, position, reason) VALUES ($4, $1, $2, $3) ON CONFLICT DO NOTHING`,
		scope, position, reason, l.Adapter); err != nil {
		return 0, fmt.Errorf("freeze: %w", err)
	}
	tag, err := q.Exec(ctx, `UPDATE neuronx.effects SET status = 'unknown', code = 'ledger_restored', last_error = $4, lease_until = NULL, updated_at = now()
		WHERE adapter = $5 AND class = 'once' AND status IN ('pending', 'sending') AND position <= $3 AND CASE WHEN $1 <> '' THEN tenant_id = $1 ELSE partition = $2 END`,
		tenant, partition, position, frozenText, l.Adapter)
	if err != nil {
		return 0, fmt.Errorf("freeze: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Frozen is the highest position up to which a tenant's once effects must not be sent; 0 when none.
func (l Ledger) Frozen(ctx context.Context, q Querier, tenant string, partition int32) (int64, error) {
	var p int64
	err := q.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM neuronx.effect_freezes WHERE adapter = $3 AND scope IN ($1, $2)`,
		TenantScope(tenant), PartitionScope(partition), l.Adapter).Scan(&p)
	if err != nil {
		return 0, fmt.Errorf("read freezes: %w", err)
	}
	return p, nil
}

// OwnNumber is the last number that the outbox of the adapter gave to a tenant's outcome.
func (l Ledger) OwnNumber(ctx context.Context, q Querier, tenant string) (int64, error) {
	return outbox.Last(ctx, q, tenant, l.Adapter)
}

// NextOffsets reads how far the adapter has read each partition of a topic.
func (l Ledger) NextOffsets(ctx context.Context, q Querier, topic string) (map[int32]int64, error) {
	offsets, err := consumer.Offsets(ctx, q, l.Group(), topic)
	if err != nil {
		return nil, err
	}
	out := map[int32]int64{}
	for _, o := range offsets {
		out[o.Partition] = max(out[o.Partition], o.Next)
	}
	return out, nil
}
