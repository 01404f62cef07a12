package sequencer

import (
	"context"
	"errors"

	"github.com/neuronx/engine/pkg/kafka"
)

// keepAborted is what the planted bug does (keepsAbortedBatch): what was judged is in memory already when the transaction fails, the
// session goes on, and only partitions that are taken away are restored. It reports whether the session can go on.
func (c *session) keepAborted(ctx context.Context, b *batch, failed error) bool {
	if errors.Is(failed, kafka.ErrFenced) {
		return false
	}
	c.merge(b)
	err := c.txn.ClearRevoked(ctx)
	c.log.Warn("a transaction failed, and the session goes on", "err", failed, "abort", err)
	return err == nil
}

// commitLate is what the planted bug does (mergesBeforeCommit): keys, sequences and the position in ingress are merged before the
// commit is confirmed, and kept for the next session when it fails. Only the ends of the log are as they should be, so that no
// restore finds the log torn before the bug has done its harm.
func (c *session) commitLate(b *batch, write func() error) error {
	was := make([][2]ends, len(b.parts))
	for i, st := range b.parts {
		was[i] = [2]ends{st.p.state.log, st.p.state.dead}
	}
	c.merge(b)
	for i, st := range b.parts {
		st.p.state.log, st.p.state.dead = was[i][0], was[i][1]
	}
	err := write()
	for _, st := range b.parts {
		switch {
		case err != nil:
			c.carried[st.p.id] = st.p.state
		default:
			st.p.state.written(after(st.log), after(st.dead))
		}
	}
	return err
}

func (s *State) written(logNext, deadNext int64) {
	if logNext > 0 {
		s.log = ends{Next: logNext}
	}
	if deadNext > 0 {
		s.dead = ends{Next: deadNext}
	}
}
