package workflowadmin

import (
	"context"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/advance"
)

// Types of requests about a workflow.
const (
	typePaused   = "workflow.paused"
	typeUnpaused = "workflow.unpaused"
)

// PausePlan is what pausing or unpausing a workflow is about.
type PausePlan struct {
	Tenant   string
	Workflow string
	Was      *Paused // how it is paused; nil: it is not
	Live     int64   // its instances that live
	Waiting  int64   // of these, those that are not suspended and not in an incident
}

// PlanPause looks at a workflow that is to be paused or unpaused. One that the tenant does not have is an error.
func PlanPause(ctx context.Context, env *operate.Env, tenant, workflow string) (PausePlan, error) {
	p := PausePlan{Tenant: tenant, Workflow: workflow}
	var err error
	if p.Was, err = pausedAs(ctx, env, tenant, workflow); err != nil {
		return p, err
	}
	if p.Was == nil { // one that is paused may be in force no more
		if err := checkWorkflow(ctx, env, tenant, workflow); err != nil {
			return p, err
		}
	}
	counts, err := Counts(ctx, env, Filter{Tenant: tenant, Workflow: workflow})
	for _, c := range counts {
		if !advance.Status(c.Status).Ended() {
			p.Live += c.N
		}
		if c.Status == string(advance.Waiting) {
			p.Waiting += c.N
		}
	}
	return p, err
}

// Pause stops the starts of the workflow, and with hold its instances, and waits until the rules service has done so.
func (p *PausePlan) Pause(ctx context.Context, env *operate.Env, who operate.Principal, hold bool, reason string) (operate.Done, error) {
	return p.act(ctx, env, who, typePaused, map[string]any{"workflow": p.Workflow, "hold": hold, "by": who.By(), "reason": operate.OrNil(reason)})
}

// Unpause lets the workflow start again, and those of its instances go on that were held, and waits until the rules service has begun with it.
func (p *PausePlan) Unpause(ctx context.Context, env *operate.Env, who operate.Principal, reason string) (operate.Done, error) {
	return p.act(ctx, env, who, typeUnpaused, map[string]any{"workflow": p.Workflow, "by": who.By(), "reason": operate.OrNil(reason)})
}

func (p *PausePlan) act(ctx context.Context, env *operate.Env, who operate.Principal, typ string, data map[string]any) (operate.Done, error) {
	d, err := env.Act(ctx, who, p.Tenant, typ, "workflow/"+p.Workflow, "", data)
	if err != nil {
		return d, err
	}
	o := Outcome{Workflow: p.Workflow}
	if err := became(ctx, env, []waiting{{Done: d, outcome: &o}}); err != nil {
		return d, err
	}
	if o.Result != Done {
		return d, operate.Fail("the rules service refused it", nil).Because("%s", o.Code).Hint("neuronx workflows list --tenant %s --state all", p.Tenant)
	}
	return d, nil
}
