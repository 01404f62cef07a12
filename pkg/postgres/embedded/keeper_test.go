package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The server ends twice. The first time it takes eight tries until it is up, the second time two.
func TestKeeper_TriesEverMoreSeldomAndBeginsAgainAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, alive, tries := time.Now(), true, 0
		var told, tried []string
		k := keeper{
			alive: func() bool { return alive }, log: slog.New(slog.DiscardHandler), port: 5433,
			start: func(context.Context) error {
				tried = append(tried, fmt.Sprint(time.Since(began)))
				if tries++; tries == 8 || tries == 10 {
					alive = true
					return nil
				}
				return errors.New("no space left on device")
			},
			tell: func(err error) { told = append(told, fmt.Sprint(err)) },
		}
		ended := make(chan struct{})
		go func() { defer close(ended); k.keep(ctx) }()
		time.Sleep(700 * time.Millisecond)
		if len(tried)+len(told) > 0 {
			t.Errorf("a server that runs was started at %v; told %q", tried, told)
		}
		alive = false
		time.Sleep(5 * time.Minute)
		alive = false
		time.Sleep(time.Minute)
		cancel()
		<-ended
		// From one look, at 1 s: after 1, 2, 4, 8, 16, 30 and 30 s; and from the first look after 5 m 0.7 s, after 1 s.
		if got, want := fmt.Sprint(tried), "[1s 2s 4s 8s 16s 32s 1m2s 1m32s 5m1s 5m2s]"; got != want {
			t.Errorf("tried at %s, want %s", got, want)
		}
		var short []string
		for _, s := range told {
			switch {
			case strings.Contains(s, "port 5433 has ended"):
				s = "ended"
			case strings.Contains(s, "does not start") && strings.Contains(s, "no space left"):
				s = "again in " + strings.TrimPrefix(s[:strings.Index(s, ": ")], "PostgreSQL does not start, it is tried again every ")
			}
			short = append(short, s)
		}
		if got, want := strings.Join(short, ", "), "ended, again in 1s, again in 2s, again in 4s, again in 8s, again in 16s, again in 30s, again in 30s, <nil>, ended, again in 1s, <nil>"; got != want {
			t.Errorf("told %s,\nwant %s", got, want)
		}
	})
}

// A start that ends with the program is no failure that anybody is told of.
func TestKeeper_EndsWithItsContextInAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		k := keeper{
			alive: func() bool { return false }, log: slog.New(slog.DiscardHandler), tell: func(error) { told++ },
			start: func(ctx context.Context) error { cancel(); return ctx.Err() },
		}
		k.keep(ctx)
		if told != 1 {
			t.Errorf("told %d times, want its end alone", told)
		}
	})
}
