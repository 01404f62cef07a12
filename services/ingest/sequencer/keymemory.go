package sequencer

import (
	"fmt"
	"sync"
)

// fullError is that keys would not fit into memory, with what to do about it. Admitting an event without remembering its key would admit
// its repeat, too.
type fullError struct{ detail string }

func (e *fullError) Error() string { return e.detail }

// keyMemory bounds what the key windows of a process take together. Half of it is for whoever needs it, the other half is set aside in
// equal parts, one a partition, so that a tenant that fills its partition's window does not stop the other partitions.
type keyMemory struct {
	limit int64

	mu   sync.Mutex
	used map[int32]int64 // bytes by partition
}

func newKeyMemory(limit int64) *keyMemory { return &keyMemory{limit: limit, used: map[int32]int64{}} }

// fits reports whether partition p may take n bytes more, when it and the others have used so much.
func fits(limit int64, used map[int32]int64, p int32, n int64) bool {
	parts := int64(len(used))
	if _, ok := used[p]; !ok {
		parts++
	}
	own := limit / 2 / parts
	if used[p]+n <= own {
		return true
	}
	shared := max(0, used[p]+n-own)
	for other, b := range used {
		if other != p {
			shared += max(0, b-own)
		}
	}
	return shared <= limit/2
}

// admit reports whether partition p, which has used so much, may put n more keys.
func (m *keyMemory) admit(p int32, w *window, keys int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used[p] = w.bytes()
	if w.full(keys) || !fits(m.limit, m.used, p, int64(keys)*keyBytes+keySlack) {
		return m.refusal(w, keys)
	}
	return nil
}

// restore is admit for a window that is being restored: it had all of these keys before, so it may have whatever is left.
func (m *keyMemory) restore(p int32, w *window, keys int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.used, p)
	need := w.bytes() + int64(keys)*keyBytes
	all := need
	for _, b := range m.used {
		all += b
	}
	if w.full(keys) || all > m.limit {
		return m.refusal(w, keys)
	}
	m.used[p] = need
	return nil
}

// forget is for a partition that left, or whose restore failed.
func (m *keyMemory) forget(p int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.used, p)
}

func (m *keyMemory) refusal(w *window, more int) error {
	var all int64
	for _, b := range m.used {
		all += b
	}
	return &fullError{fmt.Sprintf("%d idempotency keys of this partition are remembered and %d more would not fit: the key windows of this process take %d MiB of --key-memory, %d MiB. "+
		"Raise --key-memory (and the memory limit to three times that), run more instances, or shorten --key-window at every instance",
		w.len(), more, all>>20, m.limit>>20)}
}
