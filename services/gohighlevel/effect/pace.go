package effect

import (
	"net/http"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
)

// Limits of an account as its answers tell them.
type Limits struct {
	Max       int           // requests an interval
	Interval  time.Duration // 10 s
	Remaining int           // in this interval; -1 unknown
	Daily     int           // requests left today; -1 unknown
}

// DocumentedLimits are those of an OAuth app: 100 requests in 10 s.
func DocumentedLimits() Limits {
	return Limits{Max: 100, Interval: 10 * time.Second, Remaining: -1, Daily: -1}
}

// ReadLimits updates limits from the headers of an answer; what is missing or absurd stays as it was.
func (l Limits) ReadLimits(h http.Header) Limits {
	num := func(name string, most int64) (int64, bool) {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		return n, err == nil && n >= 0 && n <= most
	}
	if n, ok := num("X-RateLimit-Max", 1_000_000); ok && n > 0 {
		l.Max = int(n)
	}
	if n, ok := num("X-RateLimit-Interval-Milliseconds", 3_600_000); ok && n > 0 {
		l.Interval = time.Duration(n) * time.Millisecond
	}
	l.Remaining = -1
	if n, ok := num("X-RateLimit-Remaining", 1_000_000); ok {
		l.Remaining = int(n)
	}
	if n, ok := num("X-RateLimit-Daily-Remaining", 1<<40); ok {
		l.Daily = int(n)
	}
	return l
}

// Bucket gives a token bucket that stays within 80 % of the limit in any interval: a full bucket plus what flows in meanwhile.
func (l Limits) Bucket() (perSecond float64, burst int) {
	share := float64(l.Max) * 0.8
	burst = max(1, int(share/5))
	rest := max(share-float64(burst), 0.2)
	return rest / l.Interval.Seconds(), burst
}

// DailyPause tells how long to send nothing because the day's budget is nearly used up (reserve requests are kept for people). The
// vendor does not say when its day begins: midnight UTC is tried, with a probe each half hour.
func (l Limits) DailyPause(reserve int, now time.Time) time.Duration {
	if l.Daily < 0 || l.Daily > reserve {
		return 0
	}
	midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return min(midnight.Sub(now), 30*time.Minute)
}

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
