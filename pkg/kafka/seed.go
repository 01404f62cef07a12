package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// callbacks is what the planted bug goes by (trustsCallbacks): a partition is owned from the callback that assigns it to the one that
// revokes it, which may never come.
func (t *tracker) callbacks() []kgo.Opt {
	gone := func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
		t.mu.Lock()
		for _, p := range m[t.topic] {
			delete(t.owned, p)
		}
		t.mu.Unlock()
		t.signal()
	}
	return []kgo.Opt{
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			t.mu.Lock()
			t.own(m[t.topic])
			t.mu.Unlock()
			t.signal()
		}),
		kgo.OnPartitionsRevoked(gone),
		kgo.OnPartitionsLost(gone),
	}
}
