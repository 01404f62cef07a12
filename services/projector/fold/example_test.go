package fold_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/projector/fold"
)

// leads is the projection that read.leads shows.
func leads() *fold.Spec {
	specs, err := fold.Declared()
	if err != nil {
		panic(err)
	}
	return specs[slices.IndexFunc(specs, func(s *fold.Spec) bool { return s.Name == "leads" })]
}

// fact is an event of the log, and its decoded data.
func fact(sequence int64, typ string, at time.Time) event.Recorded {
	return event.Recorded{Event: event.Event{TenantID: "acme", Type: typ, Time: at}, Sequence: sequence, RecordedTime: at.Add(time.Hour)}
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// Fold events into the row of a projection.
func ExampleTouch_Apply() {
	var row fold.Row // nil: there is none yet
	for _, f := range []struct {
		event event.Recorded
		data  map[string]any
	}{
		{fact(1, "lead.created", noon), map[string]any{"lead_id": "42", "email": "ada@example.com", "phone": nil, "source": nil, "channel": "referral", "owner_id": nil, "status": nil}},
		{fact(2, "lead.scored", noon.Add(time.Minute)), map[string]any{"lead_id": "42", "score": int64(55), "reason": nil}},
	} {
		touch, err := leads().Touches(f.event, f.data)
		if err == nil && touch != nil { // nil: the projection does not care for this type
			row, _, err = touch.Apply(row)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(row["lead_id"], row["email"], row["channel"], row["status"], row["score"], "at sequence", row["sequence"])
	// Output: 42 ada@example.com referral new 55 at sequence 2
}

// The test of a projection is events in, a row out. A late fact overwrites nothing newer.
func TestLeads_KeepTheScoreOfTheNewerFact(t *testing.T) {
	var row fold.Row
	for n, scored := range []struct {
		at    time.Time
		score int64
	}{{noon.Add(time.Hour), 70}, {noon, 10}} {
		touch, err := leads().Touches(fact(int64(n+1), "lead.scored", scored.at), map[string]any{"lead_id": "42", "score": scored.score, "reason": nil})
		if err != nil {
			t.Fatal(err)
		}
		if row, _, err = touch.Apply(row); err != nil {
			t.Fatal(err)
		}
	}
	if row["score"] != int64(70) {
		t.Errorf("the score is %v; the newer fact says 70", row["score"])
	}
}
