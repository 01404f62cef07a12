package rules

import (
	"context"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Timeline is a Sandbox in which workflows run, too, as they do in the service. It keeps no log, so it takes in any number of events, and it
// may begin in the middle of one.
type Timeline struct{ *Sandbox }

// recall finds an event that was applied.
type recall func(ctx context.Context, sequence int64) (*event.Recorded, error)

// NewTimeline returns a tenant without rules, whose next event has the sequence first. store keeps its workflows. Recall finds events that
// were applied, for a rule that the log asks to be run over what it missed, and for a workflow that it asks to start on one.
func NewTimeline(tenant string, registry Registry, sets *Compiled, store workflows.Store, first int64, recall func(ctx context.Context, sequence int64) (*event.Recorded, error)) *Timeline {
	w := &Sandbox{registry: registry, known: Schemas{}, storms: map[string]int64{}, next: first, recall: recall}
	w.begin(newFold(tenant, timed{whole{memory{w}, store}}, nil, nil), sets)
	w.fold.flowed = func(out workflows.Out) { w.flowed = out }
	return &Timeline{w}
}

// NewWhole is NewExcerpt for all of a log but what the rules skipped. Workflows run in it, too, so rules assign as they do in the service: whom a
// pool's turn is depends on all that the tenant's events did before. Recall finds events that were applied, for a workflow that the log asks to start on
// one.
func NewWhole(tenant string, registry Registry, sets *Compiled, recall func(ctx context.Context, sequence int64) (*event.Recorded, error)) *Sandbox {
	w := NewExcerpt(tenant, registry, sets)
	watch := w.fold.watch
	w.recall = recall
	w.begin(newFold(tenant, recalled{whole{memory{w}, workflows.NewMemory()}}, nil, nil), sets)
	w.fold.watch = watch
	return w
}

// whole is the environment of a sandbox in which workflows run.
type whole struct {
	memory
	store workflows.Store
}

func (e whole) flows(string) workflows.Store { return e.store }

// set has nothing to add: the fold keeps each bundle with workflows that it was given.
func (whole) set(context.Context, string, int64) (*ruleset.Set, error) { return nil, nil }

// history is none: what came before is folded, or given.
func (whole) history() stream.Source { return nil }

// recalled is the environment of a sandbox that keeps what its rules missed, and asks for other events.
type recalled struct{ whole }

func (e recalled) event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	if kept, err := e.memory.event(ctx, tenant, sequence); err == nil {
		return kept, nil
	}
	return timed(e).event(ctx, tenant, sequence)
}

// timed is the environment of a timeline.
type timed struct{ whole }

func (e timed) event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	if tenant != e.fold.tenant {
		return nil, errNotInLog
	}
	r, err := e.recall(ctx, sequence)
	if err == nil && r == nil {
		err = errNotInLog
	}
	return r, err
}

// Flows reports whether workflows fold the tenant's events: the rules in force have some, or earlier ones had.
func (w *Timeline) Flows() bool { return w.fold.bundle != nil && w.fold.bundle.Flows }
