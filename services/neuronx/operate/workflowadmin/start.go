package workflowadmin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

const typeStart = "workflow.start.requested"

// StartPlan is what starting a workflow on a recorded event is about.
type StartPlan struct {
	Tenant   string `json:"tenant_id"`
	Workflow string `json:"workflow"`
	Event    string `json:"event_id"`
	Sequence string `json:"event_sequence"`
	Type     string `json:"event_type"`
	Subject  string `json:"subject"`
	Key      string `json:"key"`               // that start.key gives of the event
	Contact  string `json:"contact,omitempty"` // id of the lead whom its commands would reach
	Refused  string `json:"refused,omitempty"` // why the file does not start on it; empty: it would, as far as that can be said before

	sequence int64
}

// PlanStart reads the event, and works out what the workflow in force says of it. Who may start again, groups, limits and merges are looked at when
// the rules service reads the request.
func PlanStart(ctx context.Context, env *operate.Env, tenant, workflow, what string) (*StartPlan, error) {
	if err := checkWorkflow(ctx, env, tenant, workflow); err != nil {
		return nil, err
	}
	sequence, err := newest(ctx, env, tenant)
	if err != nil {
		return nil, err
	}
	set, _, err := bundle(ctx, env, tenant, sequence)
	if err != nil {
		return nil, err
	}
	if set == nil || set.Workflow(workflow) == nil {
		return nil, operate.Fail("the rules in force have no workflow "+workflow, nil).Hint("neuronx rules show --tenant %s", tenant)
	}
	r, err := recorded(ctx, env, tenant, what)
	if err != nil {
		return nil, err
	}
	p := &StartPlan{Tenant: tenant, Workflow: workflow, Event: r.ID, Sequence: strconv.FormatInt(r.Sequence, 10), Type: r.Type, Subject: r.Subject, sequence: r.Sequence}
	return p, p.judge(ctx, env, set, r)
}

// recorded is the event of an id or a sequence.
func recorded(ctx context.Context, env *operate.Env, tenant, what string) (*event.Recorded, error) {
	found, err := events.Get(ctx, env, tenant, what)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		return nil, operate.Fail(fmt.Sprintf("the id %s recurs: %d events have it", operate.Cut(what, 64), len(found)), nil).
			Hint("name one by its sequence, such as --event %s", found[len(found)-1].Sequence)
	}
	n, err := strconv.ParseInt(found[0].Sequence, 10, 64)
	if err != nil {
		return nil, operate.Fail("read the sequence", err)
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	page, err := stream.Next(ctx, archive.NewReader(pool), tenant, n, 1)
	if err == nil && len(page) == 0 {
		err = fmt.Errorf("the archive has no event %d any more", n)
	}
	if err != nil {
		return nil, operate.Fail("read the event", err)
	}
	return &page[0], nil
}

// judge says what the file makes of the event.
func (p *StartPlan) judge(ctx context.Context, env *operate.Env, set *ruleset.Set, r *event.Recorded) error {
	reg, err := env.Registry()
	if err != nil {
		return err
	}
	box := rules.NewExcerpt(p.Tenant, reg, &rules.Compiled{})
	data, err := box.Decode(ctx, r)
	if err != nil {
		return operate.Fail("read the data of event "+p.Sequence, err)
	}
	id, schema, err := reg.ByType(ctx, r.Type)
	if err != nil {
		return operate.Fail("find the schema of "+r.Type, err)
	}
	known, err := advance.NewSchema(id, schema)
	if err != nil {
		return operate.Fail("read the schema of "+r.Type, err)
	}
	with := advance.Env{Schemas: advance.Schemas{r.Type: known}, Calendars: reach.Local(set.Calendars), Policy: set.Policy, Reference: set.Reference(),
		Corrects: func(e *event.Recorded) bool { return e.Deriver == "corrections" }}
	program := set.Workflow(p.Workflow)
	if !advance.Triggers(program, r, with) {
		p.Refused = notTrigger(program, r)
		return nil
	}
	t, holds, failure, _, err := advance.Match(ctx, program, advance.Stimulus{Kind: advance.Start, Event: *r, Data: data}, with)
	switch {
	case err != nil:
		return operate.Fail("evaluate the start of "+p.Workflow, err)
	case failure != nil:
		p.Refused = failure.Code + ": " + failure.Detail
	case !holds:
		p.Refused = "start.when of the workflow does not hold for it"
	}
	p.Key, p.Contact = t.Key, t.Contact
	return nil
}

func notTrigger(p *flow.Program, r *event.Recorded) string {
	return fmt.Sprintf("the workflow starts on %s, and this is %s of the origin %s%s", strings.Join(p.Start.On, ", "), r.Type, r.EffectiveOrigin(), map[bool]string{true: ", marked as quiet"}[r.Quiet != ""])
}

// Execute asks for the start, and waits until the rules service has read the request. instance is the one that started.
func (p *StartPlan) Execute(ctx context.Context, env *operate.Env, who operate.Principal, reason string) (d operate.Done, instance string, err error) {
	d, err = env.Act(ctx, who, p.Tenant, typeStart, "workflow/"+p.Workflow, "", map[string]any{"workflow": p.Workflow, "key": p.Key, "about": p.Subject,
		"trigger_sequence": p.sequence, "trigger_id": p.Event, "by": who.By(), "reason": operate.OrNil(reason)})
	if err != nil {
		return d, "", err
	}
	o := Outcome{Workflow: p.Workflow, Key: p.Key}
	if err := became(ctx, env, []waiting{{Done: d, outcome: &o}}); err != nil {
		return d, "", err
	}
	if o.Result != Done {
		return d, "", operate.Fail("the workflow was not started", nil).Because("%s", whyNot(o.Code)).Hint("neuronx workflows list --tenant %s --workflow %s --state all", p.Tenant, p.Workflow)
	}
	instance, err = operate.Ask(ctx, env, "look for the instance", func(pool *pgxpool.Pool) (string, error) {
		return view.StartedAt(ctx, pool, p.Tenant, p.Workflow, sequence(d.Sequence))
	})
	return d, instance, err
}

// whyNot says why a start was refused.
func whyNot(code string) string {
	why := map[string]string{
		advance.RejectReentry: "the key has an instance that lives, or has started as often as it may", advance.RejectCooldown: "the key started less than the cooldown ago",
		advance.RejectConcurrency: "an instance of its group lives for the key", advance.RejectLimit: "the key or the tenant has as many living instances as there may be",
		advance.RejectStale: "it happened longer ago than start.fresh allows", advance.RejectFailed: "its start can't be evaluated on the event", IsPaused: "it is paused",
		"tripped": "it is off: `neuronx rules health` says why", "erased": "whom the event is about was erased since", "other_key": "start.key gives another key now",
		"not_when": "start.when does not hold now", "no_trigger": "it does not start on such events now", "no_event": "the log has another event of that sequence",
	}[code]
	if why == "" {
		return code
	}
	return code + ": " + why
}
