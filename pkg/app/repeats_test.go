package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func repeatsLog(t *testing.T) (*slog.Logger, func() []string) {
	t.Helper()
	var out bytes.Buffer
	log, err := NewLogger(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	return log, func() []string { return strings.Split(strings.TrimSpace(out.String()), "\n") }
}

func TestLog_SaysARepeatedLineOnceAndCountsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := repeatsLog(t)
		for i := range 120 {
			log.Warn("batch rolled back", "attempt", i, "pause", time.Duration(i)*time.Second,
				"error", fmt.Errorf("dial 127.0.0.1:%d: refused", 40000+i))
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Minute)
		got := lines()
		if len(got) != 3 || !strings.Contains(got[0], "attempt=0 ") || strings.Contains(got[0], "repeated") ||
			!strings.Contains(got[1], "repeated=59 in=1m0s") || !strings.Contains(got[2], "repeated=") {
			t.Errorf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
		}
		total := 0
		for _, l := range got {
			n := 1
			if _, after, ok := strings.Cut(l, "repeated="); ok {
				if _, err := fmt.Sscanf(after, "%d", &n); err != nil {
					t.Fatal(err)
				}
			}
			total += n
		}
		if total != 120 {
			t.Errorf("%d lines are accounted for, not 120", total)
		}
		log.Warn("batch rolled back", "attempt", 7, "error", errors.New("dial 127.0.0.1:9: refused"))
		if n := len(lines()); n != 4 {
			t.Errorf("after a quiet time a line is not said at once: %d", n)
		}
	})
}

func TestLog_ToldApartByLevelMessageAttributesAndKindOfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := repeatsLog(t)
		log.Warn("a", "tenant", "acme")
		log.Error("a", "tenant", "acme")
		log.Warn("a", "tenant", "globex")
		log.With("consumer", "rules").Warn("a", "tenant", "acme")
		log.Warn("a", "partition", 1)
		log.Warn("a", "partition", 2)
		log.Warn("a", "error", errors.New("write: (SQLSTATE 53100)"))
		log.Warn("a", "error", errors.New("write: (SQLSTATE 57P03)"))
		log.Warn("a", "error", errors.New("write: (SQLSTATE 57P01)"))
		if got := lines(); len(got) != 9 {
			t.Errorf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
		}
		log.Warn("a", "tenant", "acme")
		if got := lines(); len(got) != 9 {
			t.Errorf("a repeat was said: %s", got[len(got)-1])
		}
		FlushLog(log)
		if got := lines(); len(got) != 10 || !strings.Contains(got[9], "tenant=acme repeated=1") {
			t.Errorf("at the end the count is not said:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestLog_RemembersABoundedNumberOfLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := repeatsLog(t)
		for i := range 3 * maxRepeats {
			log.Warn("a", "tenant", fmt.Sprint(i))
		}
		if n := len(log.Handler().(*repeats).shared.lines); n != maxRepeats {
			t.Errorf("%d lines are remembered", n)
		}
		if n := len(lines()); n != 3*maxRepeats {
			t.Errorf("%d lines", n)
		}
	})
}
