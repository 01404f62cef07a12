package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Filter narrows List. Empty fields do not.
type Filter struct {
	Tenant   string
	EffectID string
	Subject  string
	Kind     string
	Statuses []crm.Status
	After    int64 // command sequence, for paging within a tenant
	Limit    int   // default 100, at most 10,001
}

// List reads effects, by tenant and command. It needs a role that may: neuronx_ops, or an adapter's, which sees its own.
func List(ctx context.Context, q Querier, f Filter) ([]Effect, error) {
	where, args := []string{"command_sequence > $1"}, []any{f.After}
	if f.After == 0 {
		where[0] = "command_sequence >= $1"
	}
	add := func(cond string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(cond, len(args)))
	}
	if f.Tenant != "" {
		add("tenant_id = $%d", f.Tenant)
	}
	if f.EffectID != "" {
		add("effect_id = $%d", f.EffectID)
	}
	if f.Subject != "" {
		add("subject = $%d", f.Subject)
	}
	if f.Kind != "" {
		add("kind = $%d", f.Kind)
	}
	if len(f.Statuses) > 0 {
		list := make([]string, len(f.Statuses))
		for i, s := range f.Statuses {
			list[i] = string(s)
		}
		add("status = ANY($%d)", list)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	add("true ORDER BY tenant_id, command_sequence, effect_id LIMIT $%d", min(f.Limit, 10_001))
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM neuronx.effects WHERE `+strings.Join(where, " AND "), args...)
	return postgres.Collect(rows, err, "list effects", scan)
}

// Counts is the number of effects by status, of one tenant or ("") of all.
func Counts(ctx context.Context, q Querier, tenant string) (map[crm.Status]int64, error) {
	rows, err := q.Query(ctx, `SELECT status, count(*) FROM neuronx.effects WHERE $1 = '' OR tenant_id = $1 GROUP BY status`, tenant)
	out := map[crm.Status]int64{}
	var status string
	var n int64
	err = postgres.ForEach(rows, err, "count effects", []any{&status, &n}, func() error { out[crm.Status(status)] = n; return nil })
	return out, err
}

// CountPending counts the pending effects of tenants by tenant and kind.
func (l Ledger) CountPending(ctx context.Context, q Querier, tenants []string) (map[string]map[string]int, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, kind, count(*) FROM neuronx.effects WHERE adapter = $2 AND status = 'pending' AND tenant_id = ANY($1) GROUP BY tenant_id, kind`, tenants, l.Adapter)
	out := map[string]map[string]int{}
	var tenant, kind string
	var n int
	err = postgres.ForEach(rows, err, "count pending effects", []any{&tenant, &kind, &n}, func() error {
		if out[tenant] == nil {
			out[tenant] = map[string]int{}
		}
		out[tenant][kind] = n
		return nil
	})
	return out, err
}
