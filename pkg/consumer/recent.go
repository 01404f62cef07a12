package consumer

import (
	"sync"

	"github.com/neuronx/engine/pkg/event"
)

// Bounds of recent.
const (
	recentPerTenant = 2_000
	recentTenants   = 200      // over all feeds
	recentBytes     = 4 << 20  // values of one row's events
	recentAll       = 32 << 20 // values of all tenants' events
)

// recent keeps the newest events of tenants that are catching up. The archive is always a little behind this consumer, so a busy
// tenant would otherwise never reach the end of the log.
type recent struct {
	mu     sync.Mutex
	events map[string][]event.Recorded // by the key of a row
	bytes  int
}

// keep adds events of the log, newest last.
func (r *recent) keep(key string, events []event.Recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.events[key]
	if !ok && len(r.events) >= recentTenants {
		return // the archive has them soon enough
	}
	r.bytes -= valueBytes(have)
	for _, e := range events {
		if n := len(have); n == 0 || e.Sequence > have[n-1].Sequence {
			have = append(have, e)
		}
	}
	if have = newest(have); r.bytes+valueBytes(have) > recentAll {
		delete(r.events, key) // the archive has them soon enough
		return
	}
	r.bytes += valueBytes(have)
	r.events[key] = have
}

// newest copies as many of the last events as one tenant may have here, if not all.
func newest(events []event.Recorded) []event.Recorded {
	first, left := max(0, len(events)-recentPerTenant), recentBytes
	for i := len(events) - 1; i >= first; i-- {
		if left -= len(events[i].Value); left < 0 {
			first = i + 1
			break
		}
	}
	if first == 0 {
		return events
	}
	return append([]event.Recorded(nil), events[first:]...)
}

func valueBytes(events []event.Recorded) (n int) {
	for i := range events {
		n += len(events[i].Value)
	}
	return n
}

// from returns what follows a sequence without a gap.
func (r *recent) from(key string, next int64) []event.Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]event.Recorded(nil), consecutive(r.events[key], next)...)
}

// trim forgets a tenant whose generation got as far as sequence.
func (r *recent) trim(key string, sequence int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.events[key]; len(have) > 0 && have[len(have)-1].Sequence <= sequence {
		r.bytes -= valueBytes(have)
		delete(r.events, key)
	}
}
