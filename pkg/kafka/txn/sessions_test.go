package txn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessions_WaitLongerAfterEachFailureAndEndWhenFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var begun []time.Duration
		var told []error
		start := time.Now()
		err := Sessions(t.Context(), slog.New(slog.DiscardHandler), "7", func(err error) { told = append(told, err) }, func(context.Context) (bool, error) {
			begun = append(begun, time.Since(start))
			if len(begun) == 10 {
				return false, ErrFenced
			}
			return len(begun) == 8, broken
		})
		if !errors.Is(err, ErrFenced) || len(told) != 10 || !errors.Is(told[9], ErrFenced) {
			t.Fatalf("ended with %v; told %v", err, told)
		}
		var waits []time.Duration
		for i := range begun[1:] {
			waits = append(waits, begun[i+1]-begun[i])
		}
		ms := time.Millisecond
		if want := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 200 * ms, 400 * ms}; !slices.Equal(waits, want) {
			t.Errorf("waited %v, want %v", waits, want)
		}
	})
}

func TestSessions_EndQuietlyWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, during := range []string{"a session", "a wait"} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := Sessions(ctx, slog.New(slog.DiscardHandler), "7", func(error) {}, func(ctx context.Context) (bool, error) {
				if during == "a session" {
					<-ctx.Done()
				}
				return false, errors.New("broken")
			})
			if err != nil {
				t.Errorf("stopped during %s: %v", during, err)
			}
		}
	})
}
