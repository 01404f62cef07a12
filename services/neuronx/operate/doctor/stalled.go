package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxStalledFindings bounds the stalled tenants that doctor names; a defect in a consumer may stall every tenant.
const maxStalledFindings = 10

// checkStalled finds tenants that a consumer set aside: nothing of them moves there until a person acts.
func checkStalled(ctx context.Context, pool *pgxpool.Pool) []Finding {
	rows, all, err := consumer.StalledRows(ctx, pool, maxStalledFindings)
	if err != nil {
		return []Finding{fail(fmt.Errorf("read which tenants are stalled: %w", err), "doctor needs the role neuronx_ops")}
	}
	var found []Finding
	for _, r := range rows {
		group, feed := consumer.SplitName(r.Consumer)
		found = append(found, Finding{Result: Failed, Next: "neuronx stalled list --tenant " + r.TenantID,
			Detail: fmt.Sprintf("%s is stalled in %s (feed %s, generation %d) at event %d: %s", r.TenantID, strings.TrimPrefix(group, "neuronx."), feed, r.Generation, r.Sequence+1, operate.Brief(r.Reason))})
	}
	if more := all - len(found); more > 0 {
		found = append(found, Finding{Result: Failed, Detail: fmt.Sprintf("%d more stalled places", more), Next: "neuronx stalled list"})
	}
	return orOK(found, "none")
}
