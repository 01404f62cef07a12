package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
)

// Sessions runs one transactional session after the other until ctx is done; then it returns nil. A session that fails loses what was
// in memory, so the next one begins from what is committed, after a wait that doubles from 200 ms to 5 s and falls back when a
// session has committed something. ErrFenced ends it: another process runs under this slot, and two would fence each other for ever.
// failed is told how each session ended.
func Sessions(ctx context.Context, log *slog.Logger, slot string, failed func(error), run func(context.Context) (committed bool, err error)) error {
	failures := 0
	for {
		committed, err := run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if committed {
			failures = 0
		}
		failed(err)
		if errors.Is(err, ErrFenced) {
			log.Error("another process runs under this slot and has fenced this one; giving up", "err", err)
			return fmt.Errorf("slot %s: %w", slot, err)
		}
		wait := backoff.Doubling(200*time.Millisecond, 5*time.Second, failures)
		failures++
		log.Warn("session ended; a new one begins from what is committed", "err", err, "backoff", wait)
		if backoff.Wait(ctx, wait) != nil {
			return nil
		}
	}
}
