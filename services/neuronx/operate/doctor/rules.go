package doctor

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

// checkTripped finds rules that do nothing although they are published.
func checkTripped(ctx context.Context, pool *pgxpool.Pool) []Finding {
	found, err := status.Rules(ctx, pool)
	if err != nil {
		return []Finding{fail(fmt.Errorf("read how the rules do: %w", err), "neuronx_ops may read neuronx.rule_health: run `neuronx provision --execute`")}
	}
	if len(found) == 0 {
		return []Finding{{Result: OK, Detail: "none off, none cut, none failing"}}
	}
	return operate.Each(found, func(r status.RuleTrouble) Finding {
		return Finding{Result: Warn, Detail: fmt.Sprintf("%s of %s: %s%s", r.Rule, r.Tenant, r.What(), r.Further("; ")), Next: r.Next()}
	})
}

// checkWorkflows finds workflows that are off, instances that wait for a person, and timers that do not fire.
func checkWorkflows(ctx context.Context, pool *pgxpool.Pool) []Finding {
	found, more, err := status.Workflows(ctx, pool)
	if err != nil {
		return []Finding{fail(fmt.Errorf("read how the workflows do: %w", err), "neuronx_ops may read the tables of workflows: run `neuronx provision --execute`")}
	}
	if len(found) == 0 {
		return []Finding{{Result: OK, Detail: "none off, no instance in an incident, no overdue timer"}}
	}
	out := operate.Each(found, func(w status.WorkflowTrouble) Finding {
		result := Warn
		if w.Overdue > 0 { // everything that waits for it stands still
			result = Failed
		}
		return Finding{Result: result, Detail: fmt.Sprintf("%s of %s: %s", w.Workflow, w.Tenant, w.What()), Next: w.Next()}
	})
	if more > 0 {
		out = append(out, Finding{Result: Warn, Detail: fmt.Sprintf("%s in trouble not named here", operate.Plural(more, "other workflow")), Next: "neuronx_workflows_incidents counts them all"})
	}
	return out
}

// checkPaused finds tenants whose effects wait because their CRM refuses the connection, or does not answer.
func checkPaused(ctx context.Context, pool *pgxpool.Pool) []Finding {
	paused, err := ledger.ListPaused(ctx, pool, status.MaxPaused)
	if err != nil {
		return []Finding{fail(err, "neuronx provision --execute gives neuronx_ops the right to read neuronx.effects")}
	}
	if len(paused) == 0 {
		return []Finding{{Result: OK, Detail: "no tenant waits for its CRM"}}
	}
	out := operate.Each(paused, func(p ledger.Paused) Finding {
		result := Failed
		if p.Reason == ledger.PausedAway { // goes on by itself
			result = Warn
		}
		return Finding{Result: result, Detail: status.PausedWhat(p), Next: status.PausedNext(p)}
	})
	if len(paused) == status.MaxPaused {
		out = append(out, Finding{Result: Warn, Detail: fmt.Sprintf("only the first %d are named, there may be more", status.MaxPaused),
			Next: "neuronx_crm_paused_tenants counts those that are refused, neuronx_crm_breakers_open those whose CRM does not answer"})
	}
	return out
}
