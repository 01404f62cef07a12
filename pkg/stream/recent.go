package stream

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/neuronx/engine/pkg/event"
)

// Bounds of Recent.
const (
	recentPerKey = 2_000
	recentKeys   = 200
	recentBytes  = 4 << 20  // values of one key's events
	recentAll    = 32 << 20 // values of all events
)

// Recent keeps the newest events that a consumer has read of tenants that are catching up. The archive is always a little behind the
// consumer, so a busy tenant would otherwise never reach the end of the log. Events are kept under a key, one for each reader of a tenant.
// What is too much is dropped: the archive has it soon enough. The zero value is ready for use, by several goroutines.
type Recent struct {
	mu     sync.Mutex
	events map[string][]event.Recorded
	bytes  int
}

// Keep adds events of the log, newest last.
func (r *Recent) Keep(key string, events []event.Recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.events[key]
	if !ok && len(r.events) >= recentKeys {
		return
	}
	r.bytes -= valueBytes(have)
	for _, e := range events {
		if n := len(have); n == 0 || e.Sequence > have[n-1].Sequence {
			have = append(have, e)
		}
	}
	if have = newest(have); r.bytes+valueBytes(have) > recentAll {
		delete(r.events, key)
		return
	}
	r.bytes += valueBytes(have)
	if r.events == nil {
		r.events = map[string][]event.Recorded{}
	}
	r.events[key] = have
}

// newest copies as many of the last events as one key may have here, if not all.
func newest(events []event.Recorded) []event.Recorded {
	first, left := max(0, len(events)-recentPerKey), recentBytes
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

// Of is what is kept under a key, as a Source.
func (r *Recent) Of(key string) Source { return kept{r, key} }

type kept struct {
	of  *Recent
	key string
}

// Events implements Source.
func (k kept) Events(_ context.Context, _ string, from int64, limit int) ([]event.Recorded, error) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	have := k.of.events[k.key]
	start, _ := slices.BinarySearchFunc(have, from, func(e event.Recorded, s int64) int { return cmp.Compare(e.Sequence, s) })
	return slices.Clone(have[start:min(len(have), start+limit)]), nil
}

// Trim forgets what is under a key if its reader got as far as sequence.
func (r *Recent) Trim(key string, sequence int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.events[key]; len(have) > 0 && have[len(have)-1].Sequence <= sequence {
		r.bytes -= valueBytes(have)
		delete(r.events, key)
	}
}
