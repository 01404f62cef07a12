package effects

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
)

// Refold rebuilds what is in force for a tenant in the ledger of an adapter (its account, its modes, whether it is suspended, which leads are one) from its events 1 to through, in tx:
// for a log that was rebuilt and ends before what the adapter had applied. Effects are not touched, nor is what was said of contact with a
// person: a revocation that was lost with the tail of the log still holds. The service must not run, and the
// transaction's role must see its tables.
func Refold(ctx context.Context, tx pgx.Tx, book ledger.Ledger, tenant string, through int64, archive stream.Source, d *consumer.Decoder) error {
	for _, table := range []string{"crm_connections", "effect_modes"} {
		if _, err := tx.Exec(ctx, `DELETE FROM neuronx.`+table+` WHERE tenant_id = $1 AND adapter = $2`, tenant, book.Adapter); err != nil {
			return fmt.Errorf("empty %s of %s: %w", table, tenant, err)
		}
	}
	skipped, err := consumer.Skips(ctx, tx, book.Group(), tenant)
	if err != nil {
		return err
	}
	var edges alias.Aliases
	err = stream.Fold(ctx, archive, tenant, 1, through, func(r *event.Recorded) error {
		if skipped[r.Sequence] {
			return nil
		}
		_, err := foldSetting(ctx, tx, book, d, r)
		if err == nil && (alias.IsMerge(r.Type)) {
			edges, err = foldMerge(ctx, d, edges, r)
		}
		if err != nil {
			return fmt.Errorf("fold %s/%d again: %w", tenant, r.Sequence, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return book.SetAliases(ctx, tx, tenant, edges)
}

// foldMerge folds a merge or an unmerge into those before it, without what it did to links, which stay as they are.
func foldMerge(ctx context.Context, d decoder, edges alias.Aliases, r *event.Recorded) (alias.Aliases, error) {
	data, err := d.Decode(ctx, r)
	if err != nil {
		return edges, err
	}
	from, _ := data["from"].(string)
	into, _ := data["into"].(string)
	switch {
	case !alias.IsSubject(from) || !alias.IsSubject(into):
	case r.Type == alias.TypeMerged:
		edges, _ = edges.Merge(from, into, r.Sequence)
	default:
		edges, _, _ = edges.Unmerge(from, into)
	}
	return edges, nil
}
