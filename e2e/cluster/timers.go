package cluster

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/pkg/kafka"
)

// Timers reads the timers of tenants, of all when tenants is nil, and for each tenant that has nothing in the outbox the sequence up to which the
// rules have applied its log, all as of one moment.
func (c *Cluster) Timers(ctx context.Context, tenants []string) (timers []checker.Timer, atRest map[string]int64, err error) {
	atRest = map[string]int64{}
	err = pgx.BeginTxFunc(ctx, c.Admin, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT tenant_id, id, instance, task, token, due, armed_sequence, state FROM neuronx.timers`+whose("tenant_id"), tenants)
		if err != nil {
			return err
		}
		if timers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[checker.Timer]); err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, `SELECT tenant_id, sequence FROM neuronx.progress p WHERE consumer = $2 AND state = 'live'
			AND NOT EXISTS (SELECT FROM neuronx.outbox o WHERE o.tenant_id = p.tenant_id) AND ($1::text[] IS NULL OR tenant_id = ANY ($1))`, tenants, kafka.GroupRules); err != nil {
			return err
		}
		var tenant string
		var sequence int64
		_, err = pgx.ForEachRow(rows, []any{&tenant, &sequence}, func() error { atRest[tenant] = sequence; return nil })
		return err
	})
	return timers, atRest, err
}
