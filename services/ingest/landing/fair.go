package landing

import (
	"math"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/neuronx/engine/pkg/kafka"
)

const (
	// quantum is what a tenant of weight 1 may send in a round before the next one's turn, in bytes.
	quantum = 64 << 10
	// recordCost is what a record costs besides its bytes: a flood of empty records is a flood.
	recordCost = 256
)

// Limits are a tenant's rates at its landing topic; 0 is no limit.
type Limits struct {
	Events float64 // a second
	Bytes  float64 // of keys, headers and values a second
	Weight int     // of its share when there is more than fits; 0: 1
}

// queue holds what was read of one tenant's topic and is not forwarded yet.
type queue struct {
	limits  Limits
	pending []*kafka.Record
	bytes   int // of pending
	deficit int // bytes that it may send in this round

	events, octets *rate.Limiter // nil: no limit
	throttled      bool          // it has records and waits for its rate
}

// limit sets the tenant's rates. What it has sent while it had none counts for nothing.
func (q *queue) limit(now time.Time, l Limits) {
	if q.limits != l {
		q.limits = l
		q.events, q.octets = limited(q.events, now, l.Events), limited(q.octets, now, l.Bytes)
	}
}

// limited changes a limiter, or makes a full one, of up to a second's worth; nil is no limit.
func limited(l *rate.Limiter, now time.Time, perSecond float64) *rate.Limiter {
	burst := max(1, int(math.Ceil(min(perSecond, 1<<50))))
	switch {
	case perSecond <= 0:
		return nil
	case l == nil:
		return rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	l.SetLimitAt(now, rate.Limit(perSecond))
	l.SetBurstAt(now, burst)
	return l
}

// charge takes n tokens, also where there are fewer or n is more than a second's worth: the debt is waited for.
func charge(l *rate.Limiter, now time.Time, n int) {
	if l == nil {
		return
	}
	if burst := l.Burst(); n > burst {
		l.SetBurstAt(now, n)
		defer l.SetBurstAt(now, burst)
	}
	l.ReserveN(now, n)
}

// delay is how long it takes until there is a token, or a part of one; 0: there is.
func delay(l *rate.Limiter, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	tokens := l.TokensAt(now)
	if tokens > 0 {
		return 0
	}
	return time.Duration(-tokens/float64(l.Limit())*float64(time.Second)) + time.Millisecond
}

func (q *queue) push(r *kafka.Record) {
	q.pending = append(q.pending, r)
	q.bytes += cost(r)
}

// take gives up the first n records.
func (q *queue) take(n int) []*kafka.Record {
	out := q.pending[:n:n]
	for _, r := range out {
		q.bytes -= cost(r)
	}
	q.pending = q.pending[n:]
	if len(q.pending) == 0 {
		q.pending = nil // lets go of the memory
	}
	return out
}

// rateWait is how long the tenant's rate makes its next record wait.
func (q *queue) rateWait(now time.Time) time.Duration {
	return max(delay(q.events, now), delay(q.octets, now))
}

// keep gives up all but the first records that are within most bytes (one at least, if most is not 0), and returns the rest.
func (q *queue) keep(most int) []*kafka.Record {
	n, bytes := 0, 0
	for ; n < len(q.pending); n++ {
		c := cost(q.pending[n])
		if bytes+c > most && (n > 0 || most == 0) {
			break
		}
		bytes += c
	}
	rest := q.pending[n:]
	q.pending, q.bytes = slices.Clone(q.pending[:n]), bytes
	return rest
}

func cost(r *kafka.Record) int { return kafka.BatchSize(r) + recordCost }

// ring is the tenants in the order in which they have their turn.
type ring struct {
	queues []*queue
	turn   int // whose turn it is
}

// held is how many bytes wait, and of how many tenants.
func (r *ring) held() (bytes, tenants int) {
	for _, q := range r.queues {
		if q.bytes > 0 {
			bytes, tenants = bytes+q.bytes, tenants+1
		}
	}
	return bytes, tenants
}

// pick shares out one transaction of at most maxRecords and maxBytes by deficit round robin: in each round every tenant with records may
// send its quantum, so what a tenant gets depends on how many others have something, and not on how much it has itself. It returns how many
// of the first records of each queue are to be sent, and how long until one that waits for its rate may go on (0: none waits). It is a
// function of the queues, whose deficits and tokens it moves, and of the time.
func (r *ring) pick(now time.Time, maxRecords, maxBytes int) (picked map[*queue]int, wait time.Duration) {
	picked = map[*queue]int{}
	for _, q := range r.queues {
		q.throttled = false
	}
	for progress := true; progress && maxRecords > 0 && maxBytes > 0; {
		progress = false
		for range r.queues {
			if maxRecords <= 0 || maxBytes <= 0 {
				break
			}
			q := r.queues[r.turn%len(r.queues)]
			r.turn = (r.turn + 1) % len(r.queues)
			n := picked[q]
			if n == len(q.pending) {
				q.deficit = 0 // what is not used is not saved
				continue
			}
			if q.rateWait(now) > 0 {
				q.throttled, q.deficit = true, 0
				continue
			}
			progress = true // if it is only that the deficit grows towards a large record
			q.deficit += quantum * max(1, q.limits.Weight)
			for n < len(q.pending) && maxRecords > 0 && maxBytes > 0 && q.rateWait(now) == 0 {
				c := cost(q.pending[n])
				if c > q.deficit {
					break
				}
				q.deficit -= c
				charge(q.events, now, 1)
				charge(q.octets, now, c-recordCost)
				maxRecords, maxBytes = maxRecords-1, maxBytes-c
				n++
			}
			picked[q] = n
		}
	}
	for _, q := range r.queues {
		if w := q.rateWait(now); picked[q] < len(q.pending) && w > 0 {
			q.throttled = true
			if wait == 0 || w < wait {
				wait = w
			}
		}
		if picked[q] == 0 {
			delete(picked, q)
		}
	}
	return picked, wait
}
