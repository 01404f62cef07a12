package cli

import (
	"context"
	"fmt"
)

// checkTripped finds rules that do nothing although they are published.
func (c *cli) checkTripped(ctx context.Context) []finding {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return []finding{fail(err, "")}
	}
	found, err := readRules(ctx, pool)
	if err != nil {
		return []finding{fail(fmt.Errorf("read how the rules do: %w", err), "neuronx_ops may read neuronx.rule_health: run `neuronx provision --execute`")}
	}
	if len(found) == 0 {
		return []finding{{Result: checkOK, Detail: "none off, none cut, none failing"}}
	}
	var out []finding
	for _, r := range found {
		f := finding{Result: checkWarn, Detail: fmt.Sprintf("%s of %s: %s%s", r.Rule, r.Tenant, r.what(), r.others("; ")), Next: r.next()}
		out = append(out, f)
	}
	return out
}
