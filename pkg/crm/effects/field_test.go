package effects

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) setField(lead, field, value string) event.Recorded {
	return r.event(tenant, "crm.contact.set_field.requested", "lead/"+lead, map[string]any{"lead_id": lead, "field": field, "value": value})
}

func (r *rig) dnd(lead string, channels ...any) event.Recorded {
	return r.event(tenant, "crm.contact.dnd.requested", "lead/"+lead, map[string]any{"lead_id": lead, "channels": channels})
}

func TestField_IsWrittenByItsName(t *testing.T) {
	r := newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", CustomFields: []standin.CustomField{{ID: "f1", Name: "Budget", DataType: "TEXT"}, {ID: "f2", Name: "Twice", DataType: "TEXT"}, {ID: "f3", Name: "twice", DataType: "TEXT"},
		{ID: "f4", Name: "Deal size", DataType: "TEXT", Model: "opportunity"}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	up, first, second, emptied := r.upsert("l1"), r.setField("l1", " budget", "10"), r.setField("l1", "contact.budget", "20"), r.setField("l1", "f2", "")
	twice, none, other := r.setField("l1", "Twice", "x"), r.setField("l1", "Colour", "x"), r.setField("l1", "Deal size", "x")
	r.apply(up, first, second, emptied, twice, none, other)
	r.run(r.worker())
	for _, e := range []event.Recorded{first, second, emptied} {
		r.waitStatus(e.ID, crm.Done)
	}
	for e, code := range map[*event.Recorded]string{&twice: crm.CodeNameAmbiguous, &none: crm.CodeNameUnknown, &other: crm.CodeNameUnknown} {
		if got := r.waitStatus(e.ID, crm.Failed); got.Code != code {
			t.Errorf("%s: %s (%s), want %s", e.ID, got.Code, got.LastError, code)
		}
	}
	var values []struct{ ID, Value string }
	if err := json.Unmarshal(r.byEmail("l1@example.com").Custom, &values); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range values {
		got[v.ID] = v.Value
	}
	if got["f1"] != "20" || got["f2"] != "" {
		t.Errorf("%v", got)
	}
}

// A field that was deleted since it was listed is dropped by the CRM without a word.
func TestField_ThatTheCRMDropsIsNotDone(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("l1")
	r.apply(up)
	r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)
	if err := book.SaveNames(t.Context(), r.pool, tenant, "loc-acme", crm.ObjectField, map[string][]string{"budget": {"gone"}}); err != nil {
		t.Fatal(err)
	}
	lost := r.setField("l1", "Budget", "10")
	r.apply(lost)
	if e := r.waitStatus(lost.ID, crm.Failed); e.Code != crm.CodeRejected {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
}

func TestDND_ClosesChannelsAndNoMessageGetsThrough(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, other := r.reachable("l1", "+15550102030"), r.reachable("l2", "+15550102031")
	sms, odd, all := r.dnd("l1", "sms", "call"), r.dnd("l1", "sms", "SMS"), r.dnd("l2", "*")
	refused, through, none := r.text("l1", "sms", "Hi"), r.text("l1", "email", "Hi"), r.text("l2", "email", "Hi")
	r.apply(up, other, sms, odd, all, refused, through, none)
	r.run(r.worker())
	r.waitStatus(sms.ID, crm.Done)
	r.waitStatus(all.ID, crm.Done)
	if e := r.waitStatus(odd.ID, crm.Failed); e.Code != crm.CodeInvalidCommand {
		t.Errorf("a channel in another spelling: %s", e.Code)
	}
	for _, e := range []event.Recorded{refused, none} {
		if got := r.waitStatus(e.ID, crm.Failed); got.Code != crm.CodeDoNotDisturb {
			t.Errorf("%s: %s", e.ID, got.Code)
		}
	}
	r.waitStatus(through.ID, crm.Done)
	if c := r.byEmail("l2@example.com"); !c.DND || c.DNDSettings["WhatsApp"].Status != "active" {
		t.Errorf("%+v", c)
	}
	if _, sent := r.sent(http.MethodPost, "/conversations/messages"); sent != 1 {
		t.Errorf("%d messages were sent, want 1", sent)
	}
}
