package cli

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

type ruleHealthRow struct {
	Tenant     string    `json:"tenant_id"`
	Rule       string    `json:"rule"`
	Tripped    string    `json:"tripped,omitempty"` // failures or storm; empty: it is on
	Failures   int64     `json:"failures"`          // in a row that count toward a trip
	OverBudget int64     `json:"over_budget"`       // failures over a budget since the last reset
	LastBudget string    `json:"last_budget,omitempty"`
	ByData     int64     `json:"by_data"` // failures for the values of an event, since the last reset
	LastData   string    `json:"last_data,omitempty"`
	Updated    time.Time `json:"updated_at"`
}

// rulesHealth lists how rules do. A rule that never failed has no row.
func (c *cli) rulesHealth() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "health", Short: "List rules that failed: what counts toward a trip, and what ran into a budget", Args: noArgs,
		Long: `List rules that failed. FAILURES are in a row and count toward a trip; OVER BUDGET are
events on which the rule was cut, the LAST time by this budget: expression, result, field, rule_cost,
event_cost, rule_output, event_output or state. BY DATA are events whose values it failed on,
such as a null, the LAST time with this code. Neither trips a rule.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, `SELECT tenant_id, rule, tripped, failures, over_budget, last_budget, by_data, last_data, updated_at FROM neuronx.rule_health
				WHERE ($1 = '' OR tenant_id = $1) AND (failures > 0 OR over_budget > 0 OR by_data > 0 OR tripped <> '') ORDER BY tenant_id, rule LIMIT 1001`, tenantID)
			if err != nil {
				return failed("list the rules' health", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ruleHealthRow])
			if err != nil {
				return failed("list the rules' health", err)
			}
			found = capped(c, found, 1000, "--tenant chooses")
			return show(c, found, []string{"TENANT", "RULE", "TRIPPED", "FAILURES", "OVER BUDGET", "LAST", "BY DATA", "LAST", "UPDATED"}, func(r ruleHealthRow) []any {
				return []any{r.Tenant, r.Rule, dash(r.Tripped), r.Failures, r.OverBudget, dash(r.LastBudget), r.ByData, dash(r.LastData), stamp(r.Updated)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	return cmd
}
