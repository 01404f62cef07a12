package gohighlevel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

const refoldPage = 500

// Refold rebuilds what is in force for a tenant (its account, its modes, whether it is suspended) from its events 1 to through, in tx:
// for a log that was rebuilt and ends before what the adapter had applied. Effects are not touched. The service must not run, and the
// transaction's role must see its tables.
func Refold(ctx context.Context, tx pgx.Tx, tenant string, through int64, archive consumer.Archive, d *consumer.Decoder) error {
	for _, table := range []string{"crm_connections", "effect_modes"} {
		if _, err := tx.Exec(ctx, `DELETE FROM neuronx.`+table+` WHERE tenant_id = $1`, tenant); err != nil {
			return fmt.Errorf("empty %s of %s: %w", table, tenant, err)
		}
	}
	skipped, err := consumer.Skips(ctx, tx, kafka.GroupGoHighLevel, tenant)
	if err != nil {
		return err
	}
	for from := int64(1); from <= through; {
		events, err := archive.Events(ctx, tenant, from, refoldPage)
		if err != nil {
			return err
		}
		for i := range events {
			r := &events[i]
			switch {
			case r.Sequence > through:
				return nil
			case r.Sequence != from:
				return fmt.Errorf("the archive of %s lacks sequence %d", tenant, from)
			}
			if !skipped[r.Sequence] {
				if _, err := foldSetting(ctx, tx, d, r); err != nil {
					return fmt.Errorf("fold %s/%d again: %w", tenant, r.Sequence, err)
				}
			}
			from++
		}
		if len(events) == 0 {
			return fmt.Errorf("the archive of %s lacks sequence %d", tenant, from)
		}
	}
	return nil
}
