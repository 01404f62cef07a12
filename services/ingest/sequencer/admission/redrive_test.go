package admission

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// redriven is a refused fact that a person had sent again.
func redriven(d *judge, refused *event.Event, number int64, change ...func(*event.Event)) *event.Event {
	e := *refused
	e.ID, e.CausationID, e.Deriver, e.DeriverNumber, e.Origin = "again-"+refused.ID, refused.ID, derivesDeadLetter, number, event.OriginRedrive
	id, body, err := event.Unframe(refused.Value)
	if err != nil {
		d.t.Fatal(err)
	}
	e.Fingerprint = event.FingerprintAvro(refused.Type, refused.Subject, refused.Source, id, body)
	for _, c := range change {
		c(&e)
	}
	return sequencertest.Signed(d.keys, &e)
}

func TestRedrive_AndTheProducersRepeatAreOne(t *testing.T) {
	suspend := func(d *judge, on bool) {
		typ := "tenant.resumed"
		if on {
			typ = "tenant.suspended"
		}
		if got := d.put(sequencertest.TenantEvent(d.keys, "a", typ+"-1", typ)); got.Outcome != Admitted {
			t.Fatalf("%+v", got)
		}
	}
	refusal := func() (*judge, *event.Event) {
		d := newJudge(t).tenant("a")
		suspend(d, true)
		e := sequencertest.Lead("a", "1")
		if got := d.put(e); got.Code != event.CodeTenantSuspended {
			t.Fatalf("%+v", got)
		}
		return d, e
	}

	d, e := refusal()
	if got := d.put(redriven(d, e, 1)); got.Code != event.CodeTenantSuspended {
		t.Errorf("a suspended tenant is open to what comes again: %+v", got)
	}
	suspend(d, false)
	got := d.put(redriven(d, e, 2))
	if got.Outcome != Admitted || got.Recorded.Origin != event.OriginRedrive || got.Recorded.CausationID != "1" {
		t.Fatalf("it is not admitted: %+v", got)
	}
	if got := d.put(redriven(d, e, 2)); got.Outcome != duplicate {
		t.Errorf("its outbox sends it twice: %+v", got)
	}
	if again := d.put(e); again.Outcome != duplicate || again.of != got.Recorded.Sequence {
		t.Errorf("the producer repeats it: %+v, want a duplicate of %d", again, got.Recorded.Sequence)
	}

	d, e = refusal()
	suspend(d, false)
	first := d.put(e)
	if first.Outcome != Admitted {
		t.Fatalf("%+v", first)
	}
	late := d.put(redriven(d, e, 1))
	if late.Code != event.CodeConflict || !strings.Contains(late.Detail, "its producer sent it again") {
		t.Errorf("the producer was first: %+v", late)
	}
	if d.s.Tenants["a"].Derivers[derivesDeadLetter] != 1 {
		t.Error("the number is not used up: the outbox stands still")
	}
}

// No producer sent anything again: an operator who reads that would look for the data where it is not.
func TestRedrive_OfAConflictSaysThatItsIDIsAnothersAndWhatToDo(t *testing.T) {
	d := newJudge(t).tenant("a")
	first := d.put(sequencertest.Made("a", "1", "lead.created", map[string]any{"lead_id": "1"}))
	other := sequencertest.Made("a", "1", "lead.created", map[string]any{"lead_id": "2"})
	if got := d.put(other); got.Code != event.CodeConflict {
		t.Fatalf("%+v", got)
	}
	got := d.put(redriven(d, other, 1))
	for _, want := range []string{fmt.Sprintf("are those of sequence %d:", first.Recorded.Sequence), "another event had them first", "under an id of its own"} {
		if got.Code != event.CodeConflict || !strings.Contains(got.Detail, want) {
			t.Errorf("%+v does not say %q", got, want)
		}
	}
}

func TestRedrive_IsNoWayIntoReservedTypes(t *testing.T) {
	d := newJudge(t).tenant("a")
	forged := sequencertest.Made("a", "1", "tenant.suspended", map[string]any{})
	if got := d.put(forged); got.Code != event.CodeReservedType {
		t.Fatalf("%+v", got)
	}
	if got := d.put(redriven(d, forged, 1)); got.Code != event.CodeReservedType {
		t.Errorf("what an outsider may not say is said for him: %+v", got)
	}
	if d.s.Tenants["a"].Status != StatusActive {
		t.Error("the tenant is suspended")
	}
}
