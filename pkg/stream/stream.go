package stream

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/neuronx/engine/pkg/event"
)

// Source has events of tenants.
type Source interface {
	// Events returns at most limit events of the tenant, ascending, whose sequence is at least from, as far as they are there. It need not
	// return all that it has; none means that it has none now.
	Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error)
}

// What an *Error wraps.
var (
	ErrGap      = errors.New("it is missing, and a later one is there")
	ErrRepeated = errors.New("an earlier one comes again in its place")
	ErrForeign  = errors.New("an event of another tenant is in its place")
	ErrEnded    = errors.New("the events end before it")
)

// Error says which event a source should have given.
type Error struct {
	Tenant   string
	Sequence int64
	Err      error // ErrGap, ErrRepeated, ErrForeign or ErrEnded
}

func (e *Error) Error() string {
	return fmt.Sprintf("read events of %s: sequence %d: %v", e.Tenant, e.Sequence, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Next returns the events of a tenant from sequence from on, at most limit of them, each sequence following the one before; none if the
// source has none of them now. It is ErrGap if the source has later ones only; a gap further on ends the page. An event that repeats a
// sequence or is of another tenant fails the page.
func Next(ctx context.Context, source Source, tenant string, from int64, limit int) ([]event.Recorded, error) {
	events, err := source.Events(ctx, tenant, from, limit)
	if err != nil {
		return nil, err
	}
	events = events[:min(len(events), limit)]
	for i := range events {
		want := from + int64(i)
		switch e := &events[i]; {
		case e.TenantID != tenant:
			return nil, &Error{tenant, want, ErrForeign}
		case e.Sequence < want:
			return nil, &Error{tenant, want, ErrRepeated}
		case e.Sequence == want:
		case i == 0:
			return nil, &Error{tenant, want, ErrGap}
		default:
			return events[:i], nil
		}
	}
	return events, nil
}

// Open is an upper bound above every sequence: a Fold to there ends with ErrEnded, at the first sequence that the source does not have yet.
const Open = math.MaxInt64

// foldPage is how many events a fold reads at once.
const foldPage = 500

// Fold calls fn with the tenant's events of the sequences from to through, both included, in order; a from above through is no event. It
// ends with the first error: fn's and the source's as they are, the context's, or an *Error where the source does not have the events. fn
// was then called with all events before that sequence, and may keep the event that it is given.
func Fold(ctx context.Context, source Source, tenant string, from, through int64, fn func(*event.Recorded) error) error {
	if from < 1 {
		return fmt.Errorf("fold events of %s: from is %d, and sequences begin at 1", tenant, from)
	}
	for next := from; next <= through; {
		if err := ctx.Err(); err != nil {
			return err
		}
		events, err := Next(ctx, source, tenant, next, int(min(foldPage-1, through-next))+1)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return &Error{tenant, next, ErrEnded}
		}
		for i := range events {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(&events[i]); err != nil {
				return err
			}
		}
		next += int64(len(events))
	}
	return nil
}

// Chain is sources that are asked in turn: the events are those of the first source that has the sequence which is asked for. They may
// overlap; what the first one lacks, the next one may have.
type Chain []Source

// Events implements Source. If no source has the sequence and one has later ones, it is ErrGap.
func (c Chain) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	var gap error
	for _, source := range c {
		events, err := Next(ctx, source, tenant, from, limit)
		switch {
		case errors.Is(err, ErrGap):
			gap = err
		case err != nil || len(events) > 0:
			return events, err
		}
	}
	return nil, gap
}

// Log reads the log's records as a Source: it calls fn with the events of one partition in the order of the log, until there are no more or
// fn returns an error, which it returns.
type Log func(ctx context.Context, fn func(*event.Recorded) error) error

var errEnough = errors.New("enough")

// Events implements Source. Each call reads the partition from its beginning.
func (l Log) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	var events []event.Recorded
	err := l(ctx, func(e *event.Recorded) error {
		if e.TenantID != tenant || e.Sequence < from {
			return nil
		}
		if len(events) > 0 && e.Sequence != from+int64(len(events)) {
			return errEnough
		}
		events = append(events, *e)
		if len(events) == limit || e.Sequence != from+int64(len(events))-1 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return events, nil
}
