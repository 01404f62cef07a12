package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// UntoldTenant is the first tenant after another one, in the order of their ids, that has an effect of the partitions of which the log must
// still be told; "" if there is none.
func (l Ledger) UntoldTenant(ctx context.Context, q Querier, partitions []int32, after string) (string, error) {
	var tenant string
	err := q.QueryRow(ctx, `SELECT tenant_id FROM neuronx.effects WHERE untold AND adapter = $3 AND partition = ANY($1) AND tenant_id > $2 ORDER BY tenant_id LIMIT 1`, partitions, after, l.Adapter).Scan(&tenant)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for effects to tell: %w", err)
	}
	return tenant, nil
}

// Untold locks up to limit effects of a tenant of which the log must still be told, oldest first. Rows that another process holds are passed
// over.
func (l Ledger) Untold(ctx context.Context, tx pgx.Tx, tenant string, limit int) ([]Effect, error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM neuronx.effects WHERE untold AND tenant_id = $1 AND adapter = $3 ORDER BY command_sequence LIMIT $2 FOR UPDATE SKIP LOCKED`,
		tenant, limit, l.Adapter)
	return postgres.Collect(rows, err, "find effects to tell", scan)
}

// Told notes that the log is told of locked effects of a tenant, by the caller's transaction.
func (l Ledger) Told(ctx context.Context, tx pgx.Tx, tenant string, ids []string) error {
	return postgres.Exec(ctx, tx, "note told effects", `UPDATE neuronx.effects SET untold = false WHERE tenant_id = $1 AND adapter = $3 AND effect_id = ANY($2)`, tenant, ids, l.Adapter)
}
