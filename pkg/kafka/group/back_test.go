package group_test

import (
	"context"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// A member that gets a partition back remembers how far it had come itself; the other owner was further, and that is what the group must
// hold, also while nothing new arrives.
func TestGroup_APartitionThatComesBackGoesOnWhereItsOtherOwnerLeftIt(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 2)
	produce := func(n int) {
		for p := range int32(2) {
			kafkatest.Produce(t, cfg, kafkatest.Numbered(p, 0, n)...)
		}
	}
	both := func(at int64) func(context.Context) bool {
		return func(context.Context) bool {
			c := committed(t, admin, "g")
			return c[0].Offset == at && c[1].Offset == at
		}
	}
	produce(20)
	a := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "a to commit both", both(20))
	b := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "each to own one", func(context.Context) bool { return len(a.Owned()) == 1 && len(b.Owned()) == 1 })
	produce(20)
	kafkatest.WaitFor(t, "both to commit what is theirs", both(40))
	b.leave(t)
	kafkatest.WaitFor(t, "a to own both again", func(context.Context) bool { return len(a.Owned()) == 2 })
	ticks := a.ticks()
	kafkatest.WaitFor(t, "a to commit at a tick", func(context.Context) bool { return a.ticks() >= ticks+2 })
	if !both(40)(t.Context()) {
		t.Errorf("the group went to %v", committed(t, admin, "g"))
	}
	produce(5)
	kafkatest.WaitFor(t, "a to read on", both(45))
	a.leave(t)
	for p := range int32(2) {
		if got := slices.Concat(a.offsets(p), b.offsets(p)); len(got) != 45 {
			t.Errorf("partition %d: %d records were handled, want 45", p, len(got))
		}
	}
}

func (m *member) ticks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tick
}
