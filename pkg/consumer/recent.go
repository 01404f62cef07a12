package consumer

import (
	"sync"

	"github.com/neuronx/engine/pkg/event"
)

// Bounds of recent.
const (
	recentPerTenant = 2_000
	recentTenants   = 200
)

// recent keeps the newest events of tenants that are catching up. The archive is always a little behind this consumer, so a busy
// tenant would otherwise never reach the end of the log.
type recent struct {
	mu     sync.Mutex
	events map[string][]event.Recorded
}

// keep adds events of the log, newest last.
func (r *recent) keep(tenant string, events []event.Recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.events[tenant]
	if !ok && len(r.events) >= recentTenants {
		return // the archive has them soon enough
	}
	for _, e := range events {
		if n := len(have); n == 0 || e.Sequence > have[n-1].Sequence {
			have = append(have, e)
		}
	}
	if over := len(have) - recentPerTenant; over > 0 {
		have = append([]event.Recorded(nil), have[over:]...)
	}
	r.events[tenant] = have
}

// from returns what follows a sequence without a gap.
func (r *recent) from(tenant string, next int64) []event.Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]event.Recorded(nil), consecutive(r.events[tenant], next)...)
}

// trim forgets a tenant whose generation got as far as sequence.
func (r *recent) trim(tenant string, sequence int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.events[tenant]; len(have) > 0 && have[len(have)-1].Sequence <= sequence {
		delete(r.events, tenant)
	}
}
