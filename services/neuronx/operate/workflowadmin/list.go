package workflowadmin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// States that choose more than one status.
const (
	StateLive = "live" // all that have not ended
	StateAll  = "all"
)

var live = []advance.Status{advance.Waiting, advance.Suspended, advance.InTrouble}

// States are the values that Filter.State may have.
func States() []string {
	return []string{StateLive, StateAll, string(advance.Waiting), string(advance.InTrouble), string(advance.Suspended), string(advance.Completed), string(advance.Cancelled), string(advance.Faulted)}
}

// statuses are those of a state; none: all.
func statuses(state string) []advance.Status {
	switch state {
	case StateAll:
		return nil
	case StateLive:
		return live
	}
	return []advance.Status{advance.Status(state)}
}

// Filter chooses instances of a tenant.
type Filter struct {
	Tenant    string
	Workflow  string        // empty: of all
	State     string        // one of States
	WaitingAt string        // path of a task at which the instance rests; empty: at any
	OlderThan time.Duration // it started at least so long ago; 0: at any time
	After     string        // id of the last instance of the page before; empty: from the first
	Limit     int
}

func (f *Filter) view(now time.Time) view.Filter {
	v := view.Filter{Tenant: f.Tenant, Workflow: f.Workflow, Statuses: statuses(f.State), At: f.WaitingAt, After: f.After, Limit: f.Limit}
	if f.OlderThan > 0 {
		v.Before = now.Add(-f.OlderThan)
	}
	return v
}

// Instance is an instance of a workflow as a list has it.
type Instance struct {
	ID       string     `json:"instance_id"`
	Workflow string     `json:"workflow"`
	Key      string     `json:"key"`
	Subject  string     `json:"subject"`
	Status   string     `json:"status"`           // waiting, suspended, incident, completed, cancelled or faulted
	Paused   bool       `json:"paused,omitempty"` // it is held because its workflow was paused
	Tasks    []string   `json:"tasks"`            // paths of the tasks at which it rests
	Due      time.Time  `json:"due,omitzero"`     // of the next timer of a task
	Started  time.Time  `json:"started_at"`
	Ended    time.Time  `json:"ended_at,omitzero"`
	Age      float64    `json:"age_seconds"` // since its start, up to its end
	Outcome  string     `json:"outcome,omitempty"`
	Sequence string     `json:"sequence"` // of the event that moved it last; a string: it passes 2^53
	Incident []Incident `json:"incidents,omitempty"`
	Broken   string     `json:"unreadable,omitempty"` // why this build can't read what it holds
}

// Incident is what a person must resolve.
type Incident struct {
	ID      string `json:"incident_id"`
	Task    string `json:"task"`
	Code    string `json:"code"` // type of the error, such as expression/type or command/rejected
	Detail  string `json:"detail"`
	Attempt int64  `json:"attempt"`
}

func instanceOf(now time.Time) func(view.Instance) Instance {
	return func(i view.Instance) Instance {
		out := Instance{
			ID: i.ID, Workflow: i.Workflow, Key: i.Key, Subject: i.Subject, Status: string(i.Status), Paused: i.State.Paused, Tasks: append([]string{}, i.Tasks()...), Due: i.Due().UTC(),
			Started: i.Started, Ended: i.Ended, Outcome: i.State.Outcome, Sequence: fmt.Sprint(i.Sequence), Broken: i.Unreadable,
		}
		if i.Due().IsZero() {
			out.Due = time.Time{}
		}
		until := now
		if !i.Ended.IsZero() {
			until = i.Ended
		}
		out.Age = max(0, until.Sub(i.Started).Truncate(time.Second).Seconds())
		out.Incident = operate.Each(i.Incidents(), func(x advance.Incident) Incident { return Incident{x.ID, x.Task, x.Code, x.Detail, x.Attempt} })
		return out
	}
}

// List lists instances, oldest first. A workflow that the tenant does not have, and an instance to go on after that is not kept, are errors.
func List(ctx context.Context, env *operate.Env, f Filter) ([]Instance, error) {
	if f.Workflow != "" {
		if err := checkWorkflow(ctx, env, f.Tenant, f.Workflow); err != nil {
			return nil, err
		}
	}
	if f.After != "" {
		if _, err := find(ctx, env, f.Tenant, f.After); err != nil {
			return nil, err
		}
	}
	now := env.Now()
	list, err := operate.Ask(ctx, env, "list instances", func(pool *pgxpool.Pool) ([]view.Instance, error) { return view.List(ctx, pool, f.view(now)) })
	return operate.Each(list, instanceOf(now)), err
}

// Count is how many instances have a status.
type Count struct {
	Status string `json:"status"`
	N      int64  `json:"count"`
}

// Counts counts the instances of the filter's tenant, workflow and age by status, whatever its State.
func Counts(ctx context.Context, env *operate.Env, f Filter) ([]Count, error) {
	f.State = StateAll
	list, err := operate.Ask(ctx, env, "count instances", func(pool *pgxpool.Pool) ([]view.Count, error) { return view.Counts(ctx, pool, f.view(env.Now())) })
	return operate.Each(list, func(c view.Count) Count { return Count{string(c.Status), c.N} }), err
}

// InWords says counts in one line.
func InWords(counts []Count) string {
	if len(counts) == 0 {
		return "none"
	}
	parts := operate.Each(counts, func(c Count) string { return fmt.Sprintf("%d %s", c.N, c.Status) })
	return strings.Join(parts, ", ")
}

// find reads the instances of some ids; one that is not kept is an error, with one that was meant, maybe.
func find(ctx context.Context, env *operate.Env, tenant string, ids ...string) ([]view.Instance, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids))) // named twice, it is one
	list, err := operate.Ask(ctx, env, "look for instances", func(pool *pgxpool.Pool) ([]view.Instance, error) { return view.ByID(ctx, pool, tenant, ids...) })
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(list, func(i view.Instance) bool { return i.ID == id }) {
			return nil, noInstance(ctx, env, tenant, id)
		}
	}
	return list, nil
}

func noInstance(ctx context.Context, env *operate.Env, tenant, id string) error {
	ids, err := operate.Ask(ctx, env, "look for instances", func(pool *pgxpool.Pool) ([]string, error) { return view.Newest(ctx, pool, tenant) })
	if err != nil {
		return err
	}
	return operate.Unknown("instance", id, ids, "`neuronx workflows list --tenant "+tenant+" --state all`").
		Because("ended instances are kept for 30 days; the stream has them for longer: `neuronx events list --tenant %s --subject instance/%s`", tenant, operate.Cut(id, 64))
}

// checkWorkflow refuses a workflow that is not in force and of which no instance is kept.
func checkWorkflow(ctx context.Context, env *operate.Env, tenant, workflow string) error {
	names, err := inForce(ctx, env, tenant)
	if err != nil || slices.Contains(names, workflow) {
		return err
	}
	counts, err := Counts(ctx, env, Filter{Tenant: tenant, Workflow: workflow})
	if err != nil || len(counts) > 0 {
		return err
	}
	e := operate.Unknown("workflow", workflow, names, "`neuronx rules show --tenant "+tenant+"`")
	if len(names) == 0 {
		return e.Hint("%s has no workflows in force; `neuronx rules publish <file or folder> --tenant %s` publishes some", tenant, tenant)
	}
	return e
}

// inForce lists the workflows of the bundle in force.
func inForce(ctx context.Context, env *operate.Env, tenant string) ([]string, error) {
	sequence, err := newest(ctx, env, tenant)
	if err != nil || sequence == 0 {
		return nil, err
	}
	set, _, err := bundle(ctx, env, tenant, sequence)
	if err != nil || set == nil {
		return nil, err
	}
	var names []string
	for _, p := range set.Workflows {
		names = append(names, p.Name)
	}
	return names, nil
}

// newest is the sequence of the rules.published that is in force; 0: there is none.
func newest(ctx context.Context, env *operate.Env, tenant string) (sequence int64, err error) {
	_, err = env.Row(ctx, "read the workflows in force", []any{&sequence}, `SELECT sequence FROM neuronx.rule_bundles WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1`, tenant)
	return sequence, err
}

// bundle compiles the rules that a tenant published at a sequence, and gives their version; the set is nil if this build can't compile them.
func bundle(ctx context.Context, env *operate.Env, tenant string, sequence int64) (*ruleset.Set, int64, error) {
	type row struct {
		Version, Semantics int64
		Files              []ruleset.File
	}
	rows, err := operate.Rows(ctx, env, "read the rules", pgx.RowToStructByPos[row], `SELECT version, semantics, files FROM neuronx.rule_bundles WHERE tenant_id = $1 AND sequence = $2`, tenant, sequence)
	if err != nil || len(rows) == 0 {
		return nil, 0, err
	}
	set, _ := ruleset.CompileFor(rows[0].Semantics, rows[0].Files, nil)
	return set, rows[0].Version, nil
}
