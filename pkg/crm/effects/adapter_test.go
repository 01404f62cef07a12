package effects

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func TestAdapter_CarriesOutOneSubjectInOrder(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, tag, note := r.upsert("l1"), r.tag("l1", "Hot"), r.note("l1", "hello")
	r.apply(up, tag, note)
	r.fault(standin.Fault{Kind: "status", Status: 500, Path: "/contacts/upsert"}) // the first try fails; the others must wait for it
	r.run(r.worker())
	last := r.waitStatus(note.ID, crm.Done)
	c := r.crm.Contacts("loc-acme")
	if len(c) != 1 || len(c[0].Tags) != 1 || c[0].Tags[0] != "hot" || len(c[0].Notes) != 1 || c[0].Notes[0].ID != last.RemoteID {
		t.Fatalf("%+v", c)
	}
	reqs := r.writes()
	if len(reqs) != 4 || reqs[0].Path != "/contacts/upsert" || reqs[1].Path != "/contacts/upsert" || reqs[3].Path != "/contacts/"+c[0].ID+"/notes" {
		t.Fatalf("%+v", reqs)
	}
	box := r.outbox()
	for _, e := range []string{up.ID, tag.ID, note.ID} {
		if !box[outcomeID(gohighlevel.Name, tenant, e, 0)] {
			t.Fatalf("no outcome of %s in the outbox", e)
		}
	}
	if len(box) != 3 {
		t.Fatalf("%d outcomes", len(box))
	}
}

func TestAdapter_SendsNothingThatAnswersHistory(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	var silent []string
	for i, origin := range []event.Origin{event.OriginImport, event.OriginBackfill, event.OriginEcho} {
		lead := fmt.Sprint("old", i)
		for _, e := range []event.Recorded{r.upsert(lead), r.tag(lead, "Hot"), r.note(lead, "hello")} {
			e.Origin = origin
			r.apply(e)
			silent = append(silent, e.ID)
		}
	}
	again := r.upsert("again") // a person had this one sent again
	again.Origin = event.OriginRedrive
	live := r.upsert("live")
	r.apply(again, live)
	r.run(r.worker())
	r.waitStatus(again.ID, crm.Done)
	r.waitStatus(live.ID, crm.Done)
	for _, id := range silent {
		if e := r.waitStatus(id, crm.Recorded); e.Code != crm.CodeOrigin || e.Attempts != 0 {
			t.Errorf("%s: %+v", id, e)
		}
	}
	for _, id := range silent { // not even by a person's decision
		r.resolve(id, "resend")
		if e := r.waitStatus(id, crm.Recorded); e.Resolutions != 0 {
			t.Errorf("sent by a decision: %+v", e)
		}
	}
	if reqs := r.writes(); len(reqs) != 2 {
		t.Errorf("%d requests: %+v", len(reqs), reqs)
	}
}

func TestAdapter_RepeatsAnUpsertWhoseAnswerWasLost(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("l1")
	r.apply(up)
	r.fault(standin.Fault{Kind: "close", Apply: true, Path: "/contacts/upsert"})
	r.run(r.worker())
	e := r.waitStatus(up.ID, crm.Done)
	if _, applied := r.sent("POST", "/contacts/upsert"); applied != 2 || len(r.crm.Contacts("loc-acme")) != 1 || e.Attempts != 2 {
		t.Fatalf("applied %d, attempts %d", applied, e.Attempts)
	}
}

func TestAdapter_NeverRepeatsANoteWhoseAnswerWasLost(t *testing.T) {
	for name, f := range map[string]standin.Fault{
		"connection closed after the effect":  {Kind: "close", Apply: true},
		"connection closed before the effect": {Kind: "close"},
		"answer after the time-out":           {Kind: "delay", Apply: true, DelayMS: 3000},
		"effect after the time-out":           {Kind: "delay", DelayMS: 1500},
		"500 after the effect":                {Kind: "status", Status: 500, Apply: true},
		"422 after the effect":                {Kind: "status", Status: 422, Apply: true, Body: `{"message":["no"]}`},
		"html with 200":                       {Kind: "html", Status: 200, Apply: true},
		"html with 502":                       {Kind: "html", Apply: true},
		"empty 200":                           {Kind: "empty", Apply: true},
		"huge":                                {Kind: "huge", Bytes: 64 << 20, Apply: true},
		"slow drip":                           {Kind: "drip", DelayMS: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.connect(tenant, "send")
			up, note, tag := r.upsert("l1"), r.note("l1", "hello"), r.tag("l1", "after")
			f.Path = "/contacts/*/notes"
			r.fault(f)
			r.apply(up, note, tag)
			stop := r.run(r.worker())
			r.waitStatus(note.ID, crm.Unknown)
			r.waitStatus(tag.ID, crm.Done) // an unknown effect does not block its subject
			stop()
			r.run(r.worker()) // nor does a restart send it
			later := r.tag("l1", "later")
			r.apply(later)
			r.waitStatus(later.ID, crm.Done)
			// The stand-in logs a request when it has finished it, which may be after we gave up.
			r.waitFor("the request in the stand-in's log", func() bool { n, _ := r.sent("POST", "/notes"); return n > 0 })
			if n, applied := r.sent("POST", "/notes"); n != 1 || applied > 1 {
				t.Fatalf("%d requests, %d applied", n, applied)
			}
			if r.outbox()[outcomeID(gohighlevel.Name, tenant, note.ID, 0)] {
				t.Fatal("an unknown effect has an outcome event")
			}
		})
	}
}

func TestAdapter_FollowsNoRedirect(t *testing.T) {
	var hits atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer inside.Close()
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("l1")
	r.apply(up)
	r.fault(standin.Fault{Kind: "redirect", To: inside.URL + "/latest/meta-data", Path: "/contacts/upsert"})
	r.run(r.worker())
	if e := r.waitStatus(up.ID, crm.Failed); e.Code != crm.CodeRedirected || hits.Load() != 0 {
		t.Fatalf("%+v, %d hits", e, hits.Load())
	}
}

func TestAdapter_RecordsACommandOnceHoweverOftenItIsDelivered(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, note := r.upsert("l1"), r.note("l1", "hello")
	r.apply(up, note, up, note)
	r.run(r.worker())
	r.waitStatus(note.ID, crm.Done)
	r.apply(note, note)
	if e := r.get(note.ID); e.Status != crm.Done || e.Attempts != 1 {
		t.Fatalf("%+v", e)
	}
	if n, _ := r.sent("POST", "/notes"); n != 1 {
		t.Fatalf("%d notes were sent", n)
	}
}

func TestAdapter_ModesKeepCommandsFromBeingSent(t *testing.T) {
	r := newRig(t)
	early := r.upsert("l0")
	r.apply(early) // no CRM is connected yet
	r.connect(tenant, "record")
	recorded := r.upsert("l1")
	r.apply(recorded)
	mode := func(kind, mode string) {
		r.apply(r.event(tenant, "tenant.effects_mode_set", "tenant/"+tenant, map[string]any{"kind": kind, "mode": mode}))
	}
	mode("*", "send")
	mode("crm.note.add", "off")
	up, note := r.upsert("l2"), r.note("l2", "hello")
	r.apply(up, note)
	pending := r.upsert("l3")
	r.apply(pending)
	r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)
	r.waitStatus(pending.ID, crm.Done)
	if r.get(early.ID).Status != crm.Off || r.get(recorded.ID).Status != crm.Recorded || r.get(note.ID).Status != crm.Off {
		t.Fatal("a mode was not kept")
	}
	if reqs := r.writes(); len(reqs) != 2 {
		t.Fatalf("%d requests", len(reqs))
	}
	r.fault(standin.Fault{Kind: "status", Status: 503, Count: -1, Path: "/contacts/upsert"})
	stuck := r.upsert("l4")
	r.apply(stuck)
	r.waitFor("a failed try", func() bool { return r.get(stuck.ID).Attempts > 0 })
	mode("*", "record") // the kill switch holds also for what is pending
	r.waitStatus(stuck.ID, crm.Recorded)
}

func TestAdapter_SuspendedTenantsWait(t *testing.T) {
	r := newRig(t)
	r.apply(r.event(tenant, "tenant.suspended", "tenant/"+tenant, map[string]any{}))
	r.connect(tenant, "send") // signed, so it is admitted all the same
	up := r.upsert("l1")
	r.apply(up)
	w := r.worker()
	if err := w.pass(context.Background(), context.Background()); err != nil {
		t.Fatal(err)
	}
	w.flying.Wait()
	if r.get(up.ID).Attempts != 0 {
		t.Fatal("sent for a suspended tenant")
	}
	r.apply(r.event(tenant, "tenant.resumed", "tenant/"+tenant, map[string]any{}))
	r.run(w)
	r.waitStatus(up.ID, crm.Done)
}

func TestAdapter_ExpiredAndImpossibleCommandsFailWithoutARequest(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	late := r.event(tenant, "crm.contact.upsert.requested", "lead/l1", map[string]any{"lead_id": "l1", "email": "a@b.co", "not_after": time.Now().Add(-time.Minute).UTC().Truncate(time.Second)})
	nobody := r.note("l2", "hello")
	empty := r.event(tenant, "crm.contact.upsert.requested", "lead/l3", map[string]any{"lead_id": "l3"})
	r.apply(late, nobody, empty)
	r.run(r.worker())
	for id, code := range map[string]string{late.ID: crm.CodeExpired, nobody.ID: crm.CodeContactUnknown, empty.ID: crm.CodeContactUnknown} {
		if e := r.waitStatus(id, crm.Failed); e.Code != code || !r.outbox()[outcomeID(gohighlevel.Name, tenant, id, 0)] {
			t.Fatalf("%s: %+v", id, e)
		}
	}
	if reqs := r.crm.Requests(0, ""); len(reqs) != 0 {
		t.Fatalf("%+v", reqs)
	}
}

func TestAdapter_WaitsOutAWaveOf429(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, note := r.upsert("l1"), r.note("l1", "hello")
	r.apply(up, note)
	r.fault(standin.Fault{Kind: "status", Status: 429, RetryAfter: "1", Count: 1, Path: "/contacts/upsert"})
	r.fault(standin.Fault{Kind: "status", Status: 429, RetryAfter: "0", Count: 1, Path: "/contacts/*/notes"})
	r.run(r.worker())
	r.waitStatus(note.ID, crm.Done)
	if n, applied := r.sent("POST", "/notes"); n != 2 || applied != 1 {
		t.Fatalf("%d requests, %d applied", n, applied)
	}
}

func TestAdapter_OneTenantsTroubleDoesNotStopAnother(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.connect("zeta", "send")
	r.fault(standin.Fault{Kind: "status", Status: 503, Count: -1, Location: "loc-acme"})
	for _, l := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		r.apply(r.upsert(l))
	}
	r.apply(r.event("zeta", "crm.contact.upsert.requested", "lead/z", map[string]any{"lead_id": "z", "email": "z@example.com"}))
	w := r.worker()
	r.run(w)
	r.waitFor("zeta's contact", func() bool { return len(r.crm.Contacts("loc-zeta")) == 1 })
	r.waitFor("acme's breaker", func() bool { _, _, open := w.lowest(); return open == 1 })
}

// A slow answer is no failure, so no breaker helps: what helps is that its tenant can't have all slots.
func TestAdapter_ACRMThatHangsKeepsNoOtherTenantWaiting(t *testing.T) {
	r := newRig(t)
	r.cfg.Timeout = time.Minute // no request of acme ends before the test does
	r.connect(tenant, "send")
	r.connect("zeta", "send")
	r.fault(standin.Fault{Kind: "delay", DelayMS: 60_000, Count: -1, Location: "loc-acme"})
	for i := range 2 * r.cfg.Workers {
		r.apply(r.upsert(fmt.Sprint(i)))
	}
	w := r.worker()
	var acme atomic.Int32
	w.beforeSend = func(e ledger.Effect) {
		if e.TenantID == tenant {
			acme.Add(1)
		}
	}
	r.run(w)
	r.waitFor("acme's share of the slots to be full", func() bool { return int(acme.Load()) >= r.cfg.Workers/4 })
	r.apply(r.event("zeta", "crm.contact.upsert.requested", "lead/z", map[string]any{"lead_id": "z", "email": "z@example.com"}))
	r.waitFor("zeta's contact", func() bool { return len(r.crm.Contacts("loc-zeta")) == 1 })
	if n := int(acme.Load()); n != r.cfg.Workers/4 {
		t.Errorf("%d requests of one tenant at once, want a quarter of %d", n, r.cfg.Workers)
	}
}

func TestShareOf_LeavesRoomForWhoHoldsNone(t *testing.T) {
	for _, c := range []struct{ all, free, holds, want int }{
		{16, 16, 0, 4}, {16, 16, 3, 1}, {16, 16, 4, 0}, {16, 3, 0, 1}, {16, 3, 1, 1}, {16, 2, 1, 0}, {16, 2, 0, 1}, {16, 1, 0, 1}, {16, 0, 0, 0},
		{1, 1, 0, 1}, {1, 0, 1, 0}, {2, 1, 1, 0}, {256, 256, 0, 64},
	} {
		if got := shareOf(c.all, c.free, c.holds); got != c.want {
			t.Errorf("shareOf(%d, %d, %d) = %d, want %d", c.all, c.free, c.holds, got, c.want)
		}
	}
}

func TestAdapter_WaitsForAMissingTokenAndRefusesAForeignURL(t *testing.T) {
	r := newRig(t)
	r.apply(r.event(tenant, "tenant.crm_connected", "tenant/acme", map[string]any{"adapter": "gohighlevel", "location": "loc-acme",
		"token": "secret://ghl-acme@2", "mode": "send"}))
	up := r.upsert("l1")
	r.apply(up)
	stop := r.run(r.worker())
	r.waitFor("the reason", func() bool { return r.get(up.ID).Code == "account" })
	stop()
	if err := os.WriteFile(filepath.Join(r.secrets, "ghl-acme@2"), []byte("tok-acme"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET next_attempt_at = now()`); err != nil {
		t.Fatal(err)
	}
	r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)
	r.apply(r.event("zeta", "tenant.crm_connected", "tenant/zeta", map[string]any{"adapter": "gohighlevel", "location": "loc-zeta",
		"token": "secret://ghl-zeta@1", "mode": "send", "base_url": "http://169.254.169.254/"}))
	bad := r.event("zeta", "crm.contact.upsert.requested", "lead/z", map[string]any{"lead_id": "z", "email": "z@example.com"})
	r.apply(bad)
	r.waitFor("the refusal", func() bool {
		e, _, _ := book.Get(context.Background(), r.pool, "zeta", bad.ID, false)
		return e.Code == "account" && e.Attempts == 0
	})
}

func TestAdapter_AChangedAddressMakesNoSecondContact(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	change := func(lead, email string) event.Recorded {
		return r.event(tenant, "crm.contact.upsert.requested", "lead/"+lead, map[string]any{"lead_id": lead, "email": email, "company": "Initech"})
	}
	first, other := r.upsert("l1"), r.upsert("l2")
	r.apply(first, other)
	r.run(r.worker())
	id := r.waitStatus(first.ID, crm.Done).RemoteID
	r.waitStatus(other.ID, crm.Done)

	moved := change("l1", "new@example.com")
	r.apply(moved)
	if e := r.waitStatus(moved.ID, crm.Done); e.RemoteID != id || e.Kind != crm.KindUpsert || e.Class != crm.Repeatable {
		t.Fatalf("%+v, want contact %s", e, id)
	}
	if n, _ := r.sent("PUT", "/contacts/"+id); n != 1 {
		t.Fatalf("%d updates by id", n)
	}
	emails := func() map[string]string {
		out := map[string]string{}
		for _, c := range r.crm.Contacts("loc-acme") {
			out[c.ID] = c.Fields["email"]
		}
		return out
	}
	if got := emails(); len(got) != 2 || got[id] != "new@example.com" {
		t.Fatalf("contacts %v, want two, and %s with the new address", got, id)
	}

	// An address that is another contact's leaves both as they are.
	taken := change("l1", "l2@example.com")
	r.apply(taken)
	if e := r.waitStatus(taken.ID, crm.Failed); e.Code != crm.CodeContactTaken {
		t.Fatalf("%+v", e)
	}
	if got := emails(); len(got) != 2 || got[id] != "new@example.com" {
		t.Fatalf("contacts %v", got)
	}
}
