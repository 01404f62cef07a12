package backtest

import (
	"maps"
	"slices"
	"time"
)

// row is what decisions are counted by.
type row struct{ kind, by, typ string }

// held is why something did not happen.
type held struct{ kind, name, reason string }

type failed struct{ name, code string }

type slot struct {
	channel string
	hour    int
}

type pick struct{ pool, member string }

// stats are the counts of one timeline.
type stats struct {
	made     map[row]int
	people   map[string]struct{} // ids of leads
	messages map[slot]int
	held     map[held]int
	days     map[string]int // commands by day
	assigned map[pick]int
	open     map[string]int // instances by workflow
	failures map[failed]int
	details  map[failed]string
}

func newStats() *stats {
	return &stats{made: map[row]int{}, people: map[string]struct{}{}, messages: map[slot]int{}, held: map[held]int{}, days: map[string]int{}, assigned: map[pick]int{}, open: map[string]int{},
		failures: map[failed]int{}, details: map[failed]string{}}
}

func (s *stats) fail(name, code, detail string) {
	f := failed{name, code}
	if s.failures[f]++; s.failures[f] == 1 {
		s.details[f] = detail
	}
}

func (s *stats) message(channel string, now int64) {
	s.messages[slot{channel, stamp(now).Hour()}]++
}

func (s *stats) assign(pool, member string) { s.assigned[pick{pool, member}]++ }

func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// keysOf are the keys of both maps.
func keysOf[K comparable, V any](of [2]map[K]V, compare func(a, b K) int) []K {
	all := map[K]bool{}
	for _, m := range of {
		for k := range m {
			all[k] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), compare)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
