package workflows

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// mailing sends where silence is consent.
const mailing = `
start: {on: [lead.created], key: data.lead_id, reentry: {policy: restart}}
do:
  - hello: {emit: {type: crm.message.send.requested, data: {channel: '"email"', body: '"hello"'}}}
`

func correction(e *event.Event) { e.Deriver = "corrections" }

func TestContacts_ACorrectionRevokesAndNeverGrants(t *testing.T) {
	w := newRig(t, workflow("w", mailing), workflow("text", `
start: {on: [lead.created], key: data.lead_id}
do: [text: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hello"'}}}]`))
	w.consent("7", "email", false, correction)
	w.consent("8", "sms", true, correction)
	n := len(w.log)
	w.lead("7")
	w.is(w.since(n), "workflow.completed:end workflow.completed:end")
	n = len(w.log)
	w.lead("8") // the e-mail goes out
	w.is(w.since(n), "workflow.completed:end message.send workflow.completed:end")
}

func TestErase_NobodyReachesAnErasedPersonUntilTheyConsentAgain(t *testing.T) {
	w := newRig(t, workflow("w", mailing))
	w.consent("7", "email", false)
	w.merge("lead/9", "lead/7")
	w.record(event.Event{ID: "erase", Source: "/test", Type: typeErased, Subject: "lead/9"})
	if _, err := w.fold.Apply(t.Context(), Input{Event: w.log[len(w.log)-1]}); err != nil {
		t.Fatal(err)
	}
	w.applied++
	sent := func(lead string) string {
		t.Helper()
		w.later(time.Hour)
		n := len(w.log)
		w.lead(lead)
		return w.since(n)
	}
	w.is(sent("7"), "workflow.completed:end")
	w.is(sent("9"), "workflow.completed:end")
	w.unmerge("lead/9", "lead/7") // a mistake is taken back: each is forgotten on their own
	w.is(sent("9"), "workflow.completed:end")
	w.is(sent("8"), "message.send workflow.completed:end")
	w.consent("9", "email", true)
	w.is(sent("9"), "message.send workflow.completed:end")
}

// Who takes a consent back while they count as somebody else has taken it back all the same, whichever of the two the event names.
func TestUnmerge_LeavesARevocationWithEachOfThem(t *testing.T) {
	w := newRig(t, workflow("w", mailing))
	w.merge("lead/8", "lead/9")
	w.merge("lead/7", "lead/8")
	w.consent("9", "email", false)
	w.unmerge("lead/8", "lead/9")
	sent := func(lead string) string {
		t.Helper()
		w.later(time.Hour)
		n := len(w.log)
		w.lead(lead)
		return w.since(n)
	}
	w.is(sent("8"), "workflow.completed:end")
	w.unmerge("lead/7", "lead/8")
	w.is(sent("7"), "workflow.completed:end")
	w.is(sent("6"), "message.send workflow.completed:end")
}

// A person who was erased before a tenant had a workflow is not messaged by its first one. The fold of before has no bundle.
func TestRemembers_WhoWasErasedBeforeTheFirstWorkflow(t *testing.T) {
	w := newRig(t, workflow("w", mailing))
	w.record(event.Event{ID: "erase", Source: "/test", Type: typeErased, Subject: "lead/7"})
	r := w.log[len(w.log)-1]
	w.applied++
	if !Remembers(r.Type) || Remembers("lead.created") {
		t.Fatal("not the types that decide who may be reached")
	}
	early := New(r.TenantID, w.store, w, nil)
	if _, err := early.Apply(t.Context(), Input{Event: r}); err != nil {
		t.Fatal(err)
	}
	n := len(w.log)
	w.lead("7")
	w.lead("8")
	w.is(w.since(n), "workflow.completed:end message.send workflow.completed:end")
}
