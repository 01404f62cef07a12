package txn

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/neuronx/engine/pkg/kafka/membership"
)

// tracker knows which partitions of one topic a member owns. It stands in the place of the balancer, through which every join and
// every assignment goes; the client's callbacks are not relied on, because a transactional session skips them (a second revoke
// before End runs no callback).
type tracker struct {
	*membership.Balancer
	topic   string
	changed chan struct{}

	mu    sync.Mutex
	syncs int64
	last  int64
	owned map[int32]int64
}

func newTracker(topic string, log *slog.Logger) *tracker {
	return &tracker{Balancer: membership.New(log), topic: topic, changed: make(chan struct{}, 1), owned: map[int32]int64{}}
}

// JoinGroupMetadata is called before each join with what the member still claims. What it does not claim (all of it, after it was
// thrown out) is given up before the join is sent, so before anybody else can be given it in the generation that the join begins.
// A new member claims nothing.
func (t *tracker) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	if t.Join(current) {
		current = nil
	}
	t.mu.Lock()
	t.keep(current[t.topic])
	t.mu.Unlock()
	t.signal()
	return t.GroupBalancer.JoinGroupMetadata(topics, current, generation)
}

// ParseSyncAssignment is called with each new assignment.
func (t *tracker) ParseSyncAssignment(b []byte) (map[string][]int32, error) {
	assigned, err := t.GroupBalancer.ParseSyncAssignment(b)
	if err != nil {
		return nil, err
	}
	t.Sync()
	t.mu.Lock()
	t.syncs++
	t.keep(assigned[t.topic])
	t.own(assigned[t.topic])
	t.mu.Unlock()
	t.signal()
	return assigned, nil
}

// keep drops all other partitions. The caller holds mu.
func (t *tracker) keep(partitions []int32) {
	maps.DeleteFunc(t.owned, func(p int32, _ int64) bool { return !slices.Contains(partitions, p) })
}

// own gives partitions that were not owned their numbers. The caller holds mu.
func (t *tracker) own(partitions []int32) {
	for _, p := range partitions {
		if _, ok := t.owned[p]; !ok {
			t.last++
			t.owned[p] = t.last
		}
	}
}

func (t *tracker) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *tracker) joined() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.syncs > 0
}

func (t *tracker) snapshot() map[int32]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.owned)
}

func (t *tracker) still(offsets map[int32]Offset) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, o := range offsets {
		if n, ok := t.owned[p]; !ok || n != o.Assignment {
			return false
		}
	}
	return true
}
