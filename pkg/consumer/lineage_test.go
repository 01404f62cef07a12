package consumer

import (
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func TestLineage_AReseededLogGoesOnAndNothingOfItsTailIsSkipped(t *testing.T) {
	l := lineage{"new": "old", "newest": "new"}
	for _, tc := range []struct {
		name     string
		logID    string
		sequence int64
		eventLog string
		event    int64
		want     bool
	}{
		{"the same log", "old", 5, "old", 6, true},
		{"the same log, read again", "old", 5, "old", 3, true},
		{"nothing applied yet", "", 0, "newest", 1, true},
		{"the next event is of the reseeded log", "old", 5, "new", 6, true},
		{"two reseeds later", "old", 5, "newest", 6, true},
		{"behind by more, the archive fills", "old", 5, "new", 9, true},
		{"this row applied an event of the tail that was lost", "old", 6, "new", 6, false},
		{"and more of them", "old", 9, "new", 6, false},
		{"an archived event, read again", "new", 6, "old", 5, true},
		{"an archived event where the row has a later one", "new", 6, "old", 6, false},
		{"an old event after a new one", "new", 6, "old", 7, false},
		{"a log nobody built from this one", "old", 5, "wiped", 6, false},
		{"a log nobody built from this one, read from its start", "old", 5, "wiped", 1, false},
	} {
		e := event.Recorded{Event: event.Event{TenantID: "t"}, Sequence: tc.event, LogID: tc.eventLog}
		if got := l.continues(tc.logID, tc.sequence, &e); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestLineage_RowsThatPointAtEachOtherEnd(t *testing.T) {
	if (lineage{"a": "b", "b": "a"}).follows("a", "c") {
		t.Error("a circle leads to another log")
	}
}

func TestClassify_AppliesAcrossAReseed(t *testing.T) {
	at := func(sequence int64, log string) event.Recorded {
		return event.Recorded{Event: event.Event{TenantID: "t", ID: log + "-" + string(rune('0'+sequence))}, Sequence: sequence, LogID: log}
	}
	events := []event.Recorded{at(2, "old"), at(3, "old"), at(4, "new"), at(5, "new")}
	row := Row{TenantID: "t", Sequence: 2, EventID: "old-2", LogID: "old", State: Live}
	if d := classify(row, events, lineage{"new": "old"}); d.skipped != 1 || len(d.apply) != 3 || d.stall != "" {
		t.Errorf("%+v", d)
	}
	if d := classify(row, events, nil); len(d.apply) != 1 || d.stall != ReasonLogChanged {
		t.Errorf("without lineage: %+v", d)
	}
	ahead := Row{TenantID: "t", Sequence: 4, EventID: "old-4", LogID: "old", State: Live}
	if d := classify(ahead, events, lineage{"new": "old"}); d.skipped != 2 || len(d.apply) != 0 || d.stall != ReasonLogChanged {
		t.Errorf("a row of the lost tail: %+v", d)
	}
	row.State = CatchingUp
	if d := classify(row, events, lineage{"new": "old"}); d.seen != 5 || d.stall != "" {
		t.Errorf("catching up: %+v", d)
	}
}
