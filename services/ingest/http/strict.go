package httpin

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/neuronx/engine/pkg/event"
)

// What refusals of one tenant may take. To name all that is wrong with an event takes a hundred times what it takes to accept one, and
// costs the sender nothing: no quota of events counts it by its cost.
const (
	refusalParts = 8                     // an eighth of the cores' time
	refusalBurst = 50 * time.Millisecond // is spent at once by a tenant that errs now and then; more of it is a delay that others notice
	refusalWait  = 10 * time.Second      // longer than that no request waits for its turn
)

// refusals is the time of refusals of one tenant. Events that are accepted are not counted. It is safe for concurrent use.
type refusals struct {
	spent *rate.Limiter // tokens are microseconds
	turn  chan struct{} // of one at a time, once the burst is spent
}

func newRefusals(cores int) *refusals {
	return &refusals{
		spent: rate.NewLimiter(rate.Limit(float64(cores)*1e6/refusalParts), int(refusalBurst.Microseconds())),
		turn:  make(chan struct{}, 1),
	}
}

// strictly begins what may end in an expensive refusal, as soon as the tenant has time for it; end must follow and says whether it did. A
// nil quota has no bound.
func (q *quota) strictly(ctx context.Context) (end func(refused bool), p *Problem) {
	if q == nil {
		return func(bool) {}, nil
	}
	r, began := q.refusals, time.Now()
	release := func() {}
	if r.debt(began) > 0 {
		patience := time.NewTimer(refusalWait)
		defer patience.Stop()
		select {
		case r.turn <- struct{}{}:
			release = func() { <-r.turn }
		case <-ctx.Done():
			return nil, tooManyRefusals()
		case <-patience.C:
			return nil, tooManyRefusals()
		}
		select {
		case <-time.After(r.debt(time.Now())):
		case <-ctx.Done():
			release()
			return nil, tooManyRefusals()
		case <-patience.C:
			release()
			return nil, tooManyRefusals()
		}
		began = time.Now()
	}
	return func(refused bool) {
		if refused {
			r.charge(time.Since(began), time.Now())
		}
		release()
	}, nil
}

// busy reports whether a request waits for its turn already: another batch would only hold memory meanwhile, and cost its inflation.
func (r *refusals) busy(now time.Time) bool { return len(r.turn) == cap(r.turn) && r.debt(now) > 0 }

// debt is how long it takes until nothing is owed.
func (r *refusals) debt(now time.Time) time.Duration {
	return time.Duration(max(0, -r.spent.TokensAt(now)) / float64(r.spent.Limit()) * float64(time.Second))
}

// charge takes time that is spent already, if need be from the future.
func (r *refusals) charge(d time.Duration, now time.Time) {
	for left := int(d.Microseconds()); left > 0; left -= r.spent.Burst() {
		r.spent.ReserveN(now, min(left, r.spent.Burst()))
	}
}

func tooManyRefusals() *Problem {
	return problem(event.CodeRateLimited, "too many of the tenant's events were refused, and what is wrong with this one was not looked at; nothing of this request was stored").
		hint("mend what the last refusals name; send less at once, and this request again as Retry-After says").retry(5)
}
