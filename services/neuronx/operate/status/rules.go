package status

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxRuleRows bounds the rules that `status` names; a tenant may have 500.
const maxRuleRows = 100

// RuleTrouble is a rule that is off, that was cut on events because they ran into a budget or bound, or that failed on the values of events.
type RuleTrouble struct {
	Tenant     string `json:"tenant_id"`
	Rule       string `json:"rule"`
	Tripped    string `json:"tripped,omitempty"` // why it is off: failures or storm
	OverBudget int64  `json:"over_budget"`       // events on which it was cut
	LastBudget string `json:"last_budget,omitempty"`
	ByData     int64  `json:"by_data"` // events on which it failed for their values, such as a null
	LastData   string `json:"last_data,omitempty"`
	Others     int64  `json:"others"` // rules of the tenant that are in such trouble and not listed
}

// What says what is the matter with the rule.
func (r *RuleTrouble) What() string {
	if r.Tripped != "" {
		return "off: " + r.Tripped
	}
	if r.OverBudget == 0 {
		return fmt.Sprintf("failed on %s by their values, last with %s", operate.Plural(int(r.ByData), "event"), r.LastData)
	}
	return fmt.Sprintf("cut on %s, last by its %s", operate.Plural(int(r.OverBudget), "event"), r.LastBudget)
}

// Further says that the tenant has more such rules, which need not be in the same trouble.
func (r *RuleTrouble) Further(before string) string {
	if r.Others == 0 {
		return ""
	}
	return fmt.Sprintf("%s%s off, cut or failing: neuronx rules health --tenant %s", before, operate.Plural(int(r.Others), "other rule"), r.Tenant)
}

// Next is the command that ends it.
func (r *RuleTrouble) Next() string {
	if r.Tripped != "" {
		return fmt.Sprintf("neuronx rules reset %s --tenant %s", r.Rule, r.Tenant)
	}
	if r.OverBudget == 0 {
		return fmt.Sprintf("neuronx events list --tenant %s --type engine.rule.failed", r.Tenant)
	}
	return fmt.Sprintf("neuronx rules publish <cheaper rules> --tenant %s", r.Tenant)
}

// Rules lists a rule of each tenant whose rules are in trouble: one that is off before one that was cut, and of those the one that was
// cut most. What was cut or failed before the rules in force were published is over and not told. That goes by the sequence of the last
// event on which it did, as rules may still be at events of before long after the publication; by the clock where none was kept. A rerun is
// of the rules in force, however old its events.
func Rules(ctx context.Context, pool *pgxpool.Pool) ([]RuleTrouble, error) {
	rows, err := pool.Query(ctx, `SELECT DISTINCT ON (h.tenant_id) h.tenant_id, h.rule, h.tripped, h.over_budget, h.last_budget, h.by_data, h.last_data, count(*) OVER (PARTITION BY h.tenant_id) - 1
		FROM neuronx.rule_health h
		LEFT JOIN (SELECT tenant_id, max(sequence) AS sequence, max(published_at) AS published_at FROM neuronx.rule_bundles GROUP BY tenant_id) b USING (tenant_id)
		WHERE h.tripped <> '' OR (h.over_budget > 0 OR h.by_data > 0) AND (b.sequence IS NULL OR h.last_sequence > b.sequence
			OR h.last_sequence = 0 AND h.updated_at >= b.published_at
			OR EXISTS (SELECT FROM neuronx.rule_reruns r WHERE r.tenant_id = h.tenant_id AND r.rule = h.rule AND r.sequence > b.sequence AND r.failed > 0))
		ORDER BY h.tenant_id, h.tripped = '', h.over_budget DESC, h.by_data DESC, h.rule LIMIT $1`, maxRuleRows)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RuleTrouble])
}
