package keys

import (
	"fmt"
	"sync"
)

// FullError is that keys would not fit into memory, with what to do about it. Admitting an event without remembering its key would admit
// its repeat, too.
type FullError struct{ detail string }

func (e *FullError) Error() string { return e.detail }

// Memory bounds what the key windows of a process take together. Half of it is for any partition that needs it, the other half is set aside in
// equal parts, one a partition, so that a tenant that fills its partition's window does not stop the other partitions.
type Memory struct {
	limit int64

	mu   sync.Mutex
	used map[int32]int64 // bytes by partition
}

func NewMemory(limit int64) *Memory { return &Memory{limit: limit, used: map[int32]int64{}} }

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

// Admit reports whether partition p, which has used so much, may put n more keys.
func (m *Memory) Admit(p int32, w *Window, keys int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used[p] = w.Bytes()
	if w.full(keys) || !fits(m.limit, m.used, p, int64(keys)*keyBytes+keySlack) {
		return m.refusal(w, keys)
	}
	return nil
}

// Restore is Admit for a window that is being restored: it had all of these keys before, so it may have whatever is left.
func (m *Memory) Restore(p int32, w *Window, keys int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.used, p)
	need := w.Bytes() + int64(keys)*keyBytes
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

// Forget is for a partition that left, or whose restore failed.
func (m *Memory) Forget(p int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.used, p)
}

func (m *Memory) refusal(w *Window, more int) error {
	var all int64
	for _, b := range m.used {
		all += b
	}
	return &FullError{fmt.Sprintf("%d idempotency keys of this partition are remembered and %d more would not fit: the key windows of this process take %d MiB of --key-memory, %d MiB. "+
		"Raise --key-memory (and the memory limit to three times that), run more instances, or shorten --key-window at every instance",
		w.Len(), more, all>>20, m.limit>>20)}
}
