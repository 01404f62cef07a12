package view

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Overdue is how long after its due a timer that has not fired is in trouble.
const Overdue = 10 * time.Minute

// Trouble is a workflow of a tenant that a person should look at.
type Trouble struct {
	Tenant    string    `json:"tenant_id"`
	Workflow  string    `json:"workflow"`
	Incidents int64     `json:"incidents"`           // instances in an incident
	Overdue   int64     `json:"overdue_timers"`      // due for longer than Overdue, and not fired
	Oldest    time.Time `json:"oldest_due,omitzero"` // of the overdue ones
	Tripped   string    `json:"tripped,omitempty"`   // why it starts nothing until it is reset: failures, storm or rate
}

// Troubles lists the workflows in trouble by tenant and name, at most so many, and counts all. Timers of a suspended tenant wait and are not overdue.
func Troubles(ctx context.Context, q Querier, most int) (list []Trouble, all int, err error) {
	by := map[[2]string]*Trouble{}
	at := func(tenant, workflow string) *Trouble {
		k := [2]string{tenant, workflow}
		if by[k] == nil {
			by[k] = &Trouble{Tenant: tenant, Workflow: workflow}
		}
		return by[k]
	}
	var tenant, workflow string
	var n int64
	rows, err := q.Query(ctx, `SELECT tenant_id, workflow, count(*) FROM neuronx.workflow_instances WHERE status = 'incident' GROUP BY 1, 2`)
	if err = postgres.ForEach(rows, err, "count instances in an incident", []any{&tenant, &workflow, &n}, func() error {
		at(tenant, workflow).Incidents = n
		return nil
	}); err != nil {
		return nil, 0, err
	}
	var oldest time.Time
	rows, err = q.Query(ctx, `SELECT t.tenant_id, t.workflow, count(*), min(t.due) FROM neuronx.timers t WHERE t.due < now() - $1::interval
		AND NOT EXISTS (SELECT FROM neuronx.named_state s WHERE s.tenant_id = t.tenant_id AND s.kind = $2 AND s.name = $3) GROUP BY 1, 2`, Overdue, workflows.KindTenant, workflows.Suspended)
	if err = postgres.ForEach(rows, err, "count overdue timers", []any{&tenant, &workflow, &n, &oldest}, func() error {
		t := at(tenant, workflow)
		t.Overdue, t.Oldest = n, oldest.UTC()
		return nil
	}); err != nil {
		return nil, 0, err
	}
	tripped, err := Tripped(ctx, q, "")
	if err != nil {
		return nil, 0, err
	}
	for _, t := range tripped {
		at(t.Tenant, t.Workflow).Tripped = t.Reason
	}
	for _, t := range by {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Workflow, b.Workflow))
	})
	return list[:min(len(list), most)], len(list), nil
}

// Off is a workflow that starts nothing until a person resets it.
type Off struct {
	Tenant   string
	Workflow string
	Reason   string // failures, storm or rate
	Sequence int64  // of the event that it tripped at
}

// Tripped lists the workflows of a tenant that are off, of all tenants for "".
func Tripped(ctx context.Context, q Querier, tenant string) (out []Off, err error) {
	// Postgres reads no part of the JSON: it has keys of instances in it, and no text for a NUL that one may hold.
	rows, err := q.Query(ctx, `SELECT tenant_id, name, state FROM neuronx.named_state WHERE ($1 = '' OR tenant_id = $1) AND kind = $2 AND strpos(state::text, '"tripped":') > 0
		ORDER BY tenant_id, name`, tenant, workflows.KindHealth)
	var o Off
	var state []byte
	err = postgres.ForEach(rows, err, "read which workflows are off", []any{&o.Tenant, &o.Workflow, &state}, func() error {
		var h workflows.Health
		if err := json.Unmarshal(state, &h); err != nil {
			return fmt.Errorf("the health of workflow %s of %s: %w", o.Workflow, o.Tenant, err)
		}
		if o.Reason, o.Sequence = h.Tripped, h.TrippedAt; o.Reason != "" {
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

// Paused is a workflow that a person paused.
type Paused struct {
	Workflow string
	Hold     bool  // its instances run no task either
	Sequence int64 // of the event that paused it
}

// ListPaused lists the workflows of a tenant that are paused, by name.
func ListPaused(ctx context.Context, q Querier, tenant string) ([]Paused, error) {
	rows, err := q.Query(ctx, `SELECT name, state FROM neuronx.named_state WHERE tenant_id = $1 AND kind = $2 AND name <> '' ORDER BY name`, tenant, workflows.KindPause)
	return postgres.Collect(rows, err, "read which workflows are paused", func(row pgx.CollectableRow) (p Paused, err error) {
		var state []byte
		if err := row.Scan(&p.Workflow, &state); err != nil {
			return p, err
		}
		var kept workflows.Pause
		if err := json.Unmarshal(state, &kept); err != nil {
			return p, fmt.Errorf("the pause of workflow %s: %w", p.Workflow, err)
		}
		p.Hold, p.Sequence = kept.Hold, kept.Sequence
		return p, nil
	})
}
