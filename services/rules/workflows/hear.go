package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// hears is what a text of a workflow may hear, and what its activations need.
type hears struct {
	from    map[string][]*expr.Program // by type: correlate.from of those that have one
	expects []string                   // types of those that have correlate.expect
	pools   []string
	types   []string // whose schemas it needs

	schemas map[string]advance.Schemas // of types and, by the type of the event, of that
}

// question is what texts ask of an event to find instances by: the key of their start, or what correlates. Most texts ask the same.
type question struct {
	ask        *expr.Program
	correlated bool
	texts      int // that ask it
}

func (f *Fold) index(p *flow.Program) *hears {
	if h := f.heard[p]; h != nil {
		return h
	}
	h := &hears{from: map[string][]*expr.Program{}, pools: p.Pools(), types: p.Emits(), schemas: map[string]advance.Schemas{}}
	add := func(m *flow.Match) {
		for _, typ := range m.On {
			from := h.from[typ]
			if m.From != nil {
				from = append(from, m.From)
			}
			h.from[typ] = from // also an empty one says that the type is heard
		}
		if m.Expect != nil {
			h.expects = append(h.expects, m.On...)
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

// questions are what the texts by which instances run ask of an event of a type; none: no instance hears it.
func (f *Fold) questions(ctx context.Context, typ string) ([]question, error) {
	versions, err := f.store.Versions(ctx)
	if err != nil {
		return nil, err
	}
	if f.asked == nil || !sameList(versions, f.versions) {
		f.versions, f.asked = versions, map[string][]question{}
	}
	if list, known := f.asked[typ]; known {
		return list, nil
	}
	var list []question
	for _, v := range versions {
		p, err := f.program(ctx, v.Workflow, v.Bundle)
		if err != nil {
			return nil, err
		}
		from, hears := f.index(p).from[typ]
		if !hears {
			continue
		}
		for i, ask := range append([]*expr.Program{p.Start.Key}, from...) {
			if ask == nil {
				continue
			}
			q := question{ask, i > 0, 1}
			if at := slices.IndexFunc(list, func(o question) bool { return o.correlated == q.correlated && o.ask.Same(ask) }); at >= 0 {
				list[at].texts++
			} else {
				list = append(list, q)
			}
		}
	}
	f.asked[typ] = list
	return list, nil
}

// sameList compares lists of which stores give the same one as long as it has not changed.
func sameList(a, b []Version) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// wanted lists what instances that an event moves are found by: the command whose outcome it is, and what the texts by which instances run say
// that it is about.
func (f *Fold) wanted(ctx context.Context, in Input) ([]advance.Wanted, error) {
	var out []advance.Wanted
	typ := in.Event.Type
	if id := advance.CommandOf(&in.Event, in.Data); id != "" {
		out = append(out, advance.Wanted{Type: typ, Value: id, Command: true})
	}
	list, err := f.questions(ctx, typ)
	if err != nil || len(list) == 0 {
		return out, err
	}
	vars := f.said(in)
	for _, q := range list {
		text, cost, ok, err := value(ctx, q.ask, vars)
		if err = f.spend(cost*uint64(q.texts), err); err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		key, _, err := f.keyOf(ctx, in, text)
		if err != nil {
			return nil, err
		}
		out = append(out, advance.Wanted{Type: typ, Value: text, Correlated: q.correlated}, advance.Wanted{Type: typ, Value: key, Correlated: q.correlated})
	}
	slices.SortFunc(out, advance.CompareWanted)
	return slices.Compact(out), nil
}

// NeedsData reports whether folding an event reads its data: most events of a tenant are heard by no workflow, and need not be decoded for them.
func (f *Fold) NeedsData(ctx context.Context, e *event.Recorded) (bool, error) {
	typ := e.Type
	for _, prefix := range []string{"engine.", "workflow.", "subject.", "timer.", "consent.", "rules."} {
		if strings.HasPrefix(typ, prefix) {
			return true, nil
		}
	}
	set := f.set()
	if advance.TellsOutcome(typ) || len(set.Starts(typ)) > 0 || len(set.Pools(typ)) > 0 || len(set.Counting(typ)) > 0 {
		return true, nil
	}
	for _, r := range set.For(typ) {
		if r.Assign != nil || len(r.Windows) > 0 { // what it is about, and its key, are found ahead
			return true, nil
		}
	}
	if set.Policy != nil {
		for i := range set.Policy.Grants {
			if slices.Contains(set.Policy.Grants[i].On, typ) {
				return true, nil
			}
		}
	}
	list, err := f.questions(ctx, typ)
	if err != nil || len(list) > 0 {
		return true, err
	}
	resuming, err := f.store.Named(ctx, KindPause, "")
	return resuming != nil, err
}

// schemas are those that an activation of a text needs for an event of a type.
func (f *Fold) schemas(ctx context.Context, h *hears, typ string) (advance.Schemas, error) {
	if known := h.schemas[typ]; known != nil {
		return known, nil
	}
	found, err := f.env.Schemas(ctx, append(slices.Clone(h.types), typ))
	if err != nil {
		return nil, fmt.Errorf("find the schemas of a workflow: %w", err)
	}
	h.schemas[typ] = found
	return found, nil
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
	if workflow, _ := in.Data["rule"].(string); in.Event.Type == typeFired && workflow != "" {
		out.Named = append(out.Named, f.keptOf(workflow)...)
	}
	if lead, _ := in.Data["lead_id"].(string); lead != "" {
		of, err := f.lead(ctx, lead)
		if err != nil {
			return err
		}
		out.Contacts = append(out.Contacts, of)
	}
	if err := f.readsOfRules(ctx, in, out); err != nil {
		return err
	}
	starts := f.set().Starts(in.Event.Type)
	if len(starts) == 0 {
		return nil
	}
	vars := f.said(in)
	for _, p := range starts {
		out.Named = append(out.Named, f.keptOf(p.Name)...)
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
			out.Named = append(out.Named, Pair{string(KindPool), name})
		}
	}
	return nil
}

// keptOf are the names of what is kept of a workflow and asked when an instance of it starts or goes on.
func (f *Fold) keptOf(workflow string) []Pair {
	out := []Pair{{string(KindHealth), workflow}, {string(KindPause), workflow}, {string(KindStarts), ""}}
	if policy := f.set().Policy; policy != nil {
		for channel := range policy.Pace {
			out = append(out, Pair{string(KindPace), channel})
		}
	}
	return out
}
