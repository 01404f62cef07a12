package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// flowing is an environment in which workflows run, too.
type flowing interface {
	flows(tenant string) workflows.Store
	// set is the set that a tenant published at a sequence; nil: it published none there. The error may be errLater.
	set(ctx context.Context, tenant string, sequence int64) (*ruleset.Set, error)
	// history is the archive of all tenants; nil: there is none.
	history() stream.Source
}

// An environment that lacks one of the methods would silently run no workflows.
var _, _, _, _, _ flowing = (*database)(nil), (*replayed)(nil), (*refolded)(nil), whole{}, timed{}

// flowSemantics is the least semantics of bundles with workflows. From the first of them on a tenant's events are folded by workflows, too: its
// instances go on, and what is known of consent grows, also under later bundles without any.
const flowSemantics = 6

// assignSemantics is the least semantics of bundles whose rules assign from pools or count in windows.
const assignSemantics = 7

// flow is what folds the tenant's workflows; nil: it has had none.
func (f *fold) flow() *workflows.Fold {
	if f.workflows == nil && f.flowing != nil && f.bundle != nil && f.bundle.Flows {
		if f.store == nil {
			f.store = f.flowing.flows(f.tenant)
		}
		f.workflows = workflows.New(f.tenant, f.store, flowEnvironment{f}, f.bundle.asFlows())
	}
	return f.workflows
}

// edges is what folds the merges and consents of a tenant that has had no workflows: its later ones go by them, too.
func (f *fold) edges() *workflows.Fold {
	if f.store == nil {
		f.store = f.flowing.flows(f.tenant)
	}
	return workflows.New(f.tenant, f.store, flowEnvironment{f}, nil)
}

// remembering is what folds the workflows of a tenant, or what counts before its first one.
func (f *fold) remembering() *workflows.Fold {
	if w := f.flow(); w != nil {
		return w
	}
	return f.edges()
}

func (b *bundle) asFlows() *workflows.Bundle {
	return &workflows.Bundle{Sequence: b.Sequence, Version: b.Version, Set: b.Set}
}

// beginFlows lets workflows take in an event before rules do; nil: the tenant has had none.
func (f *fold) beginFlows(ctx context.Context, r *event.Recorded, published bool) (*workflows.Fold, workflows.Input, error) {
	var in workflows.Input
	w := f.flow()
	switch {
	case w == nil && f.flowing != nil && workflows.Remembers(r.Type):
		w = f.edges()
	case w == nil:
		return nil, in, nil
	case f.bundle.Set == nil:
		return nil, in, errLater
	}
	data, err := f.flowData(ctx, w, r)
	if err != nil {
		return nil, in, err
	}
	in = workflows.Input{Event: *r, Data: data}
	if s, ok := f.store.(interface{ At(r *event.Recorded) }); ok {
		s.At(r)
	}
	w.Begin()
	w.Within(f.most)
	if published {
		if err := w.Publish(ctx, f.bundle.asFlows()); err != nil {
			return w, in, err
		}
		if f.bundle.first {
			if err := f.remember(ctx, r); err != nil {
				return w, in, err
			}
		}
	}
	return w, in, w.Before(ctx, in)
}

// late is an error of workflows; an event that costs them more than a batch may wait for is for later.
func (f *fold) late(err error) error {
	if errors.Is(err, workflows.ErrDear) {
		f.dear = true
		return errLater
	}
	return err
}

// flowData is an event's data as workflows see it; nil: they ask for nothing of it. It is decoded once for reading ahead and folding.
func (f *fold) flowData(ctx context.Context, w *workflows.Fold, r *event.Recorded) (map[string]any, error) {
	if data, done := f.decoded[r.Sequence]; done {
		delete(f.decoded, r.Sequence)
		return data, nil
	}
	if needs, err := w.NeedsData(ctx, r); err != nil || !needs {
		return nil, err
	}
	return f.env.decode(ctx, r, flowSemantics)
}

// ruleData is an event's data as the rules in force see it. From semantics 3 on that is what workflows see, which may have decoded it.
func (f *fold) ruleData(ctx context.Context, r *event.Recorded, flows map[string]any) (map[string]any, error) {
	if flows != nil && f.bundle.Semantics >= 3 {
		return flows, nil
	}
	return f.env.decode(ctx, r, f.bundle.Semantics)
}

// endFlows takes in what workflows did with an event. Their events stand before and after those that rules derived from it.
func (f *fold) endFlows(out workflows.Out, before, from int) {
	if f.flowed != nil {
		f.flowed(out)
	}
	f.dearest = max(f.dearest, out.Cost)
	f.cost += out.Cost - min(out.Cost, ordinaryCost)
	size := 0
	for i := range out.Events {
		size += len(out.Events[i].Value)
	}
	f.size += size
	f.bytes += max(0, size-ordinaryOutput)
	f.derived += len(out.Events)
	// In place: outputs hold what all events of the batch have derived.
	f.outputs = append(slices.Insert(f.outputs, from, out.Events[:before]...), out.Events[before:]...)
	f.moved += out.Moved
	f.started += out.Started
	f.ended += out.Ended
	f.rejected += out.Rejected
	f.stale += out.Stale
	f.joined += out.Merged
	f.unjoined += out.Refused
}

// readAhead reads what the workflows of some folds will most likely ask for, in few queries for all.
func readAhead(ctx context.Context, kept *workflowstore.Batch, folds []*fold, events func(tenant string) []event.Recorded) error {
	subjects := map[string][]string{}
	for _, f := range folds {
		if len(f.ahead(events(f.tenant))) > 0 { // all, before the first of them is asked: what each of its events asks is read for all at once
			subjects[f.tenant] = nil
		}
	}
	for _, f := range folds {
		if _, has := subjects[f.tenant]; has {
			subjects[f.tenant] = f.decodeAhead(ctx, f.ahead(events(f.tenant)))
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	if err := kept.PreloadAliases(ctx, subjects); err != nil {
		return fmt.Errorf("read ahead for the workflows of a batch: %w", err)
	}
	reads := map[string]workflows.Reads{}
	for _, f := range folds {
		if len(f.decoded) == 0 {
			continue
		}
		w := f.remembering()
		var run []workflows.Input
		for _, r := range events(f.tenant) {
			if data, done := f.decoded[r.Sequence]; done {
				run = append(run, workflows.Input{Event: r, Data: data})
			}
		}
		of, err := w.Reads(ctx, run)
		if errors.Is(err, errLater) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read ahead for the workflows of %s: %w", f.tenant, err)
		}
		reads[f.tenant] = of
	}
	if len(reads) == 0 {
		return nil
	}
	return kept.Preload(ctx, reads)
}

// ahead lists those events that workflows will take in.
func (f *fold) ahead(events []event.Recorded) (out []event.Recorded) {
	switch w := f.flow(); {
	case f.flowing == nil, w != nil && f.bundle.Set == nil:
		return nil
	case w != nil:
		return events
	}
	for i := range events {
		if workflows.Remembers(events[i].Type) {
			out = append(out, events[i])
		}
	}
	return out
}

// decodeAhead decodes events, and lists the subjects that they name.
func (f *fold) decodeAhead(ctx context.Context, events []event.Recorded) (subjects []string) {
	f.decoded = map[int64]map[string]any{}
	w := f.remembering()
	for i := range events {
		data, err := f.flowData(ctx, w, &events[i])
		if err != nil {
			continue // the fold meets it, too, and says so
		}
		subjects = append(subjects, events[i].Subject)
		if data == nil {
			continue
		}
		f.decoded[events[i].Sequence] = data
		if lead, _ := data["lead_id"].(string); lead != "" && events[i].Subject != "lead/"+lead {
			subjects = append(subjects, "lead/"+lead)
		}
	}
	return subjects
}

// saveFlows writes what the folds' workflows changed, and counts the timers that fired too early.
func saveFlows(ctx context.Context, tx pgx.Tx, folds []*fold) (early int64, err error) {
	saved := map[*workflowstore.Batch]bool{}
	for _, f := range folds {
		if t, ok := f.store.(*workflowstore.Tenant); ok && !saved[t.Batch()] {
			saved[t.Batch()] = true
			if err := t.Batch().Save(ctx, tx); err != nil {
				return 0, err
			}
			early += t.Batch().Early()
		}
	}
	return early, nil
}

// flowEnvironment is what a fold's workflows need from outside.
type flowEnvironment struct{ *fold }

// Schemas implements workflows.Environment.
func (e flowEnvironment) Schemas(ctx context.Context, types []string) (advance.Schemas, error) {
	known, err := e.env.schemas(ctx, types)
	if err != nil {
		return nil, err
	}
	if e.schemas == nil {
		e.schemas = advance.Schemas{}
	}
	out := make(advance.Schemas, len(types))
	for _, t := range types {
		s, done := e.schemas[t]
		if !done && known[t].Avro != nil {
			if s, err = advance.NewSchema(known[t].ID, known[t].Avro); err != nil {
				return nil, fmt.Errorf("read the schema of %s: %w", t, err)
			}
			e.schemas[t] = s
		}
		if s.Avro != nil {
			out[t] = s
		}
	}
	return out, nil
}

// Program implements workflows.Environment.
func (e flowEnvironment) Program(ctx context.Context, workflow string, bundle int64) (*flow.Program, error) {
	set := e.texts[bundle]
	if set == nil {
		var err error
		if set, err = e.flowing.set(ctx, e.tenant, bundle); err != nil || set == nil {
			return nil, err
		}
	}
	return set.Workflow(workflow), nil
}

// Recorded implements workflows.Environment. The archive is asked, which a batch does not wait for.
func (e flowEnvironment) Recorded(ctx context.Context, sequence int64) (*workflows.Input, error) {
	if e.most > 0 {
		return nil, errLater
	}
	r, err := e.env.event(ctx, e.tenant, sequence)
	if err != nil {
		return nil, err
	}
	data, err := e.env.decode(ctx, r, flowSemantics)
	if err != nil {
		return nil, err
	}
	return &workflows.Input{Event: *r, Data: data}, nil
}

// about is the subject whose state rules see on an event about a subject: from flowSemantics on that of whom it was merged into. Rules of
// before go on by the subject that the event names.
func (f *fold) about(ctx context.Context, subject string) (of string, state State, err error) {
	if f.bundle.Semantics >= flowSemantics {
		if w := f.flow(); w != nil {
			subject, err = w.Resolve(ctx, subject)
		} else if f.merged != nil {
			subject, err = f.merged(ctx, subject)
		}
		if err != nil {
			return subject, nil, err
		}
	}
	state, err = f.state(ctx, subject)
	return subject, state, err
}
