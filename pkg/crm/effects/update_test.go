package effects

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func TestUpdate_EmptyClearsAndAbsentLeavesAlone(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	r.run(r.worker())
	full := r.change("l1", map[string]any{"email": "pat@example.com", "phone": "+15550100001", "first_name": "Pat", "last_name": "Smith"})
	r.apply(full)
	r.waitStatus(full.ID, crm.Done)
	for _, c := range []struct {
		change map[string]any
		want   map[string]string
	}{
		{map[string]any{"last_name": "Smith-Jones"}, map[string]string{"email": "pat@example.com", "phone": "+15550100001", "firstName": "Pat", "lastName": "Smith-Jones"}},
		{map[string]any{"email": "pat@example.com", "phone": nil, "first_name": nil}, map[string]string{"email": "pat@example.com", "phone": "+15550100001", "firstName": "Pat", "lastName": "Smith-Jones"}},
		{map[string]any{"email": "pat@example.com", "phone": ""}, map[string]string{"email": "pat@example.com", "phone": "", "firstName": "Pat", "lastName": "Smith-Jones"}},
		{map[string]any{"phone": "", "last_name": " "}, map[string]string{"email": "pat@example.com", "phone": "", "firstName": "Pat", "lastName": ""}},
		{map[string]any{"phone": "+15550100002"}, map[string]string{"email": "pat@example.com", "phone": "+15550100002", "firstName": "Pat", "lastName": ""}},
	} {
		up := r.change("l1", c.change)
		r.apply(up)
		r.waitStatus(up.ID, crm.Done)
		got := r.crm.Contacts("loc-acme")[0].Fields
		for k, v := range c.want {
			if got[k] != v {
				t.Errorf("after %v: %s is %q, want %q", c.change, k, got[k], v)
			}
		}
	}
}

func TestUpdate_OfALeadThatTheCRMDoesNotKnowSaysSo(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	up := r.change("l1", map[string]any{"last_name": "Smith-Jones"})
	r.apply(up)
	r.run(r.worker())
	if e := r.waitStatus(up.ID, crm.Failed); e.Code != crm.CodeContactUnknown || !strings.Contains(e.LastError, "e-mail address or a phone number") {
		t.Fatalf("%+v", e)
	}
	if n := len(r.crm.Requests(0, "")); n != 0 {
		t.Fatalf("%d requests", n)
	}
}

func TestUpdate_ThatChangesNothingKnownIsNotSent(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	r.run(r.worker())
	first := r.change("l1", map[string]any{"email": "Loop@Bücher.example", "phone": "(555) 010-2030", "first_name": " Lou", "source": "web"})
	r.apply(first)
	e := r.waitStatus(first.ID, crm.Done)
	if d := r.attemptDetail(first.ID); d != "" {
		t.Errorf("normalisation is told as a field that was dropped: %q", d)
	}
	before := len(r.crm.Requests(0, ""))
	f := r.crm.Contacts("loc-acme")[0].Fields
	if f["phone"] != "+15550102030" || f["email"] != "loop@xn--bcher-kva.example" {
		t.Fatalf("the stand-in does not normalise: %v", f)
	}
	for range 3 { // a bridge feeds back what the CRM holds
		echo := r.change("l1", map[string]any{"email": f["email"], "phone": f["phone"], "first_name": "Lou"})
		r.apply(echo)
		got := r.waitStatus(echo.ID, crm.Done)
		if got.Code != crm.CodeUnchanged || got.RemoteID != e.RemoteID || got.Attempts != 0 || !r.outbox()[outcomeID(gohighlevel.Name, tenant, echo.ID, 0)] {
			t.Fatalf("%+v", got)
		}
	}
	if n := len(r.crm.Requests(0, "")); n != before {
		t.Fatalf("%d requests for nothing", n-before)
	}
	// One field that changed goes alone: what a person changed elsewhere stays.
	r.person("PUT", "/contacts/"+e.RemoteID, `{"firstName":"Louise"}`)
	more := r.change("l1", map[string]any{"email": f["email"], "first_name": "Lou", "last_name": "Reed"})
	r.apply(more)
	r.waitStatus(more.ID, crm.Done)
	if f := r.crm.Contacts("loc-acme")[0].Fields; f["firstName"] != "Louise" || f["lastName"] != "Reed" {
		t.Fatalf("%v", f)
	}
}

// attemptDetail is what the last attempt of an effect noted.
func (r *rig) attemptDetail(id string) (detail string) {
	r.t.Helper()
	err := r.pool.QueryRow(context.Background(), `SELECT detail FROM neuronx.effect_attempts WHERE tenant_id = $1 AND effect_id = $2 ORDER BY attempt DESC LIMIT 1`, tenant, id).Scan(&detail)
	if err != nil {
		r.t.Fatal(err)
	}
	return detail
}

// A write whose answer is lost may or may not have happened: what the contact holds is not known then, and the old value is sent again.
func TestUpdate_AfterALostOneKnowsNothing(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	up := r.change("l1", map[string]any{"email": "l1@example.com", "first_name": "Ann"})
	r.apply(up)
	stop := r.run(r.worker())
	id := r.waitStatus(up.ID, crm.Done).RemoteID
	stop()
	lost := r.change("l1", map[string]any{"first_name": "Bea"})
	r.apply(lost)
	dead := r.worker()
	jobs, _, err := dead.begin(context.Background(), tenant, 1, newAccount(gohighlevel.Adapter{}, time.Now()))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	dead.send(context.Background(), nil, &jobs[0]) // and the process is killed before it notes the answer
	r.endLeases()
	if _, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET not_after = now() WHERE effect_id = $1`, lost.ID); err != nil {
		t.Fatal(err)
	}
	r.run(r.worker())
	r.waitStatus(lost.ID, crm.Failed) // expired, though it was carried out
	again := r.change("l1", map[string]any{"first_name": "Ann"})
	r.apply(again)
	if e := r.waitStatus(again.ID, crm.Done); e.Code == crm.CodeUnchanged || e.RemoteID != id {
		t.Fatalf("%+v", e)
	}
	if f := r.crm.Contacts("loc-acme")[0].Fields; f["firstName"] != "Ann" {
		t.Fatalf("%v", f)
	}
}

// The process dies after each request of a lead's first upsert and of a note whose contact was merged: no second contact, no second note.
func TestContact_AKillBetweenLookAndWriteMakesNothingTwice(t *testing.T) {
	for kill := 1; kill <= 3; kill++ {
		r := newRigWithLag(t, -1)
		r.connect(tenant, "send")
		up := r.change("l1", map[string]any{"email": "l1@example.com", "phone": office})
		r.apply(up)
		r.killAfter(t, kill)
		r.run(r.worker())
		e := r.waitStatus(up.ID, crm.Done)
		if c := r.crm.Contacts("loc-acme"); len(c) != 1 || c[0].ID != e.RemoteID {
			t.Fatalf("killed after %d requests: %+v", kill, c)
		}
	}
	for kill := 1; kill <= 4; kill++ {
		r := newRigWithLag(t, -1)
		r.connect(tenant, "send")
		r.upserted()
		old := r.crm.Contacts("loc-acme")[0].ID
		r.person("POST", "/contacts/", `{"locationId":"loc-acme","email":"other@example.com"}`)
		if !r.crm.Merge("loc-acme", old, r.byEmail("other@example.com").ID) {
			t.Fatal("not merged")
		}
		r.person("PUT", "/contacts/"+r.byEmail("other@example.com").ID, `{"email":"l1@example.com"}`)
		note := r.note("l1", "hello")
		r.apply(note)
		r.killAfter(t, kill)
		r.run(r.worker())
		r.waitFor("the note's end", func() bool { s := r.get(note.ID).Status; return s == crm.Unknown || s == crm.Done })
		if _, applied := r.sent("POST", "/notes"); applied > 1 {
			t.Fatalf("killed after %d requests: %d notes", kill, applied)
		}
	}
}

// killAfter begins an attempt and abandons it after so many requests, as a kill does.
func (r *rig) killAfter(t *testing.T, requests int) {
	t.Helper()
	w := r.worker()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var n atomic.Int64
	w.afterRequest = func() {
		if n.Add(1) == int64(requests) {
			cancel()
		}
	}
	jobs, _, err := w.begin(ctx, tenant, 1, newAccount(gohighlevel.Adapter{}, time.Now()))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	w.send(ctx, nil, &jobs[0])
	r.endLeases()
}

// endLeases lets the leases of attempts under way be over, as time does.
func (r *rig) endLeases() {
	r.t.Helper()
	if _, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET lease_until = now() - interval '1 s' WHERE status = 'sending'`); err != nil {
		r.t.Fatal(err)
	}
}

const noScope = `{"statusCode":401,"message":"The token is not authorized for this scope."}`

func TestScope_ARefusedOneHoldsUpThatKindAloneUntilANewToken(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	r.fault(standin.Fault{Kind: "status", Status: 401, Body: noScope, Count: -1, Path: "/contacts/*/notes"})
	up, note := r.upsert("k0"), r.note("k0", "hello")
	r.apply(up, note)
	r.run(r.worker())
	r.waitFor("the refusal", func() bool { return r.get(note.ID).Code == crm.CodeScope })
	var others []event.Recorded
	for _, lead := range []string{"k0", "k1", "k2"} {
		others = append(others, r.change(lead, map[string]any{"email": lead + "@example.com", "last_name": "Kay"}), r.tag(lead, "hot"))
	}
	r.apply(others...)
	for _, e := range others {
		r.waitStatus(e.ID, crm.Done)
	}
	second := r.note("k1", "hello")
	r.apply(second)
	r.waitFor("the second note to wait", func() bool { return r.get(second.ID).Code == crm.CodeScope })
	if n, _ := r.sent("POST", "/notes"); n != 1 || r.get(second.ID).Attempts != 0 || !strings.Contains(r.get(second.ID).LastError, "note_add") {
		t.Fatalf("%d notes were tried; %+v", n, r.get(second.ID))
	}
	r.crm.ClearFaults()
	r.connect(tenant, "send")
	r.waitStatus(note.ID, crm.Done)
	r.waitStatus(second.ID, crm.Done)
}

func TestToken_ANewConnectionEndsThePauseOfARefusedOne(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	r.fault(standin.Fault{Kind: "status", Status: 401, Body: `{"message":"Invalid JWT"}`, Count: 1})
	up := r.upsert("l1")
	r.apply(up)
	r.run(r.worker())
	r.waitFor("the refusal", func() bool { return r.get(up.ID).Code == crm.CodeUnauthorized })
	later := r.upsert("l2")
	r.apply(later)
	r.connect(tenant, "send")
	r.waitStatus(up.ID, crm.Done)
	r.waitStatus(later.ID, crm.Done)
}

func TestAccount_LeavesRoomForLookUps(t *testing.T) {
	now := time.Now()
	a := newAccount(gohighlevel.Adapter{}, now)
	all := a.room(now)
	a.take(2)
	a.owe(4) // two upserts without a known contact: three requests each
	if got := a.room(now); got != all-6 {
		t.Fatalf("room for %d of %d", got, all)
	}
	a.owe(-4)
	a.done(crm.End{}, &job{asked: "contact_upsert"}, now)
	a.done(crm.End{}, &job{asked: "contact_upsert"}, now)
	if got := a.room(now); got != all {
		t.Fatalf("room for %d of %d", got, all)
	}
}

func TestLedger_OldRequestsReadAsTheyWere(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "record")
	up := r.upsert("l1")
	r.apply(up)
	if _, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET request = '{"lead_id":"l1","email":"l1@example.com","first_name":"Ann"}'`); err != nil {
		t.Fatal(err)
	}
	e, found, err := book.Get(context.Background(), r.pool, tenant, up.ID, false)
	if err != nil || !found || e.Command.Email != "l1@example.com" || len(e.Command.Clear) != 0 {
		t.Fatalf("%+v %v", e.Command, err)
	}
}

// The lead has a row without a contact, as after a merge that went wrong. What its new contact was made to hold is known all the same.
func TestUpdate_WhatAContactWasMadeWithAgainIsKnown(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	fields := map[string]any{"email": "l1@example.com", "first_name": "Ann"}
	first, update := r.change("l1", fields), r.change("l1", map[string]any{"first_name": "Bea"})
	r.apply(first, update)
	r.run(r.worker())
	gone := r.waitStatus(update.ID, crm.Done).RemoteID
	r.person("DELETE", "/contacts/"+gone, "")
	if err := book.Unlink(t.Context(), r.pool, tenant, "loc-acme", "l1", gone); err != nil {
		t.Fatal(err)
	}
	second := r.change("l1", fields)
	r.apply(second)
	made := r.waitStatus(second.ID, crm.Done)
	if made.RemoteID == "" || made.RemoteID == gone {
		t.Fatalf("%+v", made)
	}
	third := r.change("l1", fields)
	r.apply(third)
	if e := r.waitStatus(third.ID, crm.Done); e.Code != crm.CodeUnchanged || e.Attempts != 0 {
		t.Errorf("sent once more: %+v", e)
	}
}

// While a contact is being made, the log brings its link and another write begins. What the first one wrote is not known to be there still.
func TestUpdate_KnowsNothingOfAContactThatAnotherWriteWasBegunFor(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	up := r.change("l1", map[string]any{"email": "l1@example.com", "first_name": "Ann"})
	r.apply(up)
	w := r.worker()
	jobs, _, err := w.begin(t.Context(), tenant, 1, newAccount(gohighlevel.Adapter{}, time.Now()))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	end := w.end(&jobs[0], w.send(t.Context(), nil, &jobs[0]))
	if end.Status != crm.Done {
		t.Fatalf("%+v", end)
	}
	if _, err := book.SaveLink(t.Context(), r.pool, tenant, "loc-acme", "l1", end.RemoteID); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Forget(t.Context(), r.pool, tenant, "loc-acme", "l1", "firstName"); err != nil {
		t.Fatal(err)
	}
	if applied, err := w.write(t.Context(), &jobs[0], &end); err != nil || !applied {
		t.Fatalf("%v, %v", applied, err)
	}
	links, err := book.Links(t.Context(), r.pool, tenant, "loc-acme", []string{"l1"})
	if err != nil || links["l1"].Contact != end.RemoteID || len(links["l1"].Known) != 0 {
		t.Errorf("%+v, %v; want the contact, of which nothing is known", links["l1"], err)
	}
}
