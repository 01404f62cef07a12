package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// rebuildRow is the read models of one feed that are being built again for one reason, or that wait for that.
type rebuildRow struct {
	Consumer string `json:"consumer"`
	Why      string `json:"why"`
	Tenants  int64  `json:"tenants"`
	Building bool   `json:"building"` // false: no generation is being built yet
}

// rebuilds are the generations above the one that is shown, by what they were made for, and the tenants whose shown tables are not of the
// newest definition and have none above. Only the projector has definitions and a generation that is shown.
const rebuilds = `WITH newest AS (SELECT DISTINCT ON (consumer) consumer, definition FROM neuronx.definitions ORDER BY consumer, n DESC),
	shown AS (SELECT n.consumer, n.definition AS newest, a.tenant_id, a.generation, p.definition, p.sequence FROM projection.active a
		JOIN newest n ON n.consumer = CASE a.feed WHEN 'main' THEN 'neuronx.projector' ELSE 'neuronx.projector.' || a.feed END
		JOIN neuronx.progress p ON p.consumer = n.consumer AND p.tenant_id = a.tenant_id AND p.generation = a.generation)
	SELECT s.consumer, CASE WHEN b.generation IS NOT NULL THEN coalesce(nullif(regexp_replace(b.origin, ' over [0-9]+$', ''), ''), 'a reason that is not known')
			WHEN s.definition IS NULL THEN 'a definition that is not known' WHEN s.definition = 'mixed' THEN 'more than one definition' ELSE 'definition ' || s.definition END, count(DISTINCT s.tenant_id), b.generation IS NOT NULL
	FROM shown s LEFT JOIN neuronx.progress b ON b.consumer = s.consumer AND b.tenant_id = s.tenant_id AND b.generation > s.generation AND b.state = 'catching-up'
	WHERE b.generation IS NOT NULL OR s.sequence > 0 AND s.definition IS DISTINCT FROM s.newest
	GROUP BY 1, 2, 4 ORDER BY 1, 4 DESC, 2 LIMIT 100`

func readRebuilds(ctx context.Context, pool *pgxpool.Pool) ([]rebuildRow, error) {
	rows, err := pool.Query(ctx, rebuilds)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[rebuildRow])
}

// sayRebuilds prints a line a feed and reason; nil is not known.
func (c *cli) sayRebuilds(rows []rebuildRow) {
	switch {
	case rows == nil:
		printf(c.out, "rebuilds:      %s\n", notKnown)
	case len(rows) == 0:
		printf(c.out, "rebuilds:      none\n")
	}
	for _, r := range rows {
		c.say("rebuilds", r.what(), "neuronx projections list")
	}
}

// what says which read models are built again and why. It is pure.
func (r rebuildRow) what() string {
	if r.Building {
		return fmt.Sprintf("%s of %s: being built again for %s", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
	}
	return fmt.Sprintf("%s of %s: built by %s, not by the newest; waits for a projector with the newest", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
}
