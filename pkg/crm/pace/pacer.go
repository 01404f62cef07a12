package pace

import (
	"slices"
	"time"
)

// Margins of a Pacer. The far side counts a request when it arrives, so it counts here for longer than it does there.
const (
	transit = 250 * time.Millisecond // the longest way of a request that was let go
	late    = 25 * time.Millisecond  // a request this late counts as sent at its time, or each timer that is late would cost throughput
)

const (
	most       = 10_000                // requests an interval that are remembered; an account that allows more is used as if it allowed these
	spare      = 1                     // requests an interval that are not used: a clock that jumps ahead lets one through
	ahead      = 5 * time.Second       // what can be sent within so long is worth beginning now
	probeEvery = 20 * time.Millisecond // how often to ask while the answer to a probe is awaited

	cutTo  = 0.8  // of the rate that was used, by a 429
	gainBy = 0.05 // of the limit, an interval; with a 429 each interval a fifth is left
)

// Pacer spaces the requests to one account evenly and keeps a log of them, so that in no interval more arrive than the account allows. It is
// used by one goroutine at a time. Make it with New.
type Pacer struct {
	max      int
	interval time.Duration

	last time.Time     // when it was asked last
	at   time.Duration // counted time: what passed between calls, without what the clock went back

	next time.Duration   // no request before
	log  []time.Duration // when requests were let go, ours and those that others must have sent, oldest first

	unsure  bool // how much of the running interval is used up
	since   time.Duration
	probing bool // a request is under way that will tell

	factor float64 // of the limit that is used, 1 but after a 429
	cut    time.Duration
	gained time.Duration // up to when the factor has grown
}

// New makes a Pacer for an account of which nothing but its limits is known.
func New(l Limits) *Pacer {
	p := &Pacer{factor: 1, unsure: true}
	p.limit(l)
	return p
}

func (p *Pacer) limit(l Limits) { p.max, p.interval = min(l.Max, most+spare), l.Interval }

// tick brings the counted time up to now. Two callers that ask in the other order than they looked at the clock are no clock that was set back.
func (p *Pacer) tick(now time.Time) time.Duration {
	step := now.Sub(p.last)
	switch {
	case p.last.IsZero():
		p.last = now
	case step > 0:
		p.at, p.last = p.at+step, now
	case step < -time.Second:
		p.last = now
	}
	if n := (p.at - p.gained) / p.interval; n > 0 {
		p.factor = min(1, p.factor+gainBy*float64(n))
		p.gained += n * p.interval
	}
	old, _ := slices.BinarySearch(p.log, p.at-p.window()+1)
	p.log = p.log[old:]
	return p.at
}

// window is how long a request counts.
func (p *Pacer) window() time.Duration { return p.interval + transit }

// share is how many requests may go in a window.
func (p *Pacer) share() int { return max(1, int(float64(p.max-spare)*p.factor)) }

// gap is the time from one request's turn to the next one's. A request may be late after its turn and, where the clock has jumped ahead, before it.
func (p *Pacer) gap() time.Duration { return (p.window() + 2*late) / time.Duration(p.share()) }

// Take asks to send one request. 0 lets it go now, and Learn must follow; otherwise ask again after the wait that is returned.
func (p *Pacer) Take(now time.Time) time.Duration {
	at := p.tick(now)
	if p.unsure && at-p.since >= p.window() {
		p.unsure = false
	}
	share := p.share()
	switch {
	case p.unsure && p.probing:
		return probeEvery
	case at < p.next:
		return p.next - at
	case len(p.log) >= share:
		return p.log[len(p.log)-share] + p.window() - at
	}
	p.next = max(p.next, at-late) + p.gap()
	p.log = append(p.log, at)
	p.probing = p.unsure
	return 0
}

// Learn takes over what the answer to a request tells of the account: its limits, and whether the request was refused with 429. Without an
// answer the limits are those known before, with nothing known to remain.
func (p *Pacer) Learn(l Limits, refused bool, now time.Time) {
	p.limit(l)
	at := p.tick(now)
	p.probing = false
	remaining := l.Remaining
	if refused && l.Daily != 0 { // otherwise it was refused for the day, at any rate
		if p.factor == 1 || at-p.cut >= p.interval { // those under way at the time of a cut are refused as well
			p.factor, p.cut = p.factor*cutTo, at
		}
		p.gained = at
		remaining = max(0, remaining)
	}
	if remaining < 0 {
		return
	}
	if remaining == 0 { // until its interval ends, which may have just begun
		p.next = max(p.next, at+p.interval)
	}
	// What the account counts in its interval and is not in the log was sent by others, at the latest now. While unsure, what the log holds from
	// before may be counted there no more, so all but the probe is taken for others'.
	others := l.Max - remaining - len(p.log)
	if p.unsure {
		p.unsure, others = false, l.Max-remaining-1
	}
	for range min(others, p.share()-len(p.log)) {
		p.log = append(p.log, at)
	}
}

// Room tells how many requests can be sent soon.
func (p *Pacer) Room(now time.Time) int {
	at := p.tick(now)
	end := at + min(p.interval/2, ahead)
	first := max(p.next, at)
	if first > end {
		return 0
	}
	gone, _ := slices.BinarySearch(p.log, end-p.window()+1)
	return max(0, min(1+int((end-first)/p.gap()), p.share()-len(p.log[gone:])))
}

// Rate is how many requests a second can go while there is work.
func (p *Pacer) Rate() float64 { return 1 / p.gap().Seconds() }

// Unsure tells that somebody else may have used the account.
func (p *Pacer) Unsure(now time.Time) {
	p.unsure, p.probing, p.since = true, false, p.tick(now)
}
