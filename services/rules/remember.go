package rules

import (
	"context"
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/workflows"
)

// remember works out, when a tenant publishes its first workflow, what was said of consent before, and who was erased: a build that knew of no
// workflows kept none of it. It is the same for a live fold and for one from the first event, because both read it from the archive.
//
// That takes as long as the tenant's log is long, so no batch waits for it: the tenant catches up outside the loop. An archive that does not reach
// the event yet is waited for.
func (f *fold) remember(ctx context.Context, r *event.Recorded) error {
	source := f.flowing.history()
	if source == nil || r.Sequence == 1 {
		return nil
	}
	if f.most > 0 {
		return errLater
	}
	kept := workflows.NewMemory()
	w := workflows.New(f.tenant, kept, flowEnvironment{f}, nil)
	err := stream.Fold(ctx, source, f.tenant, 1, r.Sequence-1, func(e *event.Recorded) error {
		if !workflows.Remembers(e.Type) {
			return nil
		}
		data, err := f.env.decode(ctx, e, flowSemantics)
		if err == nil {
			_, err = w.Apply(ctx, workflows.Input{Event: *e, Data: data})
		}
		return err
	})
	if errors.Is(err, stream.ErrEnded) {
		return consumer.Transient(fmt.Errorf("read what was said of consent before the first workflow: %w", err))
	}
	if err != nil {
		return fmt.Errorf("read what was said of consent before the first workflow: %w", err)
	}
	for lead, state := range kept.Contacts() {
		f.store.PutContact(lead, state)
	}
	for subject, state := range kept.Erasures() {
		f.store.PutNamed(workflows.KindErased, subject, state)
	}
	return nil
}
