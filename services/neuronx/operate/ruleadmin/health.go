package ruleadmin

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// Health is how a rule does. A rule that never failed has none.
type Health struct {
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

// Reason is the last failure in words; its text begins with where in the rule it was.
func (h *Health) Reason() string {
	if h.LastCode == "" {
		return ""
	}
	return h.LastCode + ": " + h.LastDetail
}

// ListHealth returns the health of rules that failed or are off: of one tenant, or of all for "", at most limit.
func ListHealth(ctx context.Context, env *operate.Env, tenant string, limit int) ([]Health, error) {
	return operate.Rows(ctx, env, "list the rules' health", pgx.RowToStructByPos[Health], `SELECT tenant_id, rule, tripped, failures, over_budget, last_budget, by_data, last_data,
		last_code, last_detail, coalesce(nullif(last_sequence, 0)::text, ''), last_event_id, updated_at FROM neuronx.rule_health
		WHERE ($1 = '' OR tenant_id = $1) AND (failures > 0 OR over_budget > 0 OR by_data > 0 OR tripped <> '') ORDER BY tenant_id, rule LIMIT $2`, tenant, limit)
}

// Tripped is a rule that is off.
type Tripped struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"` // failures or storm
}

// tripped lists a tenant's rules that are off, by name.
func tripped(ctx context.Context, env *operate.Env, tenant string) ([]Tripped, error) {
	return operate.Rows(ctx, env, "read which rules are off", pgx.RowToStructByPos[Tripped],
		`SELECT rule, tripped FROM neuronx.rule_health WHERE tenant_id = $1 AND tripped <> '' ORDER BY rule`, tenant)
}
