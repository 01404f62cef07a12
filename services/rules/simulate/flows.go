package simulate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// flows are the workflows of a sandbox. Their timers fire at their due by the clock of the test.
type flows struct {
	fold     *workflows.Fold
	store    *workflows.Memory
	set      *ruleset.Set
	registry rules.Registry
	known    advance.Schemas
	of       *sandbox
}

// flowSemantics is the least semantics of bundles with workflows, a contact policy, or rules that assign or count.
const flowSemantics = 6

// newFlows puts the workflows of a bundle in force; nil: it has none, and nothing that is kept with them.
func newFlows(ctx context.Context, set *ruleset.Set, version, sequence int64, reg rules.Registry) (*flows, error) {
	if set == nil || set.Semantics < flowSemantics {
		return nil, nil
	}
	f := &flows{store: workflows.NewMemory(), set: set, registry: reg, known: advance.Schemas{}}
	f.fold = workflows.New(tenant, f.store, f, nil)
	if err := f.fold.Publish(ctx, &workflows.Bundle{Sequence: sequence, Version: version, Set: set}); err != nil {
		return nil, fmt.Errorf("publish the workflows: %w", err)
	}
	return f, nil
}

// Schemas implements workflows.Environment.
func (f *flows) Schemas(ctx context.Context, types []string) (advance.Schemas, error) {
	return f.known, f.known.Find(ctx, f.registry, types)
}

// Program implements workflows.Environment: there is one bundle.
func (f *flows) Program(_ context.Context, name string, _ int64) (*flow.Program, error) {
	return f.set.Workflow(name), nil
}

// Recorded implements workflows.Environment.
func (f *flows) Recorded(ctx context.Context, sequence int64) (*workflows.Input, error) {
	if sequence < 1 || sequence > int64(len(f.of.log)) {
		return nil, nil
	}
	r := f.of.log[sequence-1]
	data, err := f.of.rules.Decode(ctx, &r)
	return &workflows.Input{Event: r, Data: data}, err
}

// newest is the instance of a key that started last.
func (f *flows) newest(ctx context.Context, workflow, key string) (in advance.Instance, there bool, err error) {
	for _, row := range slices.Backward(f.store.Instances()) {
		if row.Workflow == workflow && row.Key == key {
			in, err = advance.Decode(row.State, row.Personal)
			return in, err == nil, err
		}
	}
	return in, false, nil
}

// awaited reports whether a call waits for the outcome of a command.
func (f *flows) awaited(ctx context.Context, command *event.Event) (bool, error) {
	refs, err := f.store.Waiting(ctx, []advance.Wanted{{Type: strings.TrimSuffix(command.Type, ".requested") + ".succeeded", Value: command.ID, Command: true}})
	return len(refs) > 0, err
}

// apply hears an event of the log: what workflows derive of it stands before and after what rules do.
func (w *sandbox) apply(ctx context.Context, r event.Recorded) (rules.Taken, workflows.Out, error) {
	if w.flows == nil {
		taken, err := w.rules.Apply(ctx, r)
		return taken, workflows.Out{}, err
	}
	data, err := w.rules.Decode(ctx, &r)
	if err != nil {
		return rules.Taken{}, workflows.Out{}, err
	}
	in, fold := workflows.Input{Event: r, Data: data}, w.flows.fold
	fold.Begin()
	if err := fold.Before(ctx, in); err != nil {
		return rules.Taken{}, workflows.Out{}, err
	}
	before := len(fold.Take().Events)
	if err := fold.After(ctx, in); err != nil { // as in the service: what starts assigns before rules do
		return rules.Taken{}, workflows.Out{}, err
	}
	taken, err := w.rules.Apply(ctx, r)
	if err != nil {
		return taken, workflows.Out{}, err
	}
	out := fold.Take()
	taken.Derived = slices.Concat(out.Events[:before], taken.Derived, out.Events[before:])
	return taken, out, nil
}

// moveTo moves the clock. Calls whose outcome no step gave have succeeded by then, and timers fire at their due.
func (w *sandbox) moveTo(ctx context.Context, to time.Time) (out came, err error) {
	defer func() { w.now = later(w.now, to) }()
	if w.flows == nil {
		return out, nil
	}
	for _, c := range slices.Clone(w.open) {
		waits, err := w.flows.awaited(ctx, &c)
		if err != nil {
			return out, err
		}
		if !waits {
			continue
		}
		more, err := w.answer(ctx, &Outcome{Of: strings.TrimSuffix(c.Type, ".requested"), Succeeded: true, command: c.ID})
		if out.add(more); err != nil {
			return out, err
		}
	}
	for {
		timer, there := w.flows.store.Next()
		if !there || timer.Due.After(to) {
			return out, nil
		}
		w.now = later(w.now, timer.Due.Add(time.Millisecond-1).Truncate(time.Millisecond))
		more, err := w.fire(ctx, timer)
		if out.add(more); err != nil {
			return out, err
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// fire records the firing of a timer, as the timers of the service would.
func (w *sandbox) fire(ctx context.Context, t workflows.Timer) (came, error) {
	const typ = "timer.fired"
	id, s, err := w.registry.ByType(ctx, typ)
	if err != nil {
		return came{}, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	body, err := s.EncodeMap(map[string]any{"timer_id": t.ID, "due": t.Due, "rule": t.Workflow, "instance_id": t.Instance, "task": t.Task, "armed_sequence": t.Armed, "attempt": int64(1)})
	if err != nil {
		return came{}, fmt.Errorf("fire a timer of the workflow %s: %w", t.Workflow, err)
	}
	w.append(event.Event{ID: event.DerivedID(tenant, "timer", t.ID, "1"), Source: "/neuronx/timers", Type: typ, Subject: "timer/" + t.ID, Time: t.Due, Value: event.Frame(id, body)})
	return w.drain(ctx)
}

// troubles are what lifecycle events tell that a person must repair. A test that wants them expects the event.
func troubles(typ string, data map[string]any) (out []Difference) {
	name, _ := data["workflow"].(string)
	switch typ {
	case advance.TypeIncident:
		list, _ := data["incidents"].([]any)
		for _, x := range list {
			i, _ := x.(map[string]any)
			out = append(out, Difference{Kind: KindFailed, Workflow: name, Detail: fmt.Sprintf("%v: %v: %v", i["task"], i["code"], i["detail"])})
		}
	case advance.TypeRejected:
		if data["reason"] == advance.RejectFailed {
			out = append(out, Difference{Kind: KindFailed, Workflow: name, Detail: "its start can't be evaluated on this event"})
		}
	}
	return out
}

// derivedBy names the rule or the workflow that derived an event; both are empty where neither did.
func derivedBy(e *event.Event) (rule, workflow string) {
	if e.Source != advance.Source || len(e.Path) == 0 {
		return rules.DerivedBy(e), ""
	}
	_, by, _ := strings.Cut(e.Path[len(e.Path)-1], "<")
	workflow, _, _ = strings.Cut(by, "@")
	return "", workflow
}
