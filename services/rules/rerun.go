package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
)

// What a rule misses while it is off is kept in the fold, one bit an event (neuronx.rule_missed_pages): events that it listens to, of an
// origin that it fires on, evaluated under rules of semantics 4 or newer. Nothing that it failed on is missed.
//
// engine.rule.rerun runs one rule over a range of them, at the request's own sequence: with the rule's text that is in force there, because
// the text of then is what tripped, and with the state of the subjects as it is there. Other rules do not hear these events again. What is
// derived has the missed event as its cause, and so its time, origin and correlation, and an id from it. A pair of rule and event that was
// run is missed no longer: a second request finds nothing. A replay folds the same requests over the same misses.
//
// One request is bounded, in numbers that do not depend on the machine; what it leaves stays missed, for the next one.
const (
	rerunEvents  = 500
	rerunOutputs = 500 // derived events: fewer than a rule may derive in the window of a storm
	rerunBytes   = flushOutput
	rerunCost    = 10 * EventCost
)

// Why a request ran nothing.
const (
	RerunOff        = "off"          // the rule is off: reset it first
	RerunNotInForce = "not_in_force" // no rule of the bundle in force has the name
)

// rerun is what became of one engine.rule.rerun.
type rerun struct {
	Sequence                    int64 // of the request
	Rule                        string
	Refused                     string // RerunOff, RerunNotInForce; empty: it was run
	Ran, Fired, Failed, Derived int
}

// rerun takes in an engine.rule.rerun. Batches do not wait for it.
func (f *fold) rerun(ctx context.Context, r *event.Recorded, rule string, data map[string]any) error {
	from, _ := data["from_sequence"].(int64) // the schema has both as required
	through, _ := data["through_sequence"].(int64)
	done := rerun{Sequence: r.Sequence, Rule: rule}
	switch {
	case f.bundle != nil && f.bundle.Semantics > f.knows:
		return f.tooNew(f.bundle.Version, f.bundle.Semantics)
	case f.most > 0 || f.bundle != nil && f.bundle.Set == nil:
		return errLater
	case f.bundle == nil || f.bundle.Set.Rule(rule) == nil:
		done.Refused = RerunNotInForce
	case f.health[rule].Tripped != "":
		done.Refused = RerunOff
	}
	if done.Refused != "" {
		f.reruns = append(f.reruns, done)
		return nil
	}
	missed, err := f.missedBy(ctx, rule, from, through, rerunEvents)
	if err != nil {
		return err
	}
	ran, err := f.runOver(ctx, r, rule, missed)
	if err != nil {
		return err
	}
	for _, one := range ran {
		if err := f.keepAssigned(one.subject, one.res); err != nil {
			return err
		}
	}
	for _, one := range ran {
		f.keep(one.event, r, one.subject, one.res)
		f.miss(rule, one.event.Sequence, false)
		done.Ran++
		done.Fired += one.res.Fired
		done.Failed += one.res.Failed
		for _, out := range one.res.Outputs {
			if out.Type != typeFailed {
				done.Derived++
			}
		}
	}
	f.reruns = append(f.reruns, done)
	return nil
}

// ranOver is a missed event and what came of it.
type ranOver struct {
	event   *event.Recorded
	subject string
	res     Result
}

// runOver evaluates a rule on missed events, in their order, as far as one request goes. It changes nothing of the fold. A rule that trips
// goes off at the request, and the rest stays missed.
func (f *fold) runOver(ctx context.Context, at *event.Recorded, rule string, missed []int64) (ran []ranOver, err error) {
	schemas, err := f.env.schemas(ctx, append(f.bundle.Set.EmitTypes(), typeFailed))
	if err != nil {
		return nil, err
	}
	health, states := f.health[rule], map[string]State{}
	var picks []Picked
	outputs, bytes, cost := 0, 0, uint64(0)
	for _, sequence := range missed {
		e, err := f.env.event(ctx, f.tenant, sequence)
		if err != nil {
			return nil, err
		}
		data, err := f.env.decode(ctx, e, f.bundle.Semantics)
		if err != nil {
			return nil, err
		}
		subject, state, err := f.about(ctx, e.Subject)
		if err != nil {
			return nil, err
		}
		if now, changed := states[subject]; changed {
			state = now
		}
		in := Input{Event: *e, Data: data, State: state, Health: map[string]Health{rule: health}, Version: f.bundle.Version, Set: f.bundle.Set,
			Schemas: schemas, Semantics: f.bundle.Semantics, PublishedAt: f.bundle.Sequence, Only: rule, Rerun: at, Picks: picks}
		if err := f.provide(ctx, &in, subject); err != nil {
			return nil, err
		}
		res, err := f.evaluate(ctx, in)
		if err != nil {
			return nil, err
		}
		picks = append(picks, res.Picks...)
		if h, is := res.Health[rule]; is {
			health = h
		}
		if res.Trips {
			health.Tripped, health.TrippedAt = trippedFailures, at.Sequence
			res.Health[rule] = health
		}
		if res.State != nil {
			states[subject] = res.State
		}
		ran = append(ran, ranOver{e, subject, res})
		outputs, bytes, cost = outputs+len(res.Outputs), bytes+res.Bytes, cost+res.Cost
		if res.Trips || outputs >= rerunOutputs || bytes >= rerunBytes || cost >= rerunCost {
			break
		}
	}
	return ran, nil
}

// miss notes that a rule missed an event, or that it misses it no longer.
func (f *fold) miss(rule string, sequence int64, misses bool) {
	if misses {
		f.missed[rule] = append(f.missed[rule], sequence)
		return
	}
	if i, own := slices.BinarySearch(f.missed[rule], sequence); own {
		f.missed[rule] = slices.Delete(f.missed[rule], i, i+1)
		return
	}
	if f.ran[rule] == nil {
		f.ran[rule] = map[int64]bool{}
	}
	f.ran[rule][sequence] = true
}

// missedBy lists what a rule missed in a range, ascending: what was kept before this run, and then what this run added.
func (f *fold) missedBy(ctx context.Context, rule string, from, through int64, limit int) ([]int64, error) {
	all, err := f.env.missed(ctx, f.tenant, rule, from, through, limit+len(f.ran[rule]))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(sequence int64) bool { return f.ran[rule][sequence] })
	for _, sequence := range f.missed[rule] {
		if sequence >= from && sequence <= through {
			all = append(all, sequence)
		}
	}
	return all[:min(len(all), limit)], nil
}

// fetcher reads single events of one tenant's archive: what rules missed, and what workflows are asked to start on. Missed events lie close to each
// other, so it keeps a page.
type fetcher struct {
	archive stream.Source
	page    []event.Recorded
}

const fetchPage = 50

// event fails for now when the archive does not reach the event: it follows the log by a moment. A hole in it, or a damaged row, is this
// tenant's trouble for good, until somebody mends the archive or skips the request.
func (f *fetcher) event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	at := func(r event.Recorded) bool { return r.TenantID == tenant && r.Sequence == sequence }
	i := slices.IndexFunc(f.page, at)
	if i < 0 && f.archive != nil {
		var err error
		switch f.page, err = f.archive.Events(ctx, tenant, sequence, fetchPage); {
		case errors.Is(err, archive.ErrDamaged):
			return nil, fmt.Errorf("read an earlier event: %w", err)
		case err != nil:
			return nil, consumer.Transient(fmt.Errorf("read an earlier event: %w", err))
		}
		if i = slices.IndexFunc(f.page, at); i < 0 && len(f.page) > 0 {
			return nil, fmt.Errorf("the archive of %s lacks sequence %d, which is needed once more", tenant, sequence)
		}
	}
	if i < 0 {
		return nil, consumer.Transient(fmt.Errorf("the archive of %s does not reach sequence %d yet, which is needed once more", tenant, sequence))
	}
	return &f.page[i], nil
}
