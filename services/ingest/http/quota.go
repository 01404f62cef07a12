package httpin

import (
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// Quotas are what a tenant may send a second where nothing else is set for it. Zero is no limit.
type Quotas struct {
	Events float64       // a second
	Bytes  float64       // of bodies, decompressed, a second
	Burst  time.Duration // how much of its rates a tenant may send at once; never less than one full batch. 0: 2 s
}

// rates holds the token buckets of every tenant. It is bounded by the number of tenants, since only authenticated ones come here. One
// process counts for itself: a tenant that is served by n of them gets n times its rate.
type rates struct {
	Quotas
	mu      sync.Mutex
	tenants map[string]*quota
}

// quota is one tenant's. It is safe for concurrent use.
type quota struct {
	limits     tenant.Limits
	events     *bucket
	bytes      *bucket
	refusals   *refusals
	mu         sync.Mutex
	batchAfter time.Time // batches that come sooner are refused unread
}

// bucket is a token bucket with the name under which answers tell of it; nil is no limit.
type bucket struct {
	*rate.Limiter
	name, what string
}

func newRates(q Quotas) *rates {
	if q.Burst <= 0 {
		q.Burst = 2 * time.Second
	}
	return &rates{Quotas: q, tenants: map[string]*quota{}}
}

// of returns the tenant's quota under the limits that hold for it now. New limits begin with full buckets.
func (r *rates) of(name string, limits tenant.Limits) *quota {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.tenants[name]
	if q == nil || q.limits != limits {
		owed := newRefusals(runtime.GOMAXPROCS(0))
		if q != nil {
			owed = q.refusals
		}
		q = &quota{
			limits: limits, refusals: owed,
			events: r.bucket("events", "events", pick(limits.EventsPerSecond, r.Events), maxBatchItems),
			bytes:  r.bucket("bytes", "bytes", pick(limits.BytesPerSecond, r.Bytes), MaxBatchBody),
		}
		r.tenants[name] = q
	}
	return q
}

func pick(own int64, all float64) float64 {
	if own > 0 {
		return float64(own)
	}
	return all
}

func (r *rates) bucket(name, what string, perSecond float64, least int) *bucket {
	if perSecond <= 0 {
		return nil
	}
	// Never less than a full batch, which could not pass at all otherwise.
	burst := max(int(min(perSecond*r.Burst.Seconds(), math.MaxInt32)), least)
	return &bucket{Limiter: rate.NewLimiter(rate.Limit(perSecond), burst), name: name, what: what}
}

// take takes n tokens, or none and says how long to wait for them.
func (b *bucket) take(n int, now time.Time) time.Duration {
	if b == nil || n <= 0 {
		return 0
	}
	res := b.ReserveN(now, min(n, b.Burst()))
	delay := res.DelayFrom(now)
	if delay > 0 {
		res.CancelAt(now)
	}
	return delay
}

// charge takes n tokens that are spent already, if need be from the future.
func (b *bucket) charge(n int, now time.Time) {
	if b != nil && n > 0 {
		b.ReserveN(now, min(n, b.Burst()))
	}
}

// enter judges a request before its body is read: a flood must cost no more than its headers. announced is the Content-Length, or
// less than 0. What it lets in is charged.
func (q *quota) enter(batch bool, announced int64, now time.Time) *Problem {
	announced = max(0, min(announced, MaxBatchBody))
	if batch && q.refusals.busy(now) {
		return tooManyRefusals()
	}
	if wait := q.bytes.lacks(int(announced), now); wait > 0 {
		return q.bytes.over(wait)
	}
	if batch {
		q.mu.Lock()
		wait := max(q.batchAfter.Sub(now), q.events.lacks(1, now))
		q.mu.Unlock()
		if wait > 0 {
			return q.events.over(wait)
		}
	} else if wait := q.events.take(1, now); wait > 0 {
		return q.events.over(wait)
	}
	q.bytes.charge(int(announced), now)
	return nil
}

// read charges what a body had beyond what it announced (chunked, or compressed).
func (q *quota) read(n int, announced int64, now time.Time) {
	q.bytes.charge(n-int(max(0, announced)), now)
}

// batch takes n events of a batch that was read. One that is too large for now keeps others from being read as long as it has to wait,
// so that the same batch sent again and again costs little.
func (q *quota) batch(n int, now time.Time) *Problem {
	wait := q.events.take(n, now)
	if wait <= 0 {
		return nil
	}
	q.mu.Lock()
	q.batchAfter = now.Add(wait)
	q.mu.Unlock()
	return q.events.over(wait)
}

// lacks is how long it takes until n tokens are there, and at least one.
func (b *bucket) lacks(n int, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	missing := float64(max(1, min(n, b.Burst()))) - b.TokensAt(now)
	return time.Duration(missing / float64(b.Limit()) * float64(time.Second))
}

func (b *bucket) over(wait time.Duration) *Problem {
	return problem(event.CodeRateLimited, fmt.Sprintf("the tenant is over %g %s a second", float64(b.Limit()), b.what)).
		hint("wait as Retry-After says; `neuronx tenant limits` sets a tenant's rates").retry(max(1, ceil(wait.Seconds())))
}

// tell writes the fields of draft-ietf-httpapi-ratelimit-headers-10: a quota is what the bucket holds, its window the time in which an
// empty bucket fills.
func (q *quota) tell(h http.Header, now time.Time) {
	var policies, states []string
	for _, b := range []*bucket{q.events, q.bytes} {
		if b == nil {
			continue
		}
		burst, limit, left := float64(b.Burst()), float64(b.Limit()), b.TokensAt(now)
		policy := fmt.Sprintf("%q;q=%d;w=%d", b.name, b.Burst(), max(1, ceil(burst/limit)))
		if b.name == "bytes" {
			policy += `;qu="content-bytes"`
		}
		policies = append(policies, policy)
		states = append(states, fmt.Sprintf("%q;r=%d;t=%d", b.name, max(0, int(left)), max(0, ceil((burst-left)/limit))))
	}
	if len(policies) > 0 {
		h.Set("RateLimit-Policy", strings.Join(policies, ", "))
		h.Set("RateLimit", strings.Join(states, ", "))
	}
}

func ceil(f float64) int { return int(math.Ceil(min(f, math.MaxInt32))) }
