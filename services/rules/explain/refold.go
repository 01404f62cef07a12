package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// FlowSemantics is the least semantics of bundles with workflows: from the first of them on, a tenant's events are folded by workflows.
const FlowSemantics = 6

// Refold folds the workflows of a tenant from its first event, in memory, and listens to what some instances ask: pools and caps depend on all that
// the tenant's events did before. It is for one goroutine.
type Refold struct {
	tenant   string
	registry rules.Registry
	personal bool
	of       map[string]*Instance

	bundles  *rules.Sandbox // which set is in force
	assigns  bool           // rules assign from pools, too
	store    *workflows.Memory
	fold     *workflows.Fold // nil: no workflow was published yet
	sets     map[int64]*ruleset.Set
	sequence int64 // of the set in force
	known    advance.Schemas

	ctx     context.Context // of the event that is folded
	at      int64
	data    advance.Schema // of its type
	start   map[string][]Asked
	err     error
	derived map[string]event.Event

	// Recall finds an event that was applied, for a workflow that a person asked to start on it. Nil: such a start is an error.
	Recall func(ctx context.Context, sequence int64) (*event.Recorded, error)
}

// NewRefold listens to instances, whose steps were read.
func NewRefold(tenant string, reg rules.Registry, instances []*Instance, personal bool) *Refold {
	f := &Refold{tenant: tenant, registry: reg, personal: personal, of: map[string]*Instance{}, bundles: rules.NewExcerpt(tenant, reg, &rules.Compiled{}), store: workflows.NewMemory(),
		sets: map[int64]*ruleset.Set{}, known: advance.Schemas{}, derived: map[string]event.Event{}}
	for _, in := range instances {
		f.of[in.ID] = in
	}
	return f
}

// WithRules has the rules run as well. Rules that assign and workflows share the turns and the claims of a pool.
func (f *Refold) WithRules() { f.assigns = true }

// Through is the last sequence on which the steps depend; 0: there are none.
func (f *Refold) Through() (last int64) {
	for _, in := range f.of {
		last = max(last, slices.Max(append(in.Causes(), 0)))
	}
	return last
}

// Apply takes in the tenant's next event. None may be left out, but those that the rules skipped.
func (f *Refold) Apply(ctx context.Context, r *event.Recorded) error {
	published := r.Type == "rules.published"
	if published {
		if _, err := f.bundles.Apply(ctx, *r); err != nil {
			return fmt.Errorf("publish at %d: %w", r.Sequence, err)
		}
	}
	set, version, sequence := f.bundles.InForce()
	fold := f.fold
	switch {
	case fold != nil:
	case set != nil && set.Semantics >= FlowSemantics:
		fold = workflows.New(f.tenant, f.store, refolded{f}, nil)
		fold.Watch(f)
		f.bundles.Merged(fold.Resolve)
		f.bundles.Lend(fold)
		f.fold = fold
	default:
		if err := f.rules(ctx, r, published); err != nil || !workflows.Remembers(r.Type) {
			return err
		}
		fold = workflows.New(f.tenant, f.store, refolded{f}, nil)
	}
	data, err := f.bundles.Decode(ctx, r)
	if err != nil {
		return fmt.Errorf("read event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	if err := f.begin(ctx, r); err != nil {
		return err
	}
	in := workflows.Input{Event: *r, Data: data}
	fold.Begin()
	if f.fold != nil && sequence != f.sequence {
		f.sequence, f.sets[sequence] = sequence, set
		if err := fold.Publish(ctx, &workflows.Bundle{Sequence: sequence, Version: version, Set: set}); err != nil {
			return fmt.Errorf("publish at %d: %w", r.Sequence, err)
		}
	}
	if err := fold.Before(ctx, in); err != nil {
		return fmt.Errorf("fold event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	if err := fold.After(ctx, in); err != nil {
		return fmt.Errorf("fold event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	if f.fold != nil {
		if err := f.rules(ctx, r, published); err != nil {
			return err
		}
	}
	for _, e := range fold.Take().Events {
		if id, is := strings.CutPrefix(e.Subject, "instance/"); is && f.of[id] != nil {
			f.derived[e.ID] = e
			f.started(f.of[id])
		}
	}
	return f.err
}

// rules has the rules take in an event that publishes none.
func (f *Refold) rules(ctx context.Context, r *event.Recorded, published bool) error {
	if !f.assigns || published {
		return nil
	}
	if _, err := f.bundles.Apply(ctx, *r); err != nil {
		return fmt.Errorf("fold event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	return nil
}

func (f *Refold) begin(ctx context.Context, r *event.Recorded) error {
	f.ctx, f.at, f.start = ctx, r.Sequence, map[string][]Asked{}
	return f.about(ctx, r)
}

// about says which schema the data has that conditions see, and so which of its fields are personal.
func (f *Refold) about(ctx context.Context, r *event.Recorded) (err error) {
	f.data = advance.Schema{}
	id, _, err := event.Unframe(r.Value)
	if err != nil {
		return fmt.Errorf("read event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	schema, err := f.registry.SchemaByID(ctx, id)
	if err != nil {
		return fmt.Errorf("find the schema of event %d of %s: %w", r.Sequence, f.tenant, err)
	}
	f.data, err = advance.NewSchema(id, schema)
	return err
}

// started gives a step that began an instance the condition of its start.
func (f *Refold) started(in *Instance) {
	if s := in.step(f.at); s != nil && s.Activation == 1 {
		s.Conditions = append(f.start[in.Workflow], s.Conditions...)
		delete(f.start, in.Workflow)
	}
}

func (in *Instance) step(cause int64) *Activity {
	i := slices.IndexFunc(in.Steps, func(s Activity) bool { return s.Cause == strconv.FormatInt(cause, 10) })
	if i < 0 {
		return nil
	}
	return &in.Steps[i]
}

// Asked implements advance.Watcher.
func (f *Refold) Asked(in advance.Instance, p *flow.Program, where string, when *expr.Program, vars map[string]any) {
	of := f.of[in.ID]
	if f.err != nil || of == nil && in.ID != "" || in.ID == "" && !f.starts(p.Name) {
		return
	}
	var s *Activity
	if of != nil {
		if s = of.step(f.at); s == nil || len(s.Conditions) >= maxTold {
			return
		}
	}
	told, err := condition(f.ctx, when, vars, f.personal, hiddenIn(in, f.data))
	if err != nil {
		f.err = err
		return
	}
	asked := Asked{Where: where, Condition: *told}
	if s != nil {
		s.Conditions = append(s.Conditions, asked)
		return
	}
	f.start[p.Name] = append(f.start[p.Name], asked)
}

// starts reports whether the event started one of the instances of a workflow.
func (f *Refold) starts(workflow string) bool {
	for _, in := range f.of {
		if s := in.step(f.at); in.Workflow == workflow && s != nil && s.Activation == 1 {
			return true
		}
	}
	return false
}

// Picked implements advance.Watcher.
func (f *Refold) Picked(in advance.Instance, task string, p advance.Pick) {
	of := f.of[in.ID]
	if of == nil {
		return
	}
	if s := of.step(f.at); s != nil && len(s.Picks) < maxTold {
		s.Picks = append(s.Picks, picked(task, p))
	}
}

// hiddenIn reports which paths are personal to an instance. What is not known is hidden.
func hiddenIn(in advance.Instance, data advance.Schema) func(path []string) bool {
	frames := slices.ContainsFunc(in.Tokens, func(t *advance.Token) bool {
		return slices.ContainsFunc(t.Frames, func(f *advance.Frame) bool { return f.Personal })
	})
	return func(path []string) bool {
		switch {
		case len(path) == 0:
			return true
		case path[0] == "event", path[0] == "now", path[0] == "instance":
			return false
		case path[0] == "data":
			return data.Personal(path[1:]...)
		case path[0] == "vars" && len(path) == 1:
			return len(in.Personal) > 0
		case path[0] == "vars":
			_, is := in.Personal[path[1]]
			return is
		}
		return frames // a variable of a loop, or the error of a catch
	}
}

// Judge compares what came out with the steps that are on record. through is the sequence up to which Apply was told.
func (f *Refold) Judge(ctx context.Context, through int64) error {
	for _, in := range f.of {
		for i := range in.recorded {
			r := &in.recorded[i]
			s := &in.Steps[i]
			if n, err := strconv.ParseInt(s.Cause, 10, 64); err != nil || n > through {
				continue
			}
			e, is := f.derived[r.ID]
			if !is {
				in.Alarms = append(in.Alarms, fmt.Sprintf("%s at sequence %d does not come out again", r.Type, r.Sequence))
				continue
			}
			same, err := sameEvent(ctx, f.bundles, &e, r)
			if err != nil {
				return err
			}
			if !same {
				in.Alarms = append(in.Alarms, fmt.Sprintf("%s at sequence %d is recorded with other content than it has when it is derived again", r.Type, r.Sequence))
			}
		}
	}
	return nil
}

// refolded is the environment of a refold.
type refolded struct{ *Refold }

// Schemas implements workflows.Environment.
func (f refolded) Schemas(ctx context.Context, types []string) (advance.Schemas, error) {
	return f.known, f.known.Find(ctx, f.registry, types)
}

// Program implements workflows.Environment.
func (f refolded) Program(_ context.Context, name string, bundle int64) (*flow.Program, error) {
	set := f.sets[bundle]
	if set == nil {
		return nil, nil
	}
	return set.Workflow(name), nil
}

// Recorded implements workflows.Environment.
func (f refolded) Recorded(ctx context.Context, sequence int64) (*workflows.Input, error) {
	if f.Recall == nil {
		return nil, errors.New("a workflow was asked to start on an event that is not at hand")
	}
	r, err := f.Recall(ctx, sequence)
	if err != nil || r == nil {
		return nil, err
	}
	if err := f.about(ctx, r); err != nil { // what is asked from here on is asked of that event
		return nil, err
	}
	data, err := f.bundles.Decode(ctx, r)
	return &workflows.Input{Event: *r, Data: data}, err
}

// Steps reads what an instance did from events about it, ascending. Events that are no steps are left out.
func (in *Instance) Read(ctx context.Context, reg rules.Registry, about []event.Recorded) error {
	decoder := rules.NewExcerpt(in.Tenant, reg, &rules.Compiled{})
	for _, r := range about {
		if r.Source != advance.Source || !lifecycle[r.Type] {
			continue
		}
		data, err := decoder.Decode(ctx, &r)
		if err != nil {
			return fmt.Errorf("read %s at %d: %w", r.Type, r.Sequence, err)
		}
		step := stepOf(&r, data)
		in.Steps = append(in.Steps, Activity{Step: *step, Conditions: []Asked{}, Picks: []Picked{}, Outputs: emitted(data, nil)})
		in.recorded = append(in.recorded, r)
		if in.Workflow == "" {
			in.Workflow, in.Key = text(data, "workflow"), text(data, "key")
		}
		if in.Number == 0 {
			in.Number = step.Number
		}
		if in.Status == "" && step.Outcome != "" {
			in.Outcome = step.Outcome
		}
	}
	return nil
}
