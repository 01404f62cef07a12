package workflowadmin

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// Shown is an instance with what it waits for and what it holds.
type Shown struct {
	Instance
	Version  int64          `json:"version,omitempty"` // of the rules that hold its text; 0: they are not kept
	Number   int64          `json:"number"`            // which start of its key it is
	Trigger  string         `json:"trigger_type"`      // of the event that started it
	Contact  string         `json:"contact,omitempty"` // id of the lead whom its commands reach
	Zone     string         `json:"zone,omitempty"`    // of the lead, if it is known
	Runs     int64          `json:"tasks_run"`
	Deadline time.Time      `json:"deadline,omitzero"`
	Tokens   []Token        `json:"tokens"`
	EndsBy   []string       `json:"ends_by"` // names of its until
	Hears    []string       `json:"hears"`   // types of events that would move or end it
	Timers   []Timer        `json:"timers"`
	Vars     map[string]any `json:"vars"`
	Personal []string       `json:"personal"` // names of the variables whose values are hidden unless they were asked for
}

// Token is a place of an instance.
type Token struct {
	Task  string    `json:"task"`
	Waits string    `json:"waits_for"` // timer, event, outcome, branches, retry, contact, person or nothing
	For   []string  `json:"for,omitempty"`
	Due   time.Time `json:"due,omitzero"`
	Local string    `json:"due_local,omitempty"` // the due in the zone of the lead or of the calendar
	Zone  string    `json:"zone,omitempty"`      // that zone, IANA name
	Round []int64   `json:"rounds,omitempty"`    // of the loops that it is in, from 0
}

// Timer is a timer that an instance has armed.
type Timer struct {
	ID       string    `json:"timer_id"`
	Task     string    `json:"task"` // empty: the deadline of the instance
	Due      time.Time `json:"due"`
	Firing   bool      `json:"firing"` // it is on its way to the log
	Attempt  int64     `json:"attempt"`
	NotUntil time.Time `json:"not_before"`
}

// waits says what a token at rest waits for.
var waits = map[advance.Rest]string{advance.Ready: "nothing", advance.AtWait: "timer", advance.AtListen: "event", advance.AtCall: "outcome", advance.AtFork: "branches", advance.AtRetry: "retry",
	advance.AtDeferral: "contact", advance.AtIncident: "person"}

// Show returns an instance. Values of personal variables are hidden unless personal asks for them.
func Show(ctx context.Context, env *operate.Env, tenant, id string, personal bool) (Shown, error) {
	d, err := operate.Ask(ctx, env, "read the instance", func(pool *pgxpool.Pool) (*view.Detail, error) { return view.Get(ctx, pool, tenant, id, personal) })
	if err != nil {
		return Shown{}, err
	}
	if d == nil {
		return Shown{}, noInstance(ctx, env, tenant, id)
	}
	set, version, err := bundle(ctx, env, tenant, d.Bundle)
	if err != nil {
		return Shown{}, err
	}
	in := &d.State
	s := Shown{Instance: instanceOf(env.Now())(d.Instance), Version: version, Number: in.Number, Trigger: in.Trigger, Contact: in.Contact, Zone: in.Zone, Runs: in.Steps,
		Tokens: []Token{}, EndsBy: []string{}, Hears: []string{}, Vars: map[string]any{}, Personal: append([]string{}, d.Personal...)}
	if in.Deadline != nil {
		s.Deadline = in.Deadline.Due.UTC()
	}
	var p *flow.Program
	if set != nil {
		p = set.Workflow(d.Workflow)
	}
	if p != nil && !d.Status.Ended() {
		for _, u := range p.Until {
			s.EndsBy = append(s.EndsBy, u.Name)
		}
	}
	for _, t := range in.Tokens {
		s.Tokens = append(s.Tokens, tokenOf(in, t, p, set))
	}
	for _, w := range d.Waits {
		s.Hears = append(s.Hears, w.Type)
	}
	slices.Sort(s.Hears)
	s.Hears = slices.Compact(s.Hears)
	s.Timers = operate.Each(d.Timers, func(t view.Timer) Timer {
		out := Timer{ID: t.ID, Task: t.Task, Due: t.Due.UTC(), Firing: t.Firing, Attempt: t.Attempt, NotUntil: t.NotUntil.UTC()}
		if t.Token == 0 {
			out.Task = ""
		}
		return out
	})
	maps.Copy(s.Vars, in.Vars)
	maps.Copy(s.Vars, in.Personal)
	return s, nil
}

// tokenOf says where a token stands. The text and the calendars by which its instance runs may be gone; then less is said.
func tokenOf(in *advance.Instance, t *advance.Token, p *flow.Program, set *ruleset.Set) Token {
	out := Token{Task: t.Task, Waits: waits[t.Rest]}
	var task *flow.Task
	if p != nil {
		task = p.Task(t.Task)
	}
	for _, f := range t.Frames {
		if f.Caught == nil && f.Attempts == 0 && isLoop(p, f.Task) {
			out.Round = append(out.Round, f.Index)
		}
	}
	calendars := []string{}
	switch {
	case t.Incident != nil:
		out.For = []string{t.Incident.Code}
	case t.Rest == advance.AtCall:
		out.For = []string{"command " + t.Command}
	}
	if task != nil {
		switch s := task.Step.(type) {
		case *flow.Listen:
			if t.Rest == advance.AtListen {
				for i := range s.Matches {
					out.For = append(out.For, s.Matches[i].On...)
				}
			}
			if s.Timeout != nil {
				calendars = append(calendars, s.Timeout.In)
			}
		case *flow.Wait:
			calendars = append(calendars, s.In, s.Counting)
		case *flow.Call:
			if t.Rest == advance.AtCall {
				out.For = []string{s.Emit.Type + " " + t.Command}
			}
			if s.Timeout != nil {
				calendars = append(calendars, s.Timeout.In)
			}
		}
	}
	if t.Timer != nil {
		out.Due = t.Timer.Due.UTC()
		if loc := local(in, set, calendars); loc != nil {
			out.Zone, out.Local = loc.String(), out.Due.In(loc).Format("Mon 2006-01-02 15:04:05 MST")
		}
	}
	return out
}

func isLoop(p *flow.Program, path string) bool {
	if p == nil {
		return false
	}
	task := p.Task(path)
	if task == nil {
		return false
	}
	_, is := task.Step.(*flow.For)
	return is
}

// local is the zone in which a task reckons: the lead's, else that of the first of its calendars; nil: UTC.
func local(in *advance.Instance, set *ruleset.Set, calendars []string) *time.Location {
	if in.Zone != "" {
		if loc, err := zone.Load(in.Zone); err == nil {
			return loc
		}
	}
	for _, name := range calendars {
		if set != nil && set.Calendars[name] != nil {
			return set.Calendars[name].Zone()
		}
	}
	return nil
}

// Rounds are the rounds of a token's loops as a path has them: [0] or [3][1].
func (t *Token) Rounds() (out string) {
	for _, n := range t.Round {
		out += "[" + strconv.FormatInt(n, 10) + "]"
	}
	return out
}

// Paused is a workflow that is paused.
type Paused struct {
	Workflow string `json:"workflow"`
	Hold     bool   `json:"hold"` // its instances run no task either
	Sequence string `json:"sequence"`
}

// ListPaused lists the workflows of a tenant that are paused, by name.
func ListPaused(ctx context.Context, env *operate.Env, tenant string) ([]Paused, error) {
	list, err := operate.Ask(ctx, env, "list paused workflows", func(pool *pgxpool.Pool) ([]view.Paused, error) { return view.ListPaused(ctx, pool, tenant) })
	return operate.Each(list, func(p view.Paused) Paused { return Paused{p.Workflow, p.Hold, strconv.FormatInt(p.Sequence, 10)} }), err
}

// pausedAs is how a workflow is paused; nil: it is not.
func pausedAs(ctx context.Context, env *operate.Env, tenant, workflow string) (*Paused, error) {
	list, err := ListPaused(ctx, env, tenant)
	i := slices.IndexFunc(list, func(p Paused) bool { return p.Workflow == workflow })
	if err != nil || i < 0 {
		return nil, err
	}
	return &list[i], nil
}

// InWords says what the pause does.
func (p *Paused) InWords() string {
	if p.Hold {
		return p.Workflow + " is paused: it starts nothing, and its instances run no task"
	}
	return p.Workflow + " is paused: it starts nothing, and its instances go on"
}
