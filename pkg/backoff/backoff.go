// Package backoff says how long to wait before something that failed is tried again, and waits. A caller whose wait something besides its
// context ends computes with Doubling and waits itself.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Doubling is the pause after the failed attempt of that number, counted from 0: first, then twice as long each time, at most most.
func Doubling(first, most time.Duration, attempt int) time.Duration {
	for ; attempt > 0 && first < most; attempt-- {
		first *= 2
	}
	return min(first, most)
}

// Pause is the pause after the failed attempt of that number, counted from 0, to reach Kafka, Postgres or the registry: doubling from 100 ms
// to 5 s, spread over half of that in both directions, so that processes that lost the same dependency do not come back in step.
func Pause(attempt int) time.Duration {
	d := Doubling(100*time.Millisecond, 5*time.Second, attempt)
	return d/2 + rand.N(d) //nolint:gosec // spreading load is no secret
}

// Wait waits for d, or for the end of ctx, whose error it returns.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
