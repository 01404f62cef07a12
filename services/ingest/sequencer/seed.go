package sequencer

import (
	"context"
	"errors"

	"github.com/neuronx/engine/pkg/kafka"
)

// keepAborted is what the planted bug does (keepsAbortedBatch): what was judged is merged though the transaction failed, the session goes
// on, and only partitions that are taken away are restored. It reports whether the session can go on.
func (c *session) keepAborted(ctx context.Context, failed error) bool {
	if errors.Is(failed, kafka.ErrFenced) {
		return false
	}
	err := c.txn.ClearRevoked(ctx)
	c.log.Warn("a transaction failed, and the session goes on", "err", failed, "abort", err)
	return err == nil
}

// mergeEarly is what the planted bug does (mergesBeforeCommit): keys, sequences and the position in ingress are merged before the commit is
// confirmed, and kept for the next session when it fails. Only the ends of the log are as they should be, so that no restore finds the log
// torn before the bug has done its harm.
func (b *batch) mergeEarly() {
	for _, st := range b.parts {
		s := st.p.state
		log, dead := s.log, s.dead
		s.merge(st.o, 0, 0)
		s.log, s.dead = log, dead
	}
}

// carry is the end of what mergeEarly begins.
func (c *session) carry(b *batch, err error) {
	for _, st := range b.parts {
		switch {
		case err != nil:
			c.carried[st.p.id] = st.p.state
		default:
			st.p.state.written(after(st.log), after(st.dead))
		}
	}
}

func (s *State) written(logNext, deadNext int64) {
	if logNext > 0 {
		s.log = ends{Next: logNext}
	}
	if deadNext > 0 {
		s.dead = ends{Next: deadNext}
	}
}
