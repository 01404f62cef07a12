package workflowadmin

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// Verb is what is asked of instances.
type Verb string

// Verbs of instances.
const (
	Retry   Verb = "retry"   // a task that failed runs again
	Skip    Verb = "skip"    // a task that failed is left out; what it would have set is null
	Cancel  Verb = "cancel"  // the instance ends, its compensations run
	Suspend Verb = "suspend" // it runs no task from here on
	Resume  Verb = "resume"  // a suspended instance goes on
	Migrate Verb = "migrate" // the instance goes on by the text in force: see PlanMigration
)

// states are the values of Filter.State by which a verb may choose instances; the first is the one if none is said.
var states = map[Verb][]string{
	Retry: {string(advance.InTrouble)}, Skip: {string(advance.InTrouble)}, Resume: {string(advance.Suspended)},
	Cancel:  {"", StateLive, string(advance.Waiting), string(advance.InTrouble), string(advance.Suspended)},
	Suspend: {"", StateLive, string(advance.Waiting), string(advance.InTrouble)},
}

// StatesOf are the states by which a verb may choose instances. Where there is one, it need not be said.
func StatesOf(v Verb) []string {
	return slices.DeleteFunc(slices.Clone(states[v]), func(s string) bool { return s == "" })
}

// Codes of why a verb does nothing, besides those of package advance: NoIncident, IsSuspended, NotAsleep and AlreadyEnd.
const (
	IsPaused     = "paused"     // its workflow is paused with hold; unpausing it lets all go on
	IsUnreadable = "unreadable" // this build can't read what the instance holds

	notInForce = "not_in_force"
)

// Outcome is what became of an instance that was asked something, or would become of it.
type Outcome struct {
	Instance string `json:"instance_id"`
	Workflow string `json:"workflow"`
	Key      string `json:"key"`
	Task     string `json:"task,omitempty"` // of the incident that is resolved
	Result   string `json:"result"`         // would_<verb>, would_refuse; done, refused, unknown
	Code     string `json:"code,omitempty"` // why it is refused
	Status   string `json:"status"`         // of the instance, as it is now
	Sequence string `json:"sequence,omitempty"`
	EventID  string `json:"event_id,omitempty"`
	Detail   string `json:"detail,omitempty"`

	incident string
	due      time.Time
	to       int64 // of Migrate: sequence of the rules.published that is in force
}

// Results of Outcome.
const (
	WouldRefuse = "would_refuse"
	Done        = "done"
	Refused     = "refused"
	NotKnown    = "unknown" // it was asked for, and what became of it is not known yet
)

// Chosen are instances that a verb is about.
type Chosen struct {
	Tenant string
	Verb   Verb
	All    int64 // that the filter chooses; more than Requests is about if its limit was reached

	Requests []Outcome // what would become of each; an instance with several incidents has one for each
}

// Choose finds the instances that are named, and else those that the filter chooses, and foresees what would become of each. Nothing is asked.
func Choose(ctx context.Context, env *operate.Env, verb Verb, f Filter, ids []string) (*Chosen, error) {
	c := &Chosen{Tenant: f.Tenant, Verb: verb}
	var list []view.Instance
	var err error
	if len(ids) > 0 {
		if list, err = find(ctx, env, f.Tenant, ids...); err != nil {
			return nil, err
		}
		c.All = int64(len(list))
	} else if list, err = c.filtered(ctx, env, f); err != nil {
		return nil, err
	}
	paused, err := ListPaused(ctx, env, f.Tenant)
	if err != nil {
		return nil, err
	}
	for i := range list {
		held := slices.ContainsFunc(paused, func(p Paused) bool { return p.Workflow == list[i].Workflow && p.Hold })
		c.Requests = append(c.Requests, foresee(verb, &list[i], held)...)
	}
	return c, nil
}

func (c *Chosen) filtered(ctx context.Context, env *operate.Env, f Filter) ([]view.Instance, error) {
	if f.State == "" {
		f.State = states[c.Verb][0]
	}
	if f.Workflow == "" || f.State == "" || !slices.Contains(states[c.Verb], f.State) {
		return nil, operate.Usage("name instances, or choose them by workflow and state")
	}
	if err := checkWorkflow(ctx, env, f.Tenant, f.Workflow); err != nil {
		return nil, err
	}
	now := env.Now()
	list, err := operate.Ask(ctx, env, "list instances", func(pool *pgxpool.Pool) ([]view.Instance, error) { return view.List(ctx, pool, f.view(now)) })
	if c.All = int64(len(list)); err != nil || len(list) < f.Limit || f.WaitingAt != "" {
		return list, err
	}
	counts, err := operate.Ask(ctx, env, "count instances", func(pool *pgxpool.Pool) ([]view.Count, error) { return view.Counts(ctx, pool, f.view(now)) })
	c.All = 0
	for _, n := range counts {
		c.All += n.N
	}
	return list, err
}

// foresee says what would become of an instance, as it is now. held: its workflow is paused with hold. It is pure.
func foresee(verb Verb, i *view.Instance, held bool) []Outcome {
	base := Outcome{Instance: i.ID, Workflow: i.Workflow, Key: i.Key, Result: "would_" + string(verb), Status: string(i.Status), due: i.Due()}
	refuse := func(code string) []Outcome {
		base.Result, base.Code = WouldRefuse, code
		return []Outcome{base}
	}
	switch {
	case i.Status.Ended():
		return refuse(advance.AlreadyEnd)
	case i.Unreadable != "": // the rules service could not read it either, and would set the tenant aside
		base.Detail = i.Unreadable
		return refuse(IsUnreadable)
	}
	switch verb {
	case Suspend:
		if i.State.Suspended {
			return refuse(advance.IsSuspended)
		}
	case Resume:
		switch {
		case i.State.Paused && held:
			return refuse(IsPaused)
		case !i.State.Paused && !i.State.Suspended:
			return refuse(advance.NotAsleep)
		}
	case Retry, Skip:
		incidents := i.Incidents()
		if len(incidents) == 0 {
			return refuse(advance.NoIncident)
		}
		var out []Outcome
		for _, x := range incidents {
			o := base
			o.incident, o.Task, o.Detail = x.ID, x.Task, x.Code+": "+x.Detail
			out = append(out, o)
		}
		return out
	}
	return []Outcome{base}
}

// request is the event that asks for it.
func (o *Outcome) request(verb Verb, by, reason any) (typ string, data map[string]any) {
	data = map[string]any{"instance_id": o.Instance, "by": by, "reason": reason}
	switch verb {
	case Cancel:
		return "workflow.cancel.requested", data
	case Suspend:
		return "workflow.suspended", data
	case Resume:
		return "workflow.resumed", data
	case Migrate:
		data["to_version"], data["tasks"], data["retime"] = o.to, []any{}, false
		return "workflow.migrated", data
	}
	data["incident_id"], data["action"] = o.incident, string(verb)
	return "workflow.incident.resolved", data
}

// atOnce is how many requests are published before their outcome is waited for, and pause how long that takes at least: a tenant's stream is
// also that of its leads, who must not wait behind ten thousand retries.
const (
	atOnce = 50
	pause  = time.Second
)

// Execute asks for each in turn, as its own event, and takes in what became of it; each group of requests has the time that a verb has
// (env.Timeout). What would be refused is not asked for. c.Requests then says how far it came, also when it returns an error.
func (c *Chosen) Execute(ctx context.Context, env *operate.Env, who operate.Principal, reason string) error {
	if err := who.Check(); err != nil {
		return err
	}
	var ask []*Outcome
	for i := range c.Requests {
		if o := &c.Requests[i]; o.Result == WouldRefuse {
			o.Result = Refused
		} else {
			ask = append(ask, o)
		}
	}
	for group := range slices.Chunk(ask, atOnce) {
		began := time.Now()
		if err := c.ask(ctx, env, who, reason, group); err != nil {
			return err
		}
		if group[len(group)-1] != ask[len(ask)-1] {
			env.Note("asked for %s", operate.Plural(slices.Index(ask, group[len(group)-1])+1, "request"))
			select {
			case <-ctx.Done():
				return operate.Fail("ask for the rest", ctx.Err())
			case <-time.After(pause - time.Since(began)):
			}
		}
	}
	return nil
}

func (c *Chosen) ask(ctx context.Context, env *operate.Env, who operate.Principal, reason string, group []*Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, env.Timeout)
	defer cancel()
	asked := map[string]*Outcome{} // by the id of the event
	judged, err := env.ActAll(ctx, who, c.Tenant, len(group), func(pub *control.Publisher, i int) (event.Event, error) {
		typ, data := group[i].request(c.Verb, who.By(), operate.OrNil(reason))
		e, err := pub.Publish(ctx, c.Tenant, typ, "instance/"+group[i].Instance, "", data, control.WithSource(who.Source))
		if e.ID != "" {
			asked[e.ID] = group[i]
			group[i].EventID, group[i].Result = e.ID, NotKnown
		}
		return e, err
	})
	var wait []waiting
	for _, j := range judged {
		o := asked[j.EventID]
		if j.Refused != nil {
			o.Result, o.Detail = Refused, j.Refused.Error()
			continue
		}
		o.Sequence = j.Sequence
		wait = append(wait, waiting{Done: j.Done, outcome: o})
	}
	if err != nil {
		return err
	}
	return became(ctx, env, wait)
}

// Undone is an error when not all became what was asked for.
func (c *Chosen) Undone() error {
	var bad []Outcome
	for _, o := range c.Requests {
		if o.Result != Done {
			bad = append(bad, o)
		}
	}
	switch {
	case len(bad) == 0:
		return nil
	case len(c.Requests) == 1:
		e := operate.Fail("the instance was not changed", nil).Because("%s", bad[0].Why())
		return e.Hint("neuronx workflows show %s --tenant %s", bad[0].Instance, c.Tenant)
	}
	return operate.Partial("%d of %s were not done", len(bad), operate.Plural(len(c.Requests), "request")).
		Hint("the column RESULT says which, and CODE why; neuronx workflows list --tenant %s shows what is left", c.Tenant)
}

// Why says why a request changed nothing.
func (o *Outcome) Why() string {
	why := map[string]string{
		advance.AlreadyEnd: "it has ended as " + o.Status, advance.NoIncident: "it has no such incident", advance.IsSuspended: "it is suspended already",
		advance.NotAsleep: "it is not suspended", IsPaused: "its workflow is paused with hold: `neuronx workflows unpause " + o.Workflow + "` lets all of it go on",
		IsUnreadable: "this build can't read it", advance.SameVersion: "it runs by that version already",
		advance.NotMigratable:     "it can't go on by the new text",
		advance.RejectConcurrency: "in the new text it is of a group in which another instance lives for its key",
		notInForce:                "other rules were published meanwhile: give the command again",
	}[o.Code]
	switch {
	case why == "" && o.Code != "":
		why = o.Code
	case why == "":
		why = o.Result
	}
	if o.Detail != "" && o.Code != advance.NoIncident {
		why += ": " + o.Detail
	}
	return why
}
