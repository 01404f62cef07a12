package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A reader of the log must be able to tell a component that never answers from one that refuses, however long the refusal took.
func TestWait_TellsNoAnswerFromARefusal(t *testing.T) {
	for name, c := range map[string]struct {
		try  func(context.Context) error
		want string
	}{
		"an answer that never comes":     {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "no answer in 1s: context deadline exceeded"},
		"a refusal that comes late":      {func(ctx context.Context) error { <-ctx.Done(); return errors.New("refused") }, "refused"},
		"a refusal":                      {func(context.Context) error { return errors.New("refused") }, "refused"},
		"somebody else's time-out, soon": {func(context.Context) error { return context.DeadlineExceeded }, "context deadline exceeded"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			rt := NewRuntime("x", "0", slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
			tries := 0
			err := rt.Wait(t.Context(), ComponentPostgres, "connect", time.Second, func(ctx context.Context) error {
				if tries++; tries > 1 {
					return nil
				}
				return c.try(ctx)
			})
			if want := `err="` + c.want + `"`; err != nil || !strings.Contains(log.String(), want) && !strings.Contains(log.String(), "err="+c.want+" ") {
				t.Errorf("%s: %v; the log lacks %s: %s", name, err, want, log.String())
			}
		})
	}
}
