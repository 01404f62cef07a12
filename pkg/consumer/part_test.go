package consumer

import (
	"errors"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func stretch(from, n int64) []event.Recorded {
	events := make([]event.Recorded, n)
	for i := range events {
		events[i] = event.Recorded{Event: event.Event{TenantID: "a", ID: string(rune('a' + i)), Value: make([]byte, 100)}, Sequence: from + int64(i), LogID: "log"}
	}
	return events
}

func TestAfter_ATenantGoesAsFarAsItsPart(t *testing.T) {
	live := Row{TenantID: "a", Generation: 1, Sequence: 10, State: Live}
	waits := Row{TenantID: "a", Generation: 1, Sequence: 10, State: CatchingUp, Seen: 30}
	run := Run{TenantID: "a", Generation: 1, Events: stretch(11, 5)}
	for name, c := range map[string]struct {
		row      Row
		part     Part
		sequence int64
		seen     int64
		state    State
		reason   string
	}{
		"all of it":                              {live, Part{Applied: 5}, 15, 0, Live, ""},
		"the rest is for later":                  {live, Part{Applied: 2}, 12, 15, CatchingUp, ""},
		"an event that fails":                    {live, Part{Applied: 2, Err: errors.New("too slow")}, 12, 15, Stalled, "event 13: too slow"},
		"the first event fails":                  {live, Part{Err: errors.New("too slow")}, 10, 15, Stalled, "event 11: too slow"},
		"all of it is for later":                 {live, Part{Later: true}, 10, 15, CatchingUp, ""},
		"later, and it catches up already":       {waits, Part{Later: true}, 10, 30, CatchingUp, ""},
		"no progress and no reason is an error":  {live, Part{}, 10, 15, Stalled, "event 11: the handler took no event"},
		"more than there was is an error":        {live, Part{Applied: 6}, 10, 15, Stalled, "event 11: the handler applied 6 of 5"},
		"one that catches up goes on doing so":   {waits, Part{Applied: 2}, 12, 30, CatchingUp, ""},
		"one that catches up can stall as well":  {waits, Part{Applied: 4, Err: errors.New("x")}, 14, 30, Stalled, "event 15: x"},
		"a chunk that was applied to its end is": {waits, Part{Applied: 5}, 15, 30, CatchingUp, ""},
	} {
		got := c.row.after(run, c.part)
		if got.Sequence != c.sequence || got.Seen != c.seen || got.State != c.state || !strings.HasPrefix(got.Reason, c.reason) || (c.reason == "") != (got.Reason == "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestNextChunk_FollowsWhatTheLastOneDid(t *testing.T) {
	for _, c := range [][3]int{{50, 50, 100}, {400, 400, 500}, {50, 7, 8}, {50, 0, 4}, {4, 1, 4}} {
		if got := nextChunk(c[0], c[1]); got != c[2] {
			t.Errorf("after %d of %d: %d, want %d", c[1], c[0], got, c[2])
		}
	}
}

func TestWithin_KeepsTheFirstEventInAnyCase(t *testing.T) {
	events := stretch(1, 10)
	for i := range events {
		events[i].Value = make([]byte, 1<<20)
	}
	if got := within(events, partBytes); len(got) != 8 {
		t.Errorf("a chunk begins with %d MiB", len(got))
	}
	if got := within(events[:3], 5); len(got) != 1 {
		t.Errorf("%d events, want the first in any case", len(got))
	}
}
