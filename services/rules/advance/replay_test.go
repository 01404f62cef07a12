package advance

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/neuronx/engine/services/rules/flow"
)

// A database that is set back arms its timers again when the log is read again. A firing is known by the id of its timer, so under another one
// it would count a second time.
func TestTimer_ThatTheSameLogArmsAgainHasTheSameID(t *testing.T) {
	arm := func() (ids []string) {
		r := newRig(t, program(task("weeks", &flow.For{Each: "week", In: x("[1, 2]"), Tasks: []*flow.Task{waiting("w")}}))).start()
		for more := true; more; more = r.next() {
			for _, timer := range r.last.Arm {
				ids = append(ids, timer.ID)
			}
		}
		return ids
	}
	first, again := arm(), arm()
	if !slices.Equal(first, again) {
		t.Errorf("the same log arms %v, and again %v", first, again)
	}
	slices.Sort(first)
	if n := len(slices.Compact(first)); n != 3 {
		t.Errorf("a deadline and a wait that runs twice have %d ids, want 3", n)
	}
}

// What a replay derives depends on the positions of the log, not on when it runs.
func TestAdvance_IsTheSameWhateverTheClockOfTheMachineSays(t *testing.T) {
	for seed := range uint64(10) {
		here := trace(t, seed, false)
		synctest.Test(t, func(t *testing.T) { // its clock begins in the year 2000
			if there := trace(t, seed, false); !bytes.Equal(here, there) {
				t.Fatalf("seed %d is another one in the year 2000:\n%s", seed, difference(here, there))
			}
		})
	}
}

func TestFork_RunsItsBranchesInTheirOrder(t *testing.T) {
	for range 20 {
		var branches []*flow.Task
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			branches = append(branches, note(name))
		}
		newRig(t, program(task("all", &flow.Fork{Branches: branches}))).start().is(Completed, "end", "a b c d e f g h")
	}
}
