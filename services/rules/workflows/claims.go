package workflows

import (
	"container/heap"
	"context"
	"maps"
	"time"

	"github.com/neuronx/engine/services/rules/pool"
)

// tally counts the living claims of a pool in memory as time goes on: a pick asks for them, and of a pool that releases nothing there are as many as
// there were leads. living has, by member, the claims that live at at.
type tally struct {
	at     time.Time
	living map[string]int64
	ends   map[int64]map[string]bool // keys whose claims may end then, in nanoseconds since 1970
	next   endings                   // the keys of ends
}

// endings is a heap of times.
type endings []int64

func (h endings) Len() int           { return len(h) }
func (h endings) Less(i, j int) bool { return h[i] < h[j] }
func (h endings) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endings) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *endings) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// put follows a claim of a key that becomes another one.
func (t *tally) put(key string, before, after pool.Claim) {
	if before.Living(t.at) {
		t.add(before.Member, -1)
	}
	if !after.Living(t.at) {
		return
	}
	t.add(after.Member, 1)
	if after.Until.IsZero() {
		return
	}
	end := after.Until.UnixNano()
	if t.ends[end] == nil {
		t.ends[end] = map[string]bool{}
		heap.Push(&t.next, end)
	}
	t.ends[end][key] = true
}

func (t *tally) add(member string, n int64) {
	if t.living[member] += n; t.living[member] == 0 {
		delete(t.living, member)
	}
}

// through takes off what has ended by a time. of is the claim that a key has.
func (t *tally) through(at time.Time, of func(key string) pool.Claim) {
	for len(t.next) > 0 && t.next[0] <= at.UnixNano() {
		end := heap.Pop(&t.next).(int64)
		for key := range t.ends[end] {
			// The key may have been released since, or have another claim.
			if c := of(key); c.Living(t.at) && !c.Until.IsZero() && c.Until.UnixNano() == end {
				t.add(c.Member, -1)
			}
		}
		delete(t.ends, end)
	}
	t.at = at
}

// Claims implements Store.
func (m *Memory) Claims(_ context.Context, name string, at time.Time) (map[string]int64, error) {
	t := m.tallies[name]
	if t == nil || at.Before(t.at) {
		t = &tally{at: at, living: map[string]int64{}, ends: map[int64]map[string]bool{}}
		for k, c := range m.claims {
			if k.Name == name {
				t.put(k.Key, pool.Claim{}, c)
			}
		}
		m.tallies[name] = t
	}
	t.through(at, func(key string) pool.Claim { return m.claims[Pair{name, key}] })
	return maps.Clone(t.living), nil
}

// PutClaim implements Store.
func (m *Memory) PutClaim(name, key string, c pool.Claim) {
	if c.Member == "" {
		c = pool.Claim{}
	}
	k := Pair{name, key}
	before := m.claims[k]
	follow := func(before, after pool.Claim) {
		if t := m.tallies[name]; t != nil {
			t.put(key, before, after)
		}
	}
	follow(before, c)
	m.undo = append(m.undo, func() { follow(c, before) })
	m.pools[name] = true
	put(m, m.claims, k, c, c.Member != "")
}
