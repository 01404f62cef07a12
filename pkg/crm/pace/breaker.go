package pace

import (
	"time"

	"github.com/neuronx/engine/pkg/backoff"
)

// Backoff gives the pause before attempt number n+1 after n attempts: exponential from 1 s, at most 5 min, and of that a random
// part (jitter in [0,1)) between a half and all, so that a wave of failures does not come back as a wave.
func Backoff(n int, jitter float64) time.Duration {
	d := backoff.Doubling(time.Second, 5*time.Minute, n-1)
	return time.Duration(float64(d) * (0.5 + jitter/2))
}

// Breaker stops sending for a tenant whose CRM is not well. The zero value is closed.
type Breaker struct {
	failures int
	trips    int
	until    time.Time
	probing  bool
}

const breakAfter = 5 // failures in a row

// Allow reports whether a request may be sent now. After a pause one probe is let through; others wait for its result.
func (b *Breaker) Allow(now time.Time) bool {
	if b.trips == 0 {
		return true
	}
	if now.Before(b.until) || b.probing {
		return false
	}
	b.probing = true
	return true
}

// Open reports whether the breaker is open.
func (b *Breaker) Open() bool { return b.trips > 0 }

// Report tells the result of a request that was allowed.
func (b *Breaker) Report(sick bool, now time.Time) {
	b.probing = false
	if !sick {
		*b = Breaker{}
		return
	}
	b.failures++
	if b.failures >= breakAfter {
		b.trips++
		pause := backoff.Doubling(15*time.Second, 5*time.Minute, b.trips-1)
		b.until = now.Add(pause)
	}
}

// Cancel takes back an Allow that was not followed by a request.
func (b *Breaker) Cancel() { b.probing = false }
