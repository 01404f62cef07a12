package workflows

import (
	"context"
	"slices"

	"github.com/neuronx/engine/services/rules/advance"
)

// failureLimit is on how many keys a task fails in a row until its workflow is off.
const failureLimit = 5

// Why a workflow starts nothing besides what advance.Enrol says: reasons of workflow.rejected.
const (
	rejectTripped = "tripped" // five failures of a task on different keys, a storm, or a circle that outran its timers
	rejectPaused  = "paused"
)

// Why a workflow is off.
const (
	trippedFailures = "failures"
	trippedStorm    = "storm"
)

// Health is what is kept of a workflow's failures.
type Health struct {
	Tripped   string              `json:"tripped,omitzero"` // failures, storm or rate; empty: it is on
	TrippedAt int64               `json:"tripped_at,omitzero"`
	ResetAt   int64               `json:"reset_at,omitzero"` // sequence of the last reset
	Tasks     map[string][]string `json:"tasks,omitzero"`    // by task: the keys on which it failed since it last ran
}

// Health is the health of a workflow.
func (f *Fold) Health(ctx context.Context, workflow string) (Health, error) {
	return named[Health](ctx, f, KindHealth, workflow)
}

// off is why a workflow starts nothing; empty: it is on.
func (f *Fold) off(ctx context.Context, workflow string) (string, error) {
	h, err := f.Health(ctx, workflow)
	if err != nil {
		return "", err
	}
	if h.Tripped != "" {
		return rejectTripped, nil
	}
	p, err := f.paused(ctx, workflow)
	if err != nil || p == nil {
		return "", err
	}
	return rejectPaused, nil
}

// health notes which tasks failed and which ran. Only failures that no value had a part in count: five leads without a phone do not switch a
// workflow off for all others. Five on different keys in a row do.
func (f *Fold) health(ctx context.Context, workflow, key string, in Input, failed []advance.Failure, ran []string) error {
	if len(failed) == 0 && len(ran) == 0 {
		return nil
	}
	h, err := f.Health(ctx, workflow)
	if err != nil {
		return err
	}
	changed := false
	for _, task := range ran {
		if _, there := h.Tasks[task]; there {
			delete(h.Tasks, task)
			changed = true
		}
	}
	var over *advance.Failure
	for i := range failed {
		x := &failed[i]
		if !x.Counts || slices.Contains(h.Tasks[x.Task], key) {
			continue
		}
		if h.Tasks == nil {
			h.Tasks = map[string][]string{}
		}
		h.Tasks[x.Task] = append(h.Tasks[x.Task], key)
		changed = true
		if len(h.Tasks[x.Task]) >= failureLimit && over == nil {
			over = x
		}
	}
	if !changed {
		return nil
	}
	if over != nil {
		h.Tasks = nil // a trip starts over
	}
	if err := putNamed(f, KindHealth, workflow, h); err != nil || over == nil {
		return err
	}
	return f.tripBy(ctx, workflow, in, trippedFailures, over.Code, over.Task+": "+over.Detail)
}

// trip switches a workflow off: it starts nothing until a person resets it. Its instances go on.
func (f *Fold) trip(ctx context.Context, workflow string, in Input, code, detail string) error {
	return f.tripBy(ctx, workflow, in, code, code, detail)
}

func (f *Fold) tripBy(ctx context.Context, workflow string, in Input, by, code, detail string) error {
	h, err := f.Health(ctx, workflow)
	if err != nil || h.Tripped != "" {
		return err
	}
	h.Tripped, h.TrippedAt = by, in.Event.Sequence
	if err := putNamed(f, KindHealth, workflow, h); err != nil {
		return err
	}
	version := int64(0)
	if f.bundle != nil {
		version = f.bundle.Version
	}
	return f.derive(ctx, in, f.id(workflow, "tripped", in.Event.ID), typeFailed, map[string]any{
		"rule": workflow, "version": version, "cause_sequence": in.Event.Sequence, "cause_id": in.Event.ID, "code": code, "detail": detail, "tripped": true,
	})
}

// engine takes in what is told about workflows under the names of rules, which are unique over both.
func (f *Fold) engine(ctx context.Context, in Input) error {
	name, _ := in.Data["rule"].(string)
	if in.Event.Type != typeReset && in.Event.Type != typeStorm {
		return nil
	}
	h, err := f.Health(ctx, name)
	if err != nil {
		return err
	}
	known := f.set().Workflow(name) != nil
	switch {
	case in.Event.Type == typeReset && (known || h.Tripped != ""): // also while it is out of the bundle: it may come back mended
		f.store.PutNamed(KindStarts, name, nil) // else the next start of its circle trips it again
		return putNamed(f, KindHealth, name, Health{ResetAt: in.Event.Sequence})
	case in.Event.Type == typeStorm && known && h.Tripped == "":
		h.Tripped, h.TrippedAt = trippedStorm, in.Event.Sequence // engine.storm.detected tells it
		return putNamed(f, KindHealth, name, h)
	}
	return nil
}
