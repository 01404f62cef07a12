package events

import (
	"strings"
	"testing"
)

func TestTree_PutsEveryEventBelowItsCauseAndKeepsAllRoots(t *testing.T) {
	events := []Event{
		{Sequence: "1", ID: "a"}, {Sequence: "2", ID: "b", CausationID: "a"}, {Sequence: "3", ID: "c"}, {Sequence: "4", ID: "d", CausationID: "c"},
		{Sequence: "5", ID: "e", CausationID: "b"}, {Sequence: "6", ID: "f", CausationID: "gone"}, {Sequence: "7", ID: "g", CausationID: "g"}, {Sequence: "10", ID: "h", CausationID: "a"},
	}
	var got []string
	for _, v := range tree(events) {
		got = append(got, strings.Repeat(">", v.Depth)+v.ID)
	}
	if want := "a >b >>e >h c >d f g"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
}
