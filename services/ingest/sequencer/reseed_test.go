package sequencer

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
)

// reseeded gives the door the state that is made of events alone, through the bytes of its records.
func reseeded(t *testing.T, d *door, events []*event.Recorded) *Seed {
	t.Helper()
	logID := uuid.NewString()
	seed := NewSeed([16]byte{2}, 0, logID, 7, time.Hour*24)
	for _, e := range events {
		seed.Add(e)
	}
	l := loader{TopicID: [16]byte{2}}
	for i, value := range snapshot(seed.State(100, 5)) {
		if err := l.add(int64(i), value); err != nil {
			t.Fatal(err)
		}
	}
	if l.State == nil || l.State.log != (ends{Next: 100}) || l.State.dead != (ends{Next: 5}) || l.State.logID != logID || l.State.next != 7 {
		t.Fatalf("%+v", l.State)
	}
	d.s, d.next = l.State, l.State.next
	return seed
}

func TestSeed_JudgesAsTheSequencerThatAdmittedTheEventsWould(t *testing.T) {
	d := newDoor(t)
	var events []*event.Recorded
	put := func(e *event.Event, want outcome) decision {
		t.Helper()
		got := d.put(e)
		if got.outcome != want {
			t.Fatalf("%s: %s (%s %s), want %s", e.ID, got.outcome, got.code, got.detail, want)
		}
		if got.recorded != nil {
			events = append(events, got.recorded)
		}
		return got
	}
	first, keyed := lead("a", "1"), lead("a", "2")
	keyed.IdempotencyKey = "order-9"
	put(created(d.keys, "a"), admitted)
	put(created(d.keys, "b"), admitted)
	put(first, admitted)
	put(keyed, admitted)
	put(derived(d.keys, "a", "d-1", 1), admitted)
	put(derived(d.keys, "a", "d-2", 2), admitted)
	put(tenantEvent(d.keys, "b", "s", typeTenantSuspended), admitted)
	position := d.s.position

	seed := reseeded(t, d, events)
	if n := seed.Last("a", "rules"); n != 2 {
		t.Errorf("the rules' last number is %d", n)
	}
	put(first, duplicate)
	put(keyed, duplicate)
	other := lead("a", "2")
	other.IdempotencyKey, other.Subject = "order-9", "lead/other"
	if got := put(other, refused); got.code != event.CodeConflict {
		t.Errorf("the same key with another event: %s", got.code)
	}
	put(derived(d.keys, "a", "d-2", 2), duplicate)
	if got := put(derived(d.keys, "a", "d-x", 2), refused); got.code != event.CodeDeriverConflict {
		t.Errorf("the same number with another event: %s", got.code)
	}
	if got := put(lead("b", "1"), refused); got.code != event.CodeTenantSuspended {
		t.Errorf("a suspended tenant: %s", got.code)
	}
	got := put(derived(d.keys, "a", "d-3", 3), admitted).recorded
	if got.Sequence != 6 || got.Position <= position || got.LogID != d.s.logID {
		t.Errorf("sequence %d, position %d after %d, log %s", got.Sequence, got.Position, position, got.LogID)
	}
}

func TestSeed_ANumberInTheDeadLettersIsUsedUp(t *testing.T) {
	seed := NewSeed([16]byte{2}, 0, uuid.NewString(), 0, 0)
	seed.Refused("a", "rules", 4)
	if seed.Last("a", "rules") != 4 || seed.Last("a", "gohighlevel") != 0 || seed.Last("nobody", "rules") != 0 {
		t.Error("last numbers")
	}
}

func TestSeed_ARetriedDeadLetterKeepsItsProducersRepeatAway(t *testing.T) {
	d := newDoor(t).tenant("a")
	refused := lead("a", "1")
	put := d.put(redriven(d, refused, 1))
	if put.outcome != admitted {
		t.Fatalf("%+v", put)
	}
	create := created(d.keys, "a")
	reseeded(t, d, []*event.Recorded{{Event: *create, Sequence: 1, Position: 1}, put.recorded})
	if again := d.put(refused); again.outcome != duplicate || again.of != put.recorded.Sequence {
		t.Errorf("the producer repeats it: %+v, want a duplicate of %d", again, put.recorded.Sequence)
	}
}
