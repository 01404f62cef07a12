package backtest

import (
	"container/heap"
	"context"
	"time"

	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// store is workflows.Memory with what a long run asks often kept in order: the next timer, and claims by member. Both are no part of what a
// rollback restores, which comes only after an error that ends the run.
type store struct {
	*workflows.Memory
	due    timers
	armed  map[string]workflows.Timer
	claims map[workflows.Pair]pool.Claim
	counts map[string]map[string]int64 // by pool and member
	lapse  lapses
}

func newStore() *store {
	return &store{Memory: workflows.NewMemory(), armed: map[string]workflows.Timer{}, claims: map[workflows.Pair]pool.Claim{}, counts: map[string]map[string]int64{}}
}

// Arm implements workflows.Store.
func (s *store) Arm(t workflows.Timer) {
	s.Memory.Arm(t)
	s.armed[t.ID] = t
	heap.Push(&s.due, t)
}

// Disarm implements workflows.Store.
func (s *store) Disarm(id string) {
	s.Memory.Disarm(id)
	delete(s.armed, id)
}

// next is the timer that is due first; ok is false where none is armed.
func (s *store) next() (first workflows.Timer, ok bool) {
	for len(s.due) > 0 {
		first = s.due[0]
		if now, there := s.armed[first.ID]; there && now == first {
			return first, true
		}
		heap.Pop(&s.due)
	}
	return first, false
}

// PutClaim implements workflows.Store.
func (s *store) PutClaim(name, key string, c pool.Claim) {
	s.Memory.PutClaim(name, key, c)
	k := workflows.Pair{Name: name, Key: key}
	s.forget(k)
	if c.Member == "" {
		return
	}
	s.claims[k] = c
	if s.counts[name] == nil {
		s.counts[name] = map[string]int64{}
	}
	s.counts[name][c.Member]++
	if !c.Until.IsZero() {
		heap.Push(&s.lapse, lapse{c.Until, k})
	}
}

func (s *store) forget(k workflows.Pair) {
	if was, there := s.claims[k]; there {
		if s.counts[k.Name][was.Member]--; s.counts[k.Name][was.Member] == 0 {
			delete(s.counts[k.Name], was.Member)
		}
		delete(s.claims, k)
	}
}

// Claims implements workflows.Store. The times that are asked for never go back.
func (s *store) Claims(_ context.Context, name string, at time.Time) (map[string]int64, error) {
	for len(s.lapse) > 0 && !at.Before(s.lapse[0].at) {
		l := heap.Pop(&s.lapse).(lapse)
		if c, there := s.claims[l.key]; there && !c.Living(at) {
			s.forget(l.key)
		}
	}
	return s.counts[name], nil
}

// timers is a heap by (due, id).
type timers []workflows.Timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	if !h[i].Due.Equal(h[j].Due) {
		return h[i].Due.Before(h[j].Due)
	}
	return h[i].ID < h[j].ID
}
func (h timers) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)   { *h = append(*h, x.(workflows.Timer)) }
func (h *timers) Pop() any     { return pop((*[]workflows.Timer)(h)) }

// lapse is when a claim ends by itself.
type lapse struct {
	at  time.Time
	key workflows.Pair
}

type lapses []lapse

func (h lapses) Len() int           { return len(h) }
func (h lapses) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h lapses) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lapses) Push(x any)        { *h = append(*h, x.(lapse)) }
func (h *lapses) Pop() any          { return pop((*[]lapse)(h)) }

func pop[T any](h *[]T) T {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
