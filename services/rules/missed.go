package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// loadMissed reads what a rule missed in a range of sequences, ascending.
func loadMissed(ctx context.Context, q querier, tenant, rule string, from, through int64, limit int) ([]int64, error) {
	rows, err := q.Query(ctx, `SELECT sequence FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2 AND sequence BETWEEN $3 AND $4
		ORDER BY sequence LIMIT $5`, tenant, rule, from, through, limit)
	if err != nil {
		return nil, fmt.Errorf("load what a rule missed: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("load what a rule missed: %w", err)
	}
	return out, nil
}

// saveMissed queues what the folds' rules missed, what was run over, and what became of the requests.
func saveMissed(b *pgx.Batch, folds []*fold) {
	for _, f := range folds {
		for _, rule := range slices.Sorted(maps.Keys(f.missed)) {
			if len(f.missed[rule]) > 0 {
				b.Queue(`INSERT INTO neuronx.rule_missed (tenant_id, rule, sequence) SELECT $1, $2, unnest($3::bigint[]) ON CONFLICT DO NOTHING`, f.tenant, rule, f.missed[rule])
			}
		}
		for _, rule := range slices.Sorted(maps.Keys(f.ran)) {
			b.Queue(`DELETE FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2 AND sequence = ANY($3)`, f.tenant, rule, slices.Sorted(maps.Keys(f.ran[rule])))
		}
		for _, r := range f.reruns {
			b.Queue(`INSERT INTO neuronx.rule_reruns (tenant_id, sequence, rule, refused, ran, fired, failed, derived) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT DO NOTHING`, f.tenant, r.Sequence, r.Rule, r.Refused, r.Ran, r.Fired, r.Failed, r.Derived)
		}
	}
}
