package projector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/services/projector/fold"
)

// compare counts the rows in which the generation that a reset built differs from the one that was shown before: those that one of them
// lacks, and those with another value in a column. Rows that an event has touched since the older one was fed for the last time are left
// out, as they may differ. ok is false where nothing was shown before.
func (p *Projector) compare(ctx context.Context, row, tenant string, generation int64, specs []*fold.Spec) (differences int64, ok bool, err error) {
	var before, upTo int64
	err = p.pool.QueryRow(ctx, `SELECT generation, sequence FROM neuronx.progress WHERE consumer = $1 AND tenant_id = $2 AND generation < $3
		ORDER BY generation DESC LIMIT 1`, row, tenant, generation).Scan(&before, &upTo)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for the generation before: %w", err)
	}
	for _, s := range specs {
		var n int64
		if err := p.pool.QueryRow(ctx, comparison(s), tenant, before, generation, upTo).Scan(&n); err != nil {
			return 0, false, fmt.Errorf("compare %s: %w", s.Table, err)
		}
		differences += n
	}
	return differences, true, nil
}

// comparison counts the rows of two generations that differ. A row of one generation alone is a difference, unless the newer one has it by
// an event that the older one never got.
func comparison(s *fold.Spec) string {
	var was, is []string
	for _, c := range s.Columns {
		was, is = append(was, "w."+c.Name), append(is, "i."+c.Name)
	}
	side := func(generation string) string {
		return `(SELECT * FROM projection.` + s.Table + ` WHERE tenant_id = $1 AND generation = ` + generation + `)`
	}
	return `SELECT count(*) FROM ` + side("$2") + ` w FULL JOIN ` + side("$3") + ` i USING (` + strings.Join(s.Key, ", ") + `)
		WHERE coalesce(i.sequence, 0) <= $4
			AND (w.tenant_id IS NULL OR i.tenant_id IS NULL OR ROW(` + strings.Join(was, ", ") + `) IS DISTINCT FROM ROW(` + strings.Join(is, ", ") + `))`
}
