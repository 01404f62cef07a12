package landing

import (
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

const (
	// quantum is what a tenant of weight 1 may send in a round before the next one's turn, in bytes.
	quantum = 64 << 10
	// recordCost is what a record costs beside its bytes: a flood of empty records is a flood.
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

	events, octets bucket
	throttled      bool // it has records and waits for its rate
}

// bucket holds tokens: up to a second's worth, and less than none after a record that was more than there was.
type bucket struct {
	tokens float64
	at     time.Time
}

// fill adds what the time since the last call brings. A new bucket is full.
func (b *bucket) fill(now time.Time, rate float64) {
	most := max(rate, 1)
	switch {
	case rate <= 0:
	case b.at.IsZero():
		b.tokens = most
	default:
		b.tokens = min(most, b.tokens+rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
}

// wait is how long it takes until there is a token; 0: there is one.
func (b *bucket) wait(rate float64) time.Duration {
	if rate <= 0 || b.tokens > 0 {
		return 0
	}
	return time.Duration((-b.tokens/rate)*float64(time.Second)) + time.Millisecond
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
	q.events.fill(now, q.limits.Events)
	q.octets.fill(now, q.limits.Bytes)
	return max(q.events.wait(q.limits.Events), q.octets.wait(q.limits.Bytes))
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
		q.rateWait(now)
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
			if w := max(q.events.wait(q.limits.Events), q.octets.wait(q.limits.Bytes)); w > 0 {
				q.throttled, q.deficit = true, 0
				continue
			}
			progress = true // if it is only that the deficit grows towards a large record
			q.deficit += quantum * max(1, q.limits.Weight)
			for n < len(q.pending) && maxRecords > 0 && maxBytes > 0 && q.events.wait(q.limits.Events)+q.octets.wait(q.limits.Bytes) == 0 {
				c := cost(q.pending[n])
				if c > q.deficit {
					break
				}
				q.deficit -= c
				q.events.tokens--
				q.octets.tokens -= float64(c - recordCost)
				maxRecords, maxBytes = maxRecords-1, maxBytes-c
				n++
			}
			picked[q] = n
		}
	}
	for _, q := range r.queues {
		if w := max(q.events.wait(q.limits.Events), q.octets.wait(q.limits.Bytes)); picked[q] < len(q.pending) && w > 0 {
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
