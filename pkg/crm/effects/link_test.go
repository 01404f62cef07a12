package effects

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

// change is an upsert of some fields of a lead, with or without keys.
func (r *rig) change(lead string, fields map[string]any) event.Recorded {
	data := map[string]any{"lead_id": lead}
	for k, v := range fields {
		data[k] = v
	}
	return r.event(tenant, "crm.contact.upsert.requested", "lead/"+lead, data)
}

// person writes to the CRM as a person or another program does.
func (r *rig) person(method, path, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.crmURL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range map[string]string{"Authorization": "Bearer tok-acme", "Version": "2021-07-28", "Content-Type": "application/json"} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		r.t.Fatalf("%s %s: %s %s", method, path, res.Status, b)
	}
}

func (r *rig) byEmail(email string) *standin.Contact {
	for _, c := range r.crm.Contacts("loc-acme") {
		if c.Fields["email"] == email {
			return c
		}
	}
	return nil
}

// newRigWithLag makes a rig whose search lags behind writes; negative: not at all, 0: as usual.
func newRigWithLag(t *testing.T, lag time.Duration) *rig {
	t.Helper()
	r := newRigOver(t, standin.Config{SearchLag: lag})
	r.cfg.Timeout = 30 * time.Second // no lease of these tests is over by itself, however slow the machine
	return r
}

const office = "+15550109999"

func TestContact_ASharedPhoneTakesNobodysContact(t *testing.T) {
	for name, lag := range map[string]time.Duration{"search shows Ann": -1, "search does not show her yet": time.Hour} {
		for _, phone := range []string{office, "(555) 010-9999"} {
			if lag > 0 && phone != office {
				continue // waits until the search shows it
			}
			t.Run(name+" "+phone, func(t *testing.T) {
				r := newRigWithLag(t, lag)
				r.connect(tenant, "send")
				r.run(r.worker())
				ann := r.change("ANN", map[string]any{"email": "ann@firm.example", "phone": office, "first_name": "Ann"})
				r.apply(ann)
				hers := r.waitStatus(ann.ID, crm.Done).RemoteID
				if lag < 0 { // the look-up alone has to find her
					if _, err := r.pool.Exec(context.Background(), `DELETE FROM neuronx.crm_claims`); err != nil {
						t.Fatal(err)
					}
				}
				before := len(r.writes())
				bob, tag := r.change("BOB", map[string]any{"email": "bob@firm.example", "phone": phone, "first_name": "Bob"}), r.tag("BOB", "hot")
				r.apply(bob, tag)
				e := r.waitStatus(bob.ID, crm.Failed)
				if e.Code != crm.CodeContactTaken || !strings.Contains(e.LastError, hers) || !strings.Contains(e.LastError, "lead ANN") {
					t.Fatalf("%s %s", e.Code, e.LastError)
				}
				if e := r.waitStatus(tag.ID, crm.Failed); e.Code != crm.CodeContactUnknown {
					t.Fatalf("%+v", e)
				}
				if got := r.writes()[before:]; len(got) != 0 {
					t.Fatalf("something was written for Bob: %+v", got)
				}
				if c := r.crm.Contacts("loc-acme"); len(c) != 1 || c[0].Fields["firstName"] != "Ann" || c[0].Fields["email"] != "ann@firm.example" {
					t.Fatalf("%+v", c)
				}
				// Ann goes on as herself.
				again := r.change("ANN", map[string]any{"last_name": "Archer"})
				r.apply(again)
				if e := r.waitStatus(again.ID, crm.Done); e.RemoteID != hers {
					t.Fatalf("%+v", e)
				}
			})
		}
	}
}

func TestContact_TwoLeadsWithOneAddressAtOnceGetOneContactAtMost(t *testing.T) {
	r := newRigWithLag(t, time.Hour) // no look-up finds anything
	r.connect(tenant, "send")
	var all []event.Recorded
	for i := range 6 {
		all = append(all, r.change(fmt.Sprint("l", i), map[string]any{"email": "Info@Firm.example", "first_name": fmt.Sprint("P", i)}))
	}
	r.apply(all...)
	r.run(r.worker())
	done := 0
	for _, e := range all {
		r.waitFor("the end of "+e.ID, func() bool { s := r.get(e.ID).Status; return s == crm.Done || s == crm.Failed })
		got := r.get(e.ID)
		if got.Status == crm.Done {
			done++
		} else if got.Code != crm.CodeContactTaken || !strings.Contains(got.LastError, "lead l") {
			t.Errorf("%s %s", got.Code, got.LastError)
		}
	}
	if _, applied := r.sent("POST", "/contacts/upsert"); done != 1 || applied != 1 {
		t.Fatalf("%d done, %d upserts applied", done, applied)
	}
}

func TestContact_AddressAndNumberOfTwoContactsWriteNothing(t *testing.T) {
	r := newRigWithLag(t, -1)
	r.connect(tenant, "send")
	r.person("POST", "/contacts/", `{"locationId":"loc-acme","email":"a@firm.example"}`)
	r.person("POST", "/contacts/", `{"locationId":"loc-acme","phone":"`+office+`","firstName":"Desk"}`)
	before := len(r.writes())
	up := r.change("l1", map[string]any{"email": "a@firm.example", "phone": office, "first_name": "Ann"})
	r.apply(up)
	r.run(r.worker())
	e := r.waitStatus(up.ID, crm.Failed)
	if e.Code != crm.CodeContactSplit || len(r.writes()) != before {
		t.Fatalf("%+v, %d writes", e, len(r.writes())-before)
	}
	for _, c := range r.crm.Contacts("loc-acme") {
		if !strings.Contains(e.LastError, c.ID) {
			t.Errorf("%q does not name %s", e.LastError, c.ID)
		}
	}
}

func TestContact_ARefusalThatNamesAnotherContactLinksNothing(t *testing.T) {
	r := newRigWithLag(t, time.Hour)
	r.connect(tenant, "send")
	ann := r.upsert("ann")
	r.apply(ann)
	stop := r.run(r.worker())
	hers := r.waitStatus(ann.ID, crm.Done).RemoteID
	stop()
	r.fault(standin.Fault{Kind: "status", Status: 400, Count: -1, Path: "/contacts/upsert",
		Body: `{"statusCode":400,"message":"This location does not allow duplicated contacts.","meta":{"contactId":"` + hers + `","matchingField":"phone"}}`})
	bob := r.change("bob", map[string]any{"email": "bob@firm.example"})
	r.apply(bob)
	r.run(r.worker())
	e := r.waitStatus(bob.ID, crm.Failed)
	if e.Code != crm.CodeContactTaken || !strings.Contains(e.LastError, hers) || !strings.Contains(e.LastError, "lead ann") {
		t.Fatalf("%s %s", e.Code, e.LastError)
	}
	links, err := book.Links(context.Background(), r.pool, tenant, "loc-acme", []string{"ann", "bob"})
	if err != nil || links["bob"].Contact != "" || links["ann"].Contact != hers {
		t.Fatalf("%+v %v", links, err)
	}
}

func TestContact_AContactOfTheCRMIsUpdatedNotMadeTwice(t *testing.T) {
	r := newRigWithLag(t, -1)
	r.connect(tenant, "send")
	r.person("POST", "/contacts/", `{"locationId":"loc-acme","email":"ann@firm.example","phone":"`+office+`","lastName":"Archer"}`)
	want := r.byEmail("ann@firm.example").ID
	up := r.change("l1", map[string]any{"email": "Ann@Firm.example ", "phone": "", "first_name": "Ann"})
	r.apply(up)
	r.run(r.worker())
	e := r.waitStatus(up.ID, crm.Done)
	c := r.crm.Contacts("loc-acme")
	// An empty field of a form empties nothing of a contact that somebody else keeps.
	if len(c) != 1 || e.RemoteID != want || c[0].Fields["firstName"] != "Ann" || c[0].Fields["lastName"] != "Archer" || c[0].Fields["phone"] != office {
		t.Fatalf("%+v %+v", e, c)
	}
}

func TestContact_AMergedOneIsFoundAgainAndADeletedOneStaysDeleted(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	up := r.upsert("l1")
	r.apply(up)
	r.run(r.worker())
	old := r.waitStatus(up.ID, crm.Done).RemoteID
	r.delete(old)
	r.person("POST", "/contacts/", `{"locationId":"loc-acme","email":"l1@example.com"}`)
	now := r.byEmail("l1@example.com").ID
	note, tag, more := r.note("l1", "hello"), r.tag("l1", "hot"), r.change("l1", map[string]any{"last_name": "Smith"})
	r.apply(note, tag, more)
	for _, e := range []event.Recorded{note, tag, more} {
		r.waitStatus(e.ID, crm.Done)
	}
	c := r.crm.Contacts("loc-acme")
	if len(c) != 1 || c[0].ID != now || len(c[0].Notes) != 1 || len(c[0].Tags) != 1 || c[0].Fields["lastName"] != "Smith" {
		t.Fatalf("%+v", c)
	}
	if _, applied := r.sent("POST", "/notes"); applied != 1 {
		t.Fatalf("%d notes", applied)
	}
	r.delete(now)
	note, more = r.note("l1", "again"), r.change("l1", map[string]any{"email": "l1@example.com", "last_name": "Jones"})
	r.apply(note, more)
	for _, e := range []event.Recorded{note, more} {
		if got := r.waitStatus(e.ID, crm.Failed); got.Code != crm.CodeContactDeleted || !strings.Contains(got.LastError, now) {
			t.Fatalf("%+v", got)
		}
	}
	if c := r.crm.Contacts("loc-acme"); len(c) != 0 {
		t.Fatalf("a deleted contact was made again: %+v", c)
	}
}

func TestContact_LinksHoldInTheirLocationOnly(t *testing.T) {
	r := newRigWithLag(t, -1)
	r.connect(tenant, "send")
	up := r.upsert("l1")
	r.apply(up)
	r.run(r.worker())
	first := r.waitStatus(up.ID, crm.Done).RemoteID
	move := func(loc string) {
		r.apply(r.event(tenant, "tenant.crm_connected", "tenant/"+tenant, map[string]any{
			"adapter": "gohighlevel", "location": "loc-" + loc, "token": "secret://ghl-" + loc + "@1", "mode": "send"}))
	}
	move("zeta")
	tag, again := r.tag("l1", "hot"), r.change("l1", map[string]any{"email": "l1@example.com", "first_name": "Ann"})
	r.apply(tag, again)
	if e := r.waitStatus(tag.ID, crm.Failed); e.Code != crm.CodeContactUnknown {
		t.Fatalf("%+v", e)
	}
	second := r.waitStatus(again.ID, crm.Done).RemoteID
	if c := r.crm.Contacts("loc-zeta"); len(c) != 1 || c[0].ID != second || second == first {
		t.Fatalf("%+v", c)
	}
	for _, e := range r.crm.Requests(0, "loc-zeta") {
		if strings.Contains(e.Path, first) {
			t.Fatalf("an id of another location was used: %s %s", e.Method, e.Path)
		}
	}
	move("acme")
	back := r.tag("l1", "back")
	r.apply(back)
	r.waitStatus(back.ID, crm.Done)
	if c := r.crm.Contacts("loc-acme"); len(c[0].Tags) != 1 {
		t.Fatalf("%+v", c)
	}
}

func TestContact_TwoTenantsInOneLocationTakeNobodysContact(t *testing.T) {
	r := newRigWithLag(t, -1)
	r.connect(tenant, "send")
	r.apply(r.event("zeta", "tenant.crm_connected", "tenant/zeta", map[string]any{
		"adapter": "gohighlevel", "location": "loc-acme", "token": "secret://ghl-acme@1", "mode": "send"}))
	ours := r.change("l1", map[string]any{"email": "ann@example.com", "first_name": "Ann"})
	r.apply(ours)
	r.run(r.worker())
	contact := r.waitStatus(ours.ID, crm.Done).RemoteID
	theirs := r.event("zeta", "crm.contact.upsert.requested", "lead/l1", map[string]any{"lead_id": "l1", "email": "ann@example.com", "first_name": "Zoe"})
	other := r.event("zeta", "crm.contact.upsert.requested", "lead/l2", map[string]any{"lead_id": "l2", "email": "bob@example.com", "first_name": "Bob"})
	r.apply(theirs, other)
	var end ledger.Effect
	r.waitFor("zeta's effects to end", func() bool {
		end, _, _ = book.Get(context.Background(), r.pool, "zeta", theirs.ID, false)
		e, _, _ := book.Get(context.Background(), r.pool, "zeta", other.ID, false)
		return e.Status == crm.Done && (end.Status == crm.Done || end.Status == crm.Failed)
	})
	if end.Code != crm.CodeContactTaken || !strings.Contains(end.LastError, contact) || !strings.Contains(end.LastError, "another tenant") || strings.Contains(end.LastError, tenant) {
		t.Errorf("%s %s: %s", end.Status, end.Code, end.LastError)
	}
	if f := r.byEmail("ann@example.com").Fields; f["firstName"] != "Ann" {
		t.Errorf("a tenant's contact became that of another tenant's lead: %v", f)
	}
}
