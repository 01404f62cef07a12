package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxStalledFindings bounds the stalled tenants that doctor names; a defect in a consumer may stall every tenant.
const maxStalledFindings = 10

// checkStalled finds tenants that a consumer set aside: nothing of them moves there until a person acts.
func (c *cli) checkStalled(ctx context.Context) []finding {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return []finding{fail(err, "")}
	}
	rows, err := pool.Query(ctx, `SELECT consumer, generation, tenant_id, sequence + 1, reason, count(*) OVER () FROM neuronx.progress
		WHERE state = 'stalled' ORDER BY tenant_id, consumer, generation LIMIT $1`, maxStalledFindings)
	if err != nil {
		return []finding{fail(fmt.Errorf("read which tenants are stalled: %w", err), "doctor needs the role neuronx_ops")}
	}
	var r stalledRow
	var all int
	var found []finding
	_, err = pgx.ForEachRow(rows, []any{&r.Consumer, &r.Generation, &r.Tenant, &r.Sequence, &r.Reason, &all}, func() error {
		group, feed := consumer.SplitName(r.Consumer)
		found = append(found, finding{Result: checkFail, Next: "neuronx stalled list --tenant " + r.Tenant,
			Detail: fmt.Sprintf("%s is stalled in %s (feed %s, generation %d) at event %d: %s", r.Tenant, strings.TrimPrefix(group, "neuronx."), feed, r.Generation, r.Sequence, operate.Brief(r.Reason))})
		return nil
	})
	if err != nil {
		return []finding{fail(fmt.Errorf("read which tenants are stalled: %w", err), "doctor needs the role neuronx_ops")}
	}
	if more := all - len(found); more > 0 {
		found = append(found, finding{Result: checkFail, Detail: fmt.Sprintf("%d more stalled places", more), Next: "neuronx stalled list"})
	}
	if len(found) == 0 {
		found = append(found, finding{Result: checkOK, Detail: "none"})
	}
	return found
}
