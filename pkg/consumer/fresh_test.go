package consumer_test

import (
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
)

// A tool that commits for a group before its consumer has ever run asks for no reset: nothing was read yet, so nothing is to be done again.
// The consumer begins at the start of the log all the same, since its rows say where to read.
func TestReset_ACommitBeforeTheFirstStartIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := partitionOf("acme")
	f.write(f.next("acme", 6)...)
	f.resetOffset(p, 4, "")
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 6, consumer.Live)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.wantApplied("acme", 1, 6)
	var resets int
	if err := f.admin.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.resets`).Scan(&resets); err != nil || resets != 0 {
		t.Errorf("%d resets are noted, %v", resets, err)
	}
	if c := f.committed(p); !c.Ours() || c.Offset != 6 {
		t.Errorf("the group is at %+v, want the row's 6", c)
	}
}
