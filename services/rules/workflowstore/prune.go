package workflowstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// KeepEnded is how long an instance is kept after its end, for people who ask what became of it. Its history is in the log for longer.
const KeepEnded = 30 * 24 * time.Hour

// pruneChunk is how many rows one statement of Prune deletes: it must not hold up a batch.
const pruneChunk = 1000

// Execer executes a statement in a transaction of its own, as a pool does.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Prune deletes instances of all tenants that ended longer than KeepEnded ago, in chunks, and returns how many. What re-entry asks of their keys
// stays.
func Prune(ctx context.Context, pool Execer) (pruned int64, err error) {
	for {
		tag, err := pool.Exec(ctx, `DELETE FROM neuronx.workflow_instances i USING (
				SELECT tenant_id, id FROM neuronx.workflow_instances WHERE ended < now() - $1::interval ORDER BY ended LIMIT $2 FOR UPDATE SKIP LOCKED) old
			WHERE i.tenant_id = old.tenant_id AND i.id = old.id`, KeepEnded, pruneChunk)
		if err != nil {
			return pruned, fmt.Errorf("delete instances that ended long ago: %w", err)
		}
		pruned += tag.RowsAffected()
		if tag.RowsAffected() < pruneChunk {
			return pruned, nil
		}
	}
}
