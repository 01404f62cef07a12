package consumer

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
)

// tables are those that the loop of every consumer reads and writes.
var tables = []string{"neuronx.progress", "neuronx.partition_progress", "neuronx.resets", "neuronx.skips", "neuronx.log_lineage", "neuronx.definitions"}

// checkTables returns a fatal error that names the tables which the database lacks: a missing one would pass for a fault of the server,
// which is waited for. A server that does not answer is one, and is left to the loop.
func (c *Consumer) checkTables(ctx context.Context) error {
	rows, err := c.cfg.Pool.Query(ctx, `SELECT t.name FROM unnest($1::text[]) WITH ORDINALITY AS t (name, n) WHERE to_regclass(t.name) IS NULL ORDER BY t.n`, tables)
	if err != nil {
		return nil
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(missing) == 0 {
		return nil
	}
	return app.Fatal(fmt.Errorf("consumer %s: the database lacks %s: run `neuronx provision --execute`", c.cfg.Name, strings.Join(missing, ", ")))
}
