package consumer

import (
	"strconv"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// logEvents makes events of log "L" with ids e<sequence>.
func logEvents(sequences ...int64) []event.Recorded {
	out := make([]event.Recorded, len(sequences))
	for i, n := range sequences {
		out[i] = event.Recorded{Event: event.Event{TenantID: "acme", ID: "e" + strconv.FormatInt(n, 10)}, Sequence: n, LogID: "L"}
	}
	return out
}

func changed(events []event.Recorded, i int, change func(*event.Recorded)) []event.Recorded {
	change(&events[i])
	return events
}

func TestClassify_DecidesPerGeneration(t *testing.T) {
	at := func(n int64, s State) Row {
		r := Row{TenantID: "acme", Generation: 1, Sequence: n, State: s}
		if n > 0 {
			r.EventID, r.LogID = "e"+strconv.FormatInt(n, 10), "L"
		}
		return r
	}
	otherLog := func(e *event.Recorded) { e.LogID = "M" }
	otherID := func(e *event.Recorded) { e.ID = "x" }
	for _, tc := range []struct {
		name            string
		row             Row
		events          []event.Recorded
		apply           int
		skipped, passed int
		seen, gapFrom   int64
		stall           string
	}{
		{name: "first events of a tenant are applied", row: at(0, Live), events: logEvents(1, 2, 3), apply: 3},
		{name: "the next ones are applied", row: at(5, Live), events: logEvents(6, 7), apply: 2},
		{name: "what was applied is skipped", row: at(5, Live), events: logEvents(4, 5, 6), skipped: 2, apply: 1},
		{name: "an equal sequence with another id is another log", row: at(5, Live), events: changed(logEvents(5, 6), 0, otherID), passed: 2, stall: ReasonLogChanged},
		{name: "after a skip the id is not known and not compared", row: Row{Sequence: 5, LogID: "L", State: Live}, events: changed(logEvents(5, 6), 0, otherID), skipped: 1, apply: 1},
		{name: "an applied sequence of another log stalls", row: at(5, Live), events: changed(logEvents(3), 0, otherLog), passed: 1, stall: ReasonLogChanged},
		{name: "the next sequence of another log stalls", row: at(5, Live), events: changed(logEvents(6, 7), 1, otherLog), apply: 1, passed: 1, stall: ReasonLogChanged},
		{name: "a gap ends the run", row: at(5, Live), events: logEvents(6, 9, 10), apply: 1, gapFrom: 7},
		{name: "a first event above one is a gap", row: at(0, Live), events: logEvents(4), gapFrom: 1},
		{name: "a repeat inside a batch is skipped", row: at(0, Live), events: logEvents(1, 2, 2, 3), apply: 3, skipped: 1},
		{name: "a stalled tenant is passed and remembered", row: at(5, Stalled), events: logEvents(6, 7), passed: 2, seen: 7},
		{name: "a catching-up generation is passed, also when it would fit", row: at(5, CatchingUp), events: logEvents(6, 7), passed: 2, seen: 7},
		{name: "a catching-up generation skips what it has", row: at(5, CatchingUp), events: logEvents(5, 6), skipped: 1, passed: 1, seen: 6},
		{name: "a catching-up generation sees that the log changed", row: at(5, CatchingUp), events: changed(logEvents(6), 0, otherLog), passed: 1, stall: ReasonLogChanged},
		{name: "an empty generation takes any log", row: at(0, CatchingUp), events: changed(logEvents(6), 0, otherLog), passed: 1, seen: 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := classify(tc.row, tc.events, nil)
			if len(d.apply) != tc.apply || d.skipped != tc.skipped || d.passed != tc.passed || d.seen != tc.seen ||
				d.gapFrom != tc.gapFrom || d.stall != tc.stall {
				t.Errorf("got apply %d, skipped %d, passed %d, seen %d, gap from %d, stall %q; want %d, %d, %d, %d, %d, %q",
					len(d.apply), d.skipped, d.passed, d.seen, d.gapFrom, d.stall, tc.apply, tc.skipped, tc.passed, tc.seen, tc.gapFrom, tc.stall)
			}
			if len(d.apply)+d.skipped+d.passed+len(d.after) != len(tc.events) {
				t.Errorf("%d events are accounted for, there were %d", len(d.apply)+d.skipped+d.passed+len(d.after), len(tc.events))
			}
		})
	}
}

func TestAfterChunk_GoesLiveAtTheTargetAndStallsWhatIsMissingForTooLong(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	missing := func(since time.Duration) Row {
		return Row{Sequence: 5, State: CatchingUp, MissingSince: now.Add(-since)}
	}
	for _, tc := range []struct {
		name       string
		row        Row
		goal       int64
		progressed bool
		state      State
		reason     string
		waiting    bool
	}{
		{"at the target", missing(time.Minute), 5, false, Live, "", false},
		{"progress ends the wait", missing(time.Minute), 9, true, CatchingUp, "", false},
		{"nothing new begins the wait", Row{Sequence: 5, State: CatchingUp}, 9, false, CatchingUp, "", true},
		{"a short wait goes on", missing(9 * time.Minute), 9, false, CatchingUp, "", true},
		{"a long wait is a loss", missing(10 * time.Minute), 9, false, Stalled, ReasonGap, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := afterChunk(tc.row, tc.goal, tc.progressed, now, 10*time.Minute)
			if r.State != tc.state || r.Reason != tc.reason || r.MissingSince.IsZero() == tc.waiting {
				t.Errorf("got %s %q, waiting since %s", r.State, r.Reason, r.MissingSince)
			}
		})
	}
}

func TestTarget_IsTheHighestOfGenerationsThatAreNotRetired(t *testing.T) {
	got := target([]Row{{Sequence: 4, Seen: 7, State: Stalled}, {Sequence: 6, State: Live}, {Sequence: 90, State: Retired}})
	if got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}
