package httpin

import (
	"net/http"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// sayEvery is how often a failure that goes on is logged.
const sayEvery = 10 * time.Second

// said remembers which failures were logged, so that one that goes on is logged with a count and not for every request. It is bounded by
// the number of codes and of tenants. It is safe for concurrent use.
type said struct {
	mu   sync.Mutex
	last map[failure]*saying
}

type failure struct {
	code   event.Code
	tenant string
}

type saying struct {
	at      time.Time
	skipped int
}

func newSaid() *said { return &said{last: map[failure]*saying{}} }

// say reports whether a failure is to be logged now, and how many like it were not since it was logged last.
func (s *said) say(f failure, now time.Time) (skipped int, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.last[f]
	if was == nil {
		s.last[f] = &saying{at: now}
		return 0, true
	}
	if now.Sub(was.at) < sayEvery {
		was.skipped++
		return 0, false
	}
	skipped, was.at, was.skipped = was.skipped, now, 0
	return skipped, true
}

// tell logs a request that failed through no fault in it, and counts one that was refused for what it would hold.
func (s *Server) tell(route string, p *Problem, err error, traceID string) {
	if p.overload() {
		s.metrics.event(statusRefused, p.Code)
		s.metrics.overload(p.Code, p.tenant)
	} else if p.Status < http.StatusInternalServerError {
		return
	}
	if skipped, yes := s.said.say(failure{p.Code, p.tenant}, s.now()); yes {
		s.Log.Warn("request failed", "route", route, "code", p.Code, "tenant", p.tenant, "err", err, "cause", p.cause, "trace_id", traceID,
			"not_logged_since", skipped)
	}
}
