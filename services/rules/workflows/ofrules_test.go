package workflows

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/window"
)

func (w *rig) counts(subject string, hashes ...int64) {
	w.t.Helper()
	all, err := w.fold.Windows(w.t.Context(), subject)
	if err != nil {
		w.t.Fatal(err)
	}
	next := window.States{}
	for k, s := range all {
		next[k] = s
	}
	for _, h := range hashes {
		next["r/calls"] = next["r/calls"].Add("def", time.Hour, w.now, h)
	}
	if err := w.fold.PutWindows(subject, next); err != nil {
		w.t.Fatal(err)
	}
}

// counted is what is kept of some subjects: how many events, and how many different values.
func (w *rig) counted(subjects ...string) (out string) {
	w.t.Helper()
	for _, s := range subjects {
		all, err := w.fold.Windows(w.t.Context(), s)
		if err != nil {
			w.t.Fatal(err)
		}
		v := all["r/calls"].At("def", time.Hour, w.now)
		out += fmt.Sprintf("%s %d %d, ", s, v.Count, v.Distinct)
	}
	return out
}

func TestMerge_AddsWhatWindowsCounted(t *testing.T) {
	w := newRig(t, workflow("w", pausing))
	w.counts("lead/7", 1, 2)
	w.counts("lead/9", 2, 3, 4)
	w.merge("lead/7", "lead/9")
	w.is(w.counted("lead/7", "lead/9"), "lead/7 0 0, lead/9 5 4, ")
	if w.store.named[namedKey{KindWindow, "lead/7"}] != nil {
		t.Error("what was counted about lead/7 is kept twice")
	}
	w.counts("lead/3", 9)
	w.merge("lead/9", "lead/3")
	w.is(w.counted("lead/7", "lead/9", "lead/3"), "lead/7 0 0, lead/9 0 0, lead/3 6 5, ")
}

func TestFold_ForgetsWhatWindowsCountedOfAnErasedSubject(t *testing.T) {
	w := newRig(t, workflow("w", pausing))
	w.counts("lead/7", 1)
	w.counts("lead/9", 2)
	w.counts("lead/8", 3)
	w.merge("lead/7", "lead/9")
	w.record(event.Event{ID: "erase", Source: "/test", Type: typeErased, Subject: "lead/7"})
	if _, err := w.fold.Apply(t.Context(), Input{Event: w.log[len(w.log)-1]}); err != nil {
		t.Fatal(err)
	}
	if w.store.named[namedKey{KindWindow, "lead/7"}] != nil || w.store.named[namedKey{KindWindow, "lead/9"}] != nil {
		t.Error("counts of an erased person are kept")
	}
	w.is(w.counted("lead/8"), "lead/8 1 1, ")
}
