package consumer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// assignments counts how often each partition was assigned.
type assignments struct {
	mu    sync.Mutex
	times map[int32]int
}

func (a *assignments) assigned(partitions ...int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.times == nil {
		a.times = map[int32]int{}
	}
	for _, p := range partitions {
		a.times[p]++
	}
}

// atLeast counts the partitions that were assigned at least so often.
func (a *assignments) atLeast(times int) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.times {
		if t >= times {
			n++
		}
	}
	return n
}

func TestRun_TellsOfEachAssignmentOfPartitionsOfTheLogAlsoOfOneThatComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, two := &assignments{}, &assignments{}
	cfg := f.config()
	cfg.Assigned, cfg.DeadLetters = one.assigned, true
	f.start(cfg, &letterBox{})
	kafkatest.WaitFor(t, "all partitions of the log", func(context.Context) bool { return one.atLeast(1) == kafkatest.Partitions })
	cfg.Assigned, cfg.Slot = two.assigned, "1"
	stop := f.start(cfg, &letterBox{})
	kafkatest.WaitFor(t, "partitions of the other member", func(context.Context) bool { return two.atLeast(1) > 0 })
	if n := one.atLeast(1); n > kafkatest.Partitions {
		t.Fatalf("told of %d partitions; the log has %d", n, kafkatest.Partitions)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	kafkatest.WaitFor(t, "partitions that come back", func(context.Context) bool { return one.atLeast(2) >= two.atLeast(1) })
}
