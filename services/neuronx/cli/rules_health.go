package cli

import (
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
)

// rulesHealth lists how rules do. A rule that never failed has no row.
func (c *cli) rulesHealth() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "health", Short: "List rules that failed: what counts toward a trip, and what ran into a budget", Args: noArgs,
		Long: `List rules that failed. FAILURES are in a row, on different subjects, and count toward a
trip. BY DATA are events whose values it failed on, such as a null or a zero, OVER BUDGET those on which
it was cut, the last time by this budget: expression, result, field, rule_cost, event_cost,
rule_output, event_output or state. Neither trips a rule. REASON is the last failure, whatever
it counted as: its code, the place in the rule and what went wrong; AT is the sequence of
the event (neuronx events get). Counts and reason begin again with neuronx rules reset.`,
		Example: "  neuronx rules health --tenant acme\n  neuronx rules health -o wide",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			found, err := ruleadmin.ListHealth(ctx, c.env, tenantID, 1001)
			if err != nil {
				return err
			}
			found = capped(c, found, 1000, "--tenant chooses")
			header := []string{"TENANT", "RULE", "TRIPPED", "FAILURES", "BY DATA", "AT", "REASON", "OVER BUDGET", "LAST BUDGET", "EVENT", "UPDATED"}
			return show(c, found, header, func(r ruleadmin.Health) []any {
				return []any{r.Tenant, r.Rule, dash(r.Tripped), r.Failures, r.ByData, dash(r.Sequence), dash(c.errorCell(r.Reason())), r.OverBudget, dash(r.LastBudget),
					dash(r.EventID), stamp(r.Updated)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	return cmd
}
