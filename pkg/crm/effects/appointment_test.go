package effects

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

// calendared is a rig with a calendar whose slots are half hours of Berlin's working day, and a day to book.
func calendared(t *testing.T) (r *rig, at func(hour, minute int) time.Time) {
	t.Helper()
	r = newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Calendars: []standin.Calendar{{ID: "cal1", Name: "Demos", Zone: "Europe/Berlin", From: "09:00", To: "17:00", SlotMinutes: 30}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	y, m, d := r.now.AddDate(0, 0, 7).In(zone).Date()
	return r, func(hour, minute int) time.Time { return time.Date(y, m, d, hour, minute, 0, 0, zone).UTC() }
}

func (r *rig) book(lead, id string, at time.Time) event.Recorded {
	return r.event(tenant, "crm.appointment.book.requested", "lead/"+lead, map[string]any{"lead_id": lead, "appointment_id": id, "calendar": "demos", "starts_at": at, "title": "Demo"})
}

func (r *rig) move(lead, id string, at time.Time) event.Recorded {
	return r.event(tenant, "crm.appointment.move.requested", "lead/"+lead, map[string]any{"lead_id": lead, "appointment_id": id, "starts_at": at})
}

func (r *rig) cancel(lead, id string) event.Recorded {
	return r.event(tenant, "crm.appointment.cancel.requested", "lead/"+lead, map[string]any{"lead_id": lead, "appointment_id": id})
}

func (r *rig) appointments() []standin.Appointment {
	r.t.Helper()
	raw, err := r.crm.Objects("loc-acme", "appointment")
	if err != nil {
		r.t.Fatal(err)
	}
	out := make([]standin.Appointment, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &out[i]); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

func TestAppointment_IsBookedMovedAndCancelled(t *testing.T) {
	r, at := calendared(t)
	up, other := r.upsert("l1"), r.upsert("l2")
	book, taken, odd := r.book("l1", "a1", at(10, 0)), r.book("l2", "a2", at(10, 0)), r.book("l2", "a3", at(10, 10))
	r.apply(up, other, book)
	r.run(r.worker())
	made := r.waitStatus(book.ID, crm.Done)
	r.apply(taken, odd)
	for _, e := range []event.Recorded{taken, odd} {
		if got := r.waitStatus(e.ID, crm.Failed); got.Code != crm.CodeSlotTaken {
			t.Errorf("%s: %s (%s)", e.ID, got.Code, got.LastError)
		}
	}
	if got := r.appointments(); len(got) != 1 || got[0].ID != made.RemoteID || !got[0].Start.Equal(at(10, 0)) || got[0].Notify || got[0].Title != "Demo" {
		t.Fatalf("%+v", got)
	}
	move, same, unknown := r.move("l1", "a1", at(11, 30)), r.move("l1", "a1", at(11, 30)), r.move("l1", "a9", at(12, 0))
	r.apply(move, same, unknown)
	r.waitStatus(move.ID, crm.Done)
	r.waitStatus(same.ID, crm.Done)
	if e := r.waitStatus(unknown.ID, crm.Failed); e.Code != crm.CodeNoAppointment {
		t.Errorf("%s", e.Code)
	}
	if got := r.appointments(); len(got) != 1 || !got[0].Start.Equal(at(11, 30)) || got[0].Status != "confirmed" {
		t.Fatalf("%+v", got)
	}
	cancel, again, free := r.cancel("l1", "a1"), r.cancel("l1", "a1"), r.book("l2", "a4", at(11, 30))
	r.apply(cancel, again)
	r.waitStatus(cancel.ID, crm.Done)
	r.waitStatus(again.ID, crm.Done)
	r.apply(free)
	r.waitStatus(free.ID, crm.Done)
	if got := r.appointments(); len(got) != 2 || got[0].Status != "cancelled" || got[0].Notify {
		t.Errorf("%+v", got)
	}
}

// An appointment whose answer is lost is looked for by what its description says; it is never booked twice.
func TestAppointment_WhoseAnswerIsLostIsReadBack(t *testing.T) {
	r, at := calendared(t)
	up := r.upsert("l1")
	r.fault(standin.Fault{Kind: "close", Apply: true, Method: http.MethodPost, Path: "/calendars/events/appointments"})
	there := r.book("l1", "a1", at(10, 0))
	r.apply(up, there)
	r.run(r.worker())
	if e := r.waitStatus(there.ID, crm.Done); e.RemoteID == "" || e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	r.fault(standin.Fault{Kind: "close", Method: http.MethodPost, Path: "/calendars/events/appointments"})
	lost := r.book("l1", "a2", at(10, 30))
	r.apply(lost)
	if e := r.waitStatus(lost.ID, crm.Unknown); e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	if got := r.appointments(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
