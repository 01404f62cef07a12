package httpin

import (
	"strconv"
	"sync"

	"github.com/neuronx/engine/pkg/event"
)

// maxRepeats bounds how many duplicates are remembered.
const maxRepeats = 10_000

// repeats remembers the last duplicates that went by in neuronx.receipts. A duplicate leaves nothing in the log, so only
// this says that one id repeated another; a process that started later does not know.
type repeats struct {
	mu   sync.Mutex
	of   map[eventName]int64
	ring []eventName
	next int
}

type eventName struct{ tenant, id string }

func newRepeats() *repeats { return &repeats{of: map[eventName]int64{}} }

// note keeps a receipt if it tells a duplicate.
func (r *repeats) note(receipt event.Receipt) {
	if receipt.Outcome != event.OutcomeDuplicate || receipt.Of == 0 {
		return
	}
	name := eventName{receipt.Tenant, receipt.ID}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.of[name]; !known {
		if len(r.ring) < maxRepeats {
			r.ring = append(r.ring, name)
		} else {
			delete(r.of, r.ring[r.next])
			r.ring[r.next] = name
			r.next = (r.next + 1) % maxRepeats
		}
	}
	r.of[name] = receipt.Of
}

// find returns the sequence that the event repeats, or "".
func (r *repeats) find(tenant, id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of := r.of[eventName{tenant, id}]; of > 0 {
		return strconv.FormatInt(of, 10)
	}
	return ""
}
