package cli

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
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
	LastCode   string    `json:"last_code,omitempty"`     // of the last failure, whatever it counted as
	LastDetail string    `json:"last_detail,omitempty"`   // likewise, in words
	Sequence   string    `json:"last_sequence,omitempty"` // of the event that it failed on; a string: it passes 2^53
	EventID    string    `json:"last_event_id,omitempty"`
	Updated    time.Time `json:"updated_at"`
}

// reason is the last failure in words; its text begins with the place in the rule.
func (r *ruleHealthRow) reason() string {
	if r.LastCode == "" {
		return ""
	}
	return r.LastCode + ": " + r.LastDetail
}

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
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, `SELECT tenant_id, rule, tripped, failures, over_budget, last_budget, by_data, last_data,
				last_code, last_detail, coalesce(nullif(last_sequence, 0)::text, ''), last_event_id, updated_at FROM neuronx.rule_health
				WHERE ($1 = '' OR tenant_id = $1) AND (failures > 0 OR over_budget > 0 OR by_data > 0 OR tripped <> '') ORDER BY tenant_id, rule LIMIT 1001`, tenantID)
			if err != nil {
				return operate.Fail("list the rules' health", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ruleHealthRow])
			if err != nil {
				return operate.Fail("list the rules' health", err)
			}
			found = capped(c, found, 1000, "--tenant chooses")
			header := []string{"TENANT", "RULE", "TRIPPED", "FAILURES", "BY DATA", "AT", "REASON", "OVER BUDGET", "LAST BUDGET", "EVENT", "UPDATED"}
			return show(c, found, header, func(r ruleHealthRow) []any {
				return []any{r.Tenant, r.Rule, dash(r.Tripped), r.Failures, r.ByData, dash(r.Sequence), dash(c.errorCell(r.reason())), r.OverBudget, dash(r.LastBudget),
					dash(r.EventID), stamp(r.Updated)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	return cmd
}
