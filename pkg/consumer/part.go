package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
)

// Part is what a PartHandler did with one run: the first Applied events of it were applied, and then
//
//	Applied == len(run.Events)    nothing is left
//	Err == nil                    the rest is for later: the tenant catches up outside the loop, at its share
//	Err != nil                    the tenant is stalled before the next event; Err must not be one that may be tried again
//
// Later allows Applied to be 0 without an error. Only a Preparer may say so: the tenant's catch-up calls Prepare before it applies, so
// that the run gets further there.
type Part struct {
	Applied int
	Later   bool
	Err     error
}

// PartHandler is a handler whose events can cost very different amounts of work. It ends a run early when its budget is used up, and
// names the event of a tenant that can't be applied without failing the others. It takes the place of ApplyBatch and Apply. Each run must
// get at least one event further, or fail, unless it is for Later. The error is one for all runs, as that of ApplyBatch.
type PartHandler interface {
	ApplyParts(ctx context.Context, tx pgx.Tx, runs []Run) ([]Part, error)
}

// Preparer is a PartHandler that does the expensive work of a catch-up before it applies: no batch waits for it meanwhile. Prepare is
// called outside of any transaction and while ApplyParts runs for other tenants; then ApplyParts is called for the same run, or, if the
// tenant's row has moved, not at all. Through pool it may read what only this consumer writes for the tenant. It has no error: what
// fails is left to ApplyParts.
type Preparer interface {
	PartHandler
	Prepare(ctx context.Context, pool *pgxpool.Pool, run Run)
}

// prepare lets a Preparer work ahead of the transaction that applies events of a row.
func (s *session) prepare(ctx context.Context, r Row, events []event.Recorded) {
	if p, ok := s.c.handlerOf(r).(Preparer); ok && len(events) > 0 {
		err := guard(func() error { p.Prepare(ctx, s.c.cfg.Pool, Run{r.TenantID, r.Generation, events}); return nil })
		if err != nil { // ApplyParts meets it again, and says at which event
			s.log.Error("a handler could not prepare a tenant's events", "tenant", r.TenantID, "err", err)
			s.logStack(err)
		}
	}
}

var errNoProgress = errors.New("the handler took no event of the run and named no reason")

// after is the row after a part of a run was applied. It is pure.
func (r Row) after(run Run, p Part) Row {
	n := len(run.Events)
	switch {
	case p.Applied < 0 || p.Applied > n:
		p = Part{Err: fmt.Errorf("the handler applied %d of %d events", p.Applied, n)}
	case p.Applied == 0 && p.Err == nil && !p.Later:
		p.Err = errNoProgress
	}
	if p.Applied > 0 {
		r = r.applied(run.Events[p.Applied-1])
	}
	if p.Applied == n {
		return r
	}
	r.Seen = max(r.Seen, run.Events[n-1].Sequence)
	switch {
	case p.Err != nil:
		r.State, r.Reason = Stalled, reason(fmt.Errorf("event %d: %w", run.Events[p.Applied].Sequence, p.Err))
	case r.State == Live:
		r.State = CatchingUp
	}
	return r
}

// applyParts hands runs to a PartHandler and returns the rows as they stand after it. The error is a retriable one.
func (s *session) applyParts(ctx context.Context, tx pgx.Tx, h PartHandler, rows []Row, runs []Run) ([]Row, error) {
	var parts []Part
	err := savepoint(ctx, tx, func(tx pgx.Tx) (err error) {
		parts, err = h.ApplyParts(ctx, tx, runs)
		return err
	})
	switch {
	case err != nil && retriable(err):
		return nil, err
	case err != nil && len(runs) > 1: // one by one: the others are not to suffer for it
		var out []Row
		for i := range runs {
			one, err := s.applyParts(ctx, tx, h, rows[i:i+1], runs[i:i+1])
			if err != nil {
				return nil, err
			}
			out = append(out, one...)
		}
		return out, nil
	case err != nil && len(runs[0].Events) > 1: // up to the event that fails
		half := len(runs[0].Events) / 2
		out, err := s.applyParts(ctx, tx, h, rows, []Run{runs[0].first(half)})
		if err != nil || out[0].State == Stalled || out[0].Sequence != runs[0].Events[half-1].Sequence {
			if err == nil {
				out[0].Seen = max(out[0].Seen, runs[0].Events[len(runs[0].Events)-1].Sequence)
			}
			return out, err
		}
		rest := runs[0]
		rest.Events = rest.Events[half:]
		return s.applyParts(ctx, tx, h, out, []Run{rest})
	case err != nil:
		parts = []Part{{Err: err}}
	case len(parts) != len(runs):
		return nil, fmt.Errorf("the handler answered %d of %d runs", len(parts), len(runs))
	}
	out := make([]Row, len(runs))
	for i, run := range runs {
		out[i] = rows[i].after(run, parts[i])
		if out[i].State == Stalled && rows[i].State != Stalled {
			at := run.Events[parts[i].Applied]
			s.log.Error("tenant stalled; the others go on", "tenant", run.TenantID, "generation", run.Generation, "sequence", at.Sequence,
				"event", at.ID, "type", at.Type, "reason", out[i].Reason)
			s.logStack(parts[i].Err)
		}
	}
	return out, nil
}

// first is the beginning of a run.
func (r Run) first(n int) Run {
	r.Events = r.Events[:n]
	return r
}

// Bounds of what one catch-up transaction of a PartHandler begins with. How far it gets is the handler's decision; the next chunk follows
// what the last one did.
const (
	firstPart = 50
	partBytes = 8 << 20
)

// nextChunk is how many events are read for the next chunk of a tenant when the last one got applied of asked.
func nextChunk(asked, applied int) int {
	if applied >= asked {
		return min(2*asked, chunk)
	}
	return max(applied+1, 4)
}

// within cuts events after the first whose values exceed a number of bytes together; the first is always kept.
func within(events []event.Recorded, bytes int) []event.Recorded {
	for i := range events {
		if bytes -= len(events[i].Value); bytes < 0 && i > 0 {
			return events[:i]
		}
	}
	return events
}
