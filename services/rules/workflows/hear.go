package workflows

import (
	"context"
	"errors"
	"slices"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// hears is what a text of a workflow may hear, and what its activations need.
type hears struct {
	from  map[string][]*expr.Program // by type: correlate.from of those that have one
	pools []string
	types []string // whose schemas it needs
}

func (f *Fold) index(p *flow.Program) *hears {
	if h := f.heard[p]; h != nil {
		return h
	}
	h := &hears{from: map[string][]*expr.Program{}, pools: p.Pools(), types: p.Emits()}
	add := func(m *flow.Match) {
		for _, typ := range m.On {
			from := h.from[typ]
			if m.From != nil {
				from = append(from, m.From)
			}
			h.from[typ] = from // also an empty one says that the type is heard
		}
	}
	for i := range p.Until {
		add(&p.Until[i].Match)
	}
	for _, task := range p.Listening {
		l := task.Step.(*flow.Listen)
		for i := range l.Matches {
			add(&l.Matches[i])
		}
	}
	f.heard[p] = h
	return h
}

// wanted lists what instances that an event moves are found by: the command whose outcome it is, and what the texts by which instances run say
// that it is about.
func (f *Fold) wanted(ctx context.Context, in Input) ([]advance.Wanted, error) {
	var out []advance.Wanted
	typ := in.Event.Type
	if id := advance.CommandOf(&in.Event, in.Data); id != "" {
		out = append(out, advance.Wanted{Type: typ, Value: id, Command: true})
	}
	versions, err := f.store.Versions(ctx)
	if err != nil {
		return nil, err
	}
	var vars map[string]any
	for _, v := range versions {
		p, err := f.program(ctx, v.Workflow, v.Bundle)
		if err != nil {
			return nil, err
		}
		from, hears := f.index(p).from[typ]
		if !hears {
			continue
		}
		if vars == nil {
			vars = f.said(in)
		}
		for i, prog := range append([]*expr.Program{p.Start.Key}, from...) {
			if prog == nil {
				continue
			}
			text, cost, ok, err := value(ctx, prog, vars)
			if err = f.spend(cost, err); err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			out = append(out, advance.Wanted{Type: typ, Value: text, Correlated: i > 0})
			key, _, err := f.keyOf(ctx, in, text)
			if err != nil {
				return nil, err
			}
			out = append(out, advance.Wanted{Type: typ, Value: key, Correlated: i > 0})
		}
	}
	slices.SortFunc(out, advance.CompareWanted)
	return slices.Compact(out), nil
}

// hear gives an event to the instances that wait for it, by (started, id).
func (f *Fold) hear(ctx context.Context, in Input) error {
	on, err := f.wanted(ctx, in)
	if err != nil || len(on) == 0 {
		return err
	}
	refs, err := f.store.Waiting(ctx, on)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if _, err := f.move(ctx, ref.ID, in, advance.Stimulus{Kind: advance.Heard}); err != nil {
			return err
		}
	}
	return nil
}

// fired lets a timer resume its instance.
func (f *Fold) fired(ctx context.Context, in Input) error {
	id, _ := in.Data["timer_id"].(string) // the schema has it as required
	instance, _ := in.Data["instance_id"].(string)
	ignored, err := f.move(ctx, instance, in, advance.Stimulus{Kind: advance.Fired, Timer: id})
	switch {
	case err != nil:
		return err
	case ignored == advance.Early:
		f.store.Early(id)
	case ignored != "":
		f.out.Stale++
		f.store.Disarm(id)
	default:
		f.store.Disarm(id)
	}
	return nil
}

// refused tells an instance that a timer of it is refused again and again.
func (f *Fold) refused(ctx context.Context, in Input) error {
	id, _ := in.Data["timer_id"].(string) // the schema has both as required
	instance, _ := in.Data["instance_id"].(string)
	_, err := f.move(ctx, instance, in, advance.Stimulus{Kind: advance.Refused, Timer: id})
	return err
}

// Reads lists what folding events will most likely read, for Store.Preload. What an event of the run itself changes is not foreseen, nor what is left
// when that has cost as much as a batch waits for.
func (f *Fold) Reads(ctx context.Context, run []Input) (out Reads, err error) {
	cost, most := f.out.Cost, f.most
	f.out.Cost, f.most = 0, aheadCost
	defer func() { f.out.Cost, f.most = cost, most }()
	for _, in := range run {
		if err = f.ahead(ctx, in, &out); err != nil {
			break
		}
	}
	if errors.Is(err, ErrDear) {
		err = nil
	}
	return out, err
}

// ahead adds what folding an event will most likely read.
func (f *Fold) ahead(ctx context.Context, in Input, out *Reads) error {
	on, err := f.wanted(ctx, in)
	if err != nil {
		return err
	}
	out.Waits = append(out.Waits, on...)
	if id, _ := in.Data["instance_id"].(string); id != "" {
		out.Instances = append(out.Instances, id)
	}
	if lead, _ := in.Data["lead_id"].(string); lead != "" {
		of, err := f.lead(ctx, lead)
		if err != nil {
			return err
		}
		out.Contacts = append(out.Contacts, of)
	}
	starts := f.set().Starts(in.Event.Type)
	if len(starts) == 0 {
		return nil
	}
	vars := f.said(in)
	for _, p := range starts {
		key, cost, ok, err := value(ctx, p.Start.Key, vars)
		if err = f.spend(cost, err); err != nil {
			return err
		}
		if !ok {
			continue
		}
		if key, _, err = f.keyOf(ctx, in, key); err != nil {
			return err
		}
		out.Keys = append(out.Keys, Pair{p.Name, key})
		if p.Concurrency != nil {
			out.Groups = append(out.Groups, Pair{p.Concurrency.Group, key})
		}
		for _, name := range f.index(p).pools {
			out.Claims = append(out.Claims, Pair{name, key})
		}
	}
	return nil
}
