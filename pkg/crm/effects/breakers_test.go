package effects

import (
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas/breakers"
)

func TestBreakers_StopNoLedger(t *testing.T) {
	r := newRig(t)
	for i, c := range breakers.Cases() {
		id := r.cat.byType[c.Type]
		body, err := r.cat.byID[id].EncodeMap(c.Data)
		if err != nil {
			continue // what no encoder writes is in no log
		}
		r.connect(tenant, "send")
		bad := r.note("1", "replaced")
		bad.Type, bad.Subject, bad.Value = c.Type, c.Subject, event.Frame(id, body)
		if err := r.tryApply(bad); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		r.connect(tenant, "send") // a case may have changed what is in force
		after := r.note("after", "case "+string(rune('a'+i)))
		r.apply(after)
		if e := r.get(after.ID); e.Status != crm.Pending {
			t.Errorf("%s: the note after it is %s", c.Name, e.Status)
		}
	}
}

func TestUnfitCommand_FailsWithItsReasonAndHoldsUpNothing(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	long := make([]byte, crm.MaxLeadID+1)
	for i := range long {
		long[i] = 'a'
	}
	bad := r.event(tenant, "crm.contact.upsert.requested", "", map[string]any{"lead_id": string(long), "email": "a@example.com"})
	good := r.upsert("2")
	r.apply(bad, good)
	r.run(r.worker())
	e := r.waitStatus(bad.ID, crm.Failed)
	if e.Code != crm.CodeInvalidCommand || e.LastError != "the lead id has 1025 bytes, more than 1024" {
		t.Errorf("it failed with %s: %s", e.Code, e.LastError)
	}
	r.waitStatus(good.ID, crm.Done)
	if n := len(r.outbox()); n != 2 {
		t.Errorf("%d outcomes are told, want 2", n)
	}
}
