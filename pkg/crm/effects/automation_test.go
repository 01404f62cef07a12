package effects

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) automation(verb, lead, kind, name string) event.Recorded {
	data := map[string]any{"lead_id": lead, "automation": name, "kind": kind}
	if verb == "enrol" {
		data["channel"], data["purpose"] = "email", "marketing"
	}
	return r.event(tenant, "crm.automation."+verb+".requested", "lead/"+lead, data)
}

func (r *rig) enrolments() map[string]standin.Enrolment {
	r.t.Helper()
	raw, err := r.crm.Objects("loc-acme", "enrolment")
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]standin.Enrolment{}
	for _, m := range raw {
		var e standin.Enrolment
		if err := json.Unmarshal(m, &e); err != nil {
			r.t.Fatal(err)
		}
		out[e.Automation] = e
	}
	return out
}

func newAutomated(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Workflows: []standin.Automation{{ID: "w1", Name: "Nurture"}, {ID: "w2", Name: "Draft", Status: "draft"}},
		Campaigns: []standin.Automation{{ID: "c1", Name: "Nurture"}, {ID: "c2", Name: "Twice"}, {ID: "c3", Name: "twice"}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	return r
}

func TestAutomation_IsStartedAndEndedByItsName(t *testing.T) {
	r := newAutomated(t)
	up := r.upsert("l1")
	workflow, campaign, leave := r.automation("enrol", "l1", "workflow", " nurture"), r.automation("enrol", "l1", "campaign", "Nurture"), r.automation("remove", "l1", "campaign", "c1")
	end, again := r.automation("remove", "l1", "workflow", "Nurture"), r.automation("remove", "l1", "workflow", "Nurture")
	r.apply(up, workflow, campaign, leave, end, again)
	draft, twice, none := r.automation("enrol", "l1", "workflow", "Draft"), r.automation("enrol", "l1", "campaign", "Twice"), r.automation("enrol", "l1", "workflow", "")
	r.apply(draft, twice, none)
	r.run(r.worker())
	for _, e := range []event.Recorded{workflow, campaign, leave, end, again} {
		r.waitStatus(e.ID, crm.Done)
	}
	for e, code := range map[*event.Recorded]string{&draft: crm.CodeNameUnknown, &twice: crm.CodeNameAmbiguous, &none: crm.CodeInvalidCommand} {
		if got := r.waitStatus(e.ID, crm.Failed); got.Code != code {
			t.Errorf("%s: %s (%s), want %s", e.ID, got.Code, got.LastError, code)
		}
	}
	if got := r.enrolments(); len(got) != 2 || got["w1"].Runs != 1 || got["w1"].Active || got["c1"].Runs != 1 || got["c1"].Active {
		t.Errorf("%+v", got)
	}
}

// An enrolment sends what the CRM's people wrote: it is started at most once, and not for somebody who said stop.
func TestAutomation_IsHeldToConsentAndNotStartedTwice(t *testing.T) {
	r := newAutomated(t)
	up, other := r.upsert("l1"), r.upsert("l2")
	stop := r.automation("enrol", "l2", "workflow", "Nurture")
	r.apply(up, other, stop, r.consent("l2", "email", false, r.now, ""))
	r.fault(standin.Fault{Kind: "close", Apply: true, Method: http.MethodPost, Path: "/contacts/*/workflow/*"})
	lost := r.automation("enrol", "l1", "workflow", "Nurture")
	r.apply(lost)
	r.run(r.worker())
	if e := r.waitStatus(lost.ID, crm.Unknown); e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	if e := r.waitStatus(stop.ID, crm.Failed); e.Code != crm.CodeRevoked || e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
	if got := r.enrolments(); len(got) != 1 || got["w1"].Runs != 1 {
		t.Errorf("%+v", got)
	}
}
