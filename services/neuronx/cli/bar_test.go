package cli

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/neuronx/engine/services/neuronx/importer"
)

func TestBar_WritesLinesOrDrawsOverItselfAndNotTooOften(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var errs bytes.Buffer
		c := tool(nil, io.Discard, &errs)
		now := time.Unix(1_700_000_000, 0)
		c.env.Now = func() time.Time { return now }
		b := newBar(c)
		b.terminal = terminal
		every := map[bool]time.Duration{false: 5 * time.Second, true: 100 * time.Millisecond}[terminal]
		show := func(after time.Duration, done int64) string {
			errs.Reset()
			now = now.Add(after)
			b.show("a.csv", done, 200, importer.Counts{Events: importer.Tally{Admitted: 2, Duplicate: 1, Conflict: 1, Refused: 1, Unjudged: 1}})
			return errs.String()
		}
		start, end := map[bool]string{false: "", true: "\r\x1b[K"}[terminal], map[bool]string{false: "\n", true: ""}[terminal]
		now = now.Add(2*time.Second - every)
		if got, want := show(every, 100), start+"a.csv ████████████············  50%  6 events, 3/s"+end; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := show(every-1, 150); got != "" {
			t.Errorf("too early: %q", got)
		}
		if got := show(1, 150); got == "" {
			t.Error("nothing is shown in time")
		}
		if got := show(0, 200); !bytes.Contains([]byte(got), []byte("████████████████████████ 100%")) {
			t.Errorf("the end is not shown at once: %q", got)
		}
		errs.Reset()
		now = now.Add(time.Hour)
		if b.show("empty.csv", 0, 0, importer.Counts{}); !bytes.Contains(errs.Bytes(), []byte("████████████████████████ 100%")) {
			t.Errorf("a file without a byte: %q", errs.String())
		}
		errs.Reset()
		if b.end(); errs.String() != map[bool]string{false: "", true: "\n"}[terminal] {
			t.Errorf("at the end: %q", errs.String())
		}
		c.quiet = true
		if got := show(time.Hour, 150); got != "" {
			t.Errorf("with --quiet: %q", got)
		}
	}
}
