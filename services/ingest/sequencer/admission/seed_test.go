package admission

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// reseeded gives the admitter the state that is made of events alone, through the bytes of its records.
func reseeded(t *testing.T, d *judge, events []*event.Recorded) *Seed {
	t.Helper()
	logID := uuid.NewString()
	seed := NewSeed([16]byte{2}, 0, logID, 7, time.Hour*24)
	for _, e := range events {
		seed.Add(e)
	}
	l := Loader{TopicID: [16]byte{2}}
	for i, value := range Snapshot(seed.State(100, 5)) {
		if err := l.Add(int64(i), value); err != nil {
			t.Fatal(err)
		}
	}
	if l.State == nil || l.State.Log != (Ends{Next: 100}) || l.State.Dead != (Ends{Next: 5}) || l.State.LogID != logID || l.State.Next != 7 {
		t.Fatalf("%+v", l.State)
	}
	d.s, d.next = l.State, l.State.Next
	return seed
}

func TestSeed_JudgesAsTheSequencerThatAdmittedTheEventsWould(t *testing.T) {
	d := newJudge(t)
	var events []*event.Recorded
	put := func(e *event.Event, want Outcome) Decision {
		t.Helper()
		got := d.put(e)
		if got.Outcome != want {
			t.Fatalf("%s: %s (%s %s), want %s", e.ID, got.Outcome, got.Code, got.Detail, want)
		}
		if got.Recorded != nil {
			events = append(events, got.Recorded)
		}
		return got
	}
	first, keyed := sequencertest.Lead("a", "1"), sequencertest.Lead("a", "2")
	keyed.IdempotencyKey = "order-9"
	put(sequencertest.Created(d.keys, "a"), Admitted)
	put(sequencertest.Created(d.keys, "b"), Admitted)
	put(first, Admitted)
	put(keyed, Admitted)
	put(sequencertest.Derived(d.keys, "a", "d-1", 1), Admitted)
	put(sequencertest.Derived(d.keys, "a", "d-2", 2), Admitted)
	put(sequencertest.TenantEvent(d.keys, "b", "s", typeTenantSuspended), Admitted)
	position := d.s.Position

	seed := reseeded(t, d, events)
	if n := seed.Numbers("a")["rules"]; n != 2 {
		t.Errorf("the rules' last number is %d", n)
	}
	put(first, duplicate)
	put(keyed, duplicate)
	other := sequencertest.Lead("a", "2")
	other.IdempotencyKey, other.Subject = "order-9", "lead/other"
	if got := put(other, Refused); got.Code != event.CodeConflict {
		t.Errorf("the same key with another event: %s", got.Code)
	}
	put(sequencertest.Derived(d.keys, "a", "d-2", 2), duplicate)
	if got := put(sequencertest.Derived(d.keys, "a", "d-x", 2), Refused); got.Code != event.CodeDeriverConflict {
		t.Errorf("the same number with another event: %s", got.Code)
	}
	if got := put(sequencertest.Lead("b", "1"), Refused); got.Code != event.CodeTenantSuspended {
		t.Errorf("a suspended tenant: %s", got.Code)
	}
	got := put(sequencertest.Derived(d.keys, "a", "d-3", 3), Admitted).Recorded
	if got.Sequence != 6 || got.Position <= position || got.LogID != d.s.LogID {
		t.Errorf("sequence %d, position %d after %d, log %s", got.Sequence, got.Position, position, got.LogID)
	}
}

func TestSeed_ANumberInTheDeadLettersIsUsedUp(t *testing.T) {
	seed := NewSeed([16]byte{2}, 0, uuid.NewString(), 0, 0)
	seed.Refused("a", "rules", 4)
	if n := seed.Numbers("a"); n["rules"] != 4 || n["gohighlevel"] != 0 || len(seed.Numbers("nobody")) != 0 {
		t.Error("last numbers")
	}
}

func TestSeed_ARetriedDeadLetterKeepsItsProducersRepeatAway(t *testing.T) {
	d := newJudge(t).tenant("a")
	refused := sequencertest.Lead("a", "1")
	put := d.put(redriven(d, refused, 1))
	if put.Outcome != Admitted {
		t.Fatalf("%+v", put)
	}
	create := sequencertest.Created(d.keys, "a")
	reseeded(t, d, []*event.Recorded{{Event: *create, Sequence: 1, Position: 1}, put.Recorded})
	if again := d.put(refused); again.Outcome != duplicate || again.of != put.Recorded.Sequence {
		t.Errorf("the producer repeats it: %+v, want a duplicate of %d", again, put.Recorded.Sequence)
	}
}
