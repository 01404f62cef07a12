package effects

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) deal(kind, id string, data map[string]any) event.Recorded {
	data["lead_id"], data["opportunity_id"] = "l1", id
	return r.event(tenant, "crm.opportunity."+kind+".requested", "lead/l1", data)
}

func (r *rig) deals() []standin.Opportunity {
	r.t.Helper()
	raw, err := r.crm.Objects("loc-acme", "opportunity")
	if err != nil {
		r.t.Fatal(err)
	}
	out := make([]standin.Opportunity, len(raw))
	for i, b := range raw {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

func TestOpportunity_IsOpenedOnceMovedAndClosed(t *testing.T) {
	r := newRig(t)
	made, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Users: []standin.User{{ID: "u1", FirstName: "Ann", LastName: "Owner"}},
		Pipelines: []standin.Pipeline{{Name: "Sales", Stages: []standin.Stage{{Name: "New"}, {Name: "Proposal"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	early := r.deal("move", "o1", map[string]any{"stage": "Proposal"})
	open := r.deal("upsert", "o1", map[string]any{"name": "Deal", "pipeline": "sales", "value": "1250.5", "owner_id": "Ann Owner"})
	move := r.deal("move", "o1", map[string]any{"stage": "proposal"})
	again := r.deal("upsert", "o1", map[string]any{"value": "2000"})
	won := r.deal("close", "o1", map[string]any{"outcome": "won"})
	second := r.deal("upsert", "o2", map[string]any{"pipeline": "Sales"})
	wrong := r.deal("move", "o1", map[string]any{"stage": "Nowhere"})
	upsert := r.upsert("l1")
	r.apply(upsert)
	r.run(r.worker())
	r.waitStatus(upsert.ID, crm.Done)
	r.apply(early)
	if e := r.waitStatus(early.ID, crm.Failed); e.Code != crm.CodeUnknownObject {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
	r.apply(open, move, again, won, second, wrong)
	for _, e := range []event.Recorded{open, move, again, won} {
		r.waitStatus(e.ID, crm.Done)
	}
	for id, code := range map[string]string{second.ID: crm.CodeExists, wrong.ID: crm.CodeNameUnknown} {
		if e := r.waitStatus(id, crm.Failed); e.Code != code {
			t.Errorf("%s: %s %s", id, e.Code, e.LastError)
		}
	}
	deals := r.deals()
	if len(deals) != 1 {
		t.Fatalf("%+v", deals)
	}
	d, stages := deals[0], made.Pipelines[0].Stages
	if d.Name != "Deal" || d.MonetaryValue != 2000 || d.AssignedTo != "u1" || d.Status != "won" || d.PipelineStageID != stages[1].ID {
		t.Errorf("%+v", d)
	}
	if lists, _ := r.sent(http.MethodGet, "/opportunities/pipelines"); lists != 1 {
		t.Errorf("the pipelines were listed %d times", lists)
	}
}

// An opportunity that was opened without an answer is not opened again, and one whose id a person told is gone on with.
func TestOpportunity_IsUnknownWhenItsAnswerIsLost(t *testing.T) {
	r := newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Pipelines: []standin.Pipeline{{Name: "Sales", Stages: []standin.Stage{{Name: "New"}}}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	upsert, open := r.upsert("l1"), r.deal("upsert", "o1", map[string]any{"pipeline": "Sales"})
	r.fault(standin.Fault{Method: http.MethodPost, Path: "/opportunities/", Kind: "close", Apply: true})
	r.apply(upsert, open)
	r.run(r.worker())
	r.waitStatus(open.ID, crm.Unknown)
	deals := r.deals()
	if len(deals) != 1 {
		t.Fatalf("%+v", deals)
	}
	r.apply(r.event(tenant, "engine.effect.resolved", "effect/"+open.ID, map[string]any{"effect_id": open.ID, "resolution": "done", "remote_id": deals[0].ID}))
	won := r.deal("close", "o1", map[string]any{"outcome": "won"})
	r.apply(won)
	r.waitStatus(won.ID, crm.Done)
	if deals := r.deals(); len(deals) != 1 || deals[0].Status != "won" {
		t.Errorf("%+v", deals)
	}
}
