package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
)

// greets waits an hour and then notes the name that the event gave.
const greets = `
start: {on: [lead.created], when: data.phone != null, key: data.lead_id, set: {name: 'data.first_name == null ? "x" : data.first_name'}%s}
do:
  - pause: {wait: {for: PT1H}}
  - tell: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: vars.name}}}
  - rest: {wait: {for: P1D}}`

func greeting(more string) string { return fmt.Sprintf(greets, more) }

// startOn is a request to start w on an event of the log, changed as the test wants.
func (w *rig) startOn(r event.Recorded, change map[string]any) Out {
	w.t.Helper()
	key, _ := w.data(&r)["lead_id"].(string)
	data := map[string]any{"workflow": "w", "key": key, "about": r.Subject, "trigger_sequence": r.Sequence, "trigger_id": r.ID}
	for k, v := range change {
		data[k] = v
	}
	return w.send("workflow.start.requested", data)
}

// last is the last event of a type in the log.
func (w *rig) lastOf(typ string) event.Recorded {
	w.t.Helper()
	for i := len(w.log) - 1; i >= 0; i-- {
		if w.log[i].Type == typ {
			return w.log[i]
		}
	}
	w.t.Fatalf("the log has no %s", typ)
	return event.Recorded{}
}

func TestStartAsked_StartsOnTheRecordedEventAtTheRequest(t *testing.T) {
	w := newRig(t, workflow("other", patiently("x")))
	w.now = monday.Add(time.Minute)
	w.send("lead.created", map[string]any{"lead_id": "7", "phone": "+15551234567", "first_name": "Ann"}, func(e *event.Event) {
		e.Hops, e.Path, e.CorrelationID = 3, []string{"a<b@1"}, "root"
	})
	trigger := w.lastOf("lead.created")
	w.publish(workflow("w", greeting("")))
	w.later(3 * time.Hour)
	n := len(w.log)
	out := w.startOn(trigger, nil)
	request := w.lastOf("workflow.start.requested")
	in := w.only()
	if out.Started != 1 || in.Trigger != "lead.created" || in.Sequence != request.Sequence || !in.Started.Equal(positionTime(&request)) || in.Number != 1 || in.Subject != "lead/7" ||
		in.Contact != "7" || in.Correlation != "root" || in.Hops != 1 || len(in.Path) > 0 {
		t.Errorf("started %d: %+v", out.Started, in)
	}
	if due := in.Tokens[0].Timer.Due; !due.Equal(w.now.Add(time.Hour)) {
		t.Errorf("due %s, asked at %s", due, w.now)
	}
	told := w.lastOf(advance.TypeStarted)
	if data := w.data(&told); told.CausationID != request.ID || data["cause_sequence"] != request.Sequence || data["trigger_type"] != "lead.created" {
		t.Errorf("told %+v", data)
	}
	w.later(2 * time.Hour)
	w.is(strings.Join(w.notes(n), " "), "Ann")
	w.startOn(trigger, nil)
	w.is(w.refusal(), "reentry")
}

func TestStartAsked_RefusesWhatTheEventItselfWouldNotStart(t *testing.T) {
	w := newRig(t, workflow("other", patiently("x")))
	w.lead("7")
	w.lead("8", "phone", nil)
	w.send("lead.created", map[string]any{"lead_id": "9", "phone": "+15551234567"}, func(e *event.Event) { e.Origin = event.OriginImport })
	scored(w, "7")
	of := func(typ, lead string) event.Recorded {
		for i := range w.log {
			if w.log[i].Type == typ && w.log[i].Subject == "lead/"+lead {
				return w.log[i]
			}
		}
		t.Fatal(typ, lead)
		return event.Recorded{}
	}
	w.publish(workflow("w", greeting(", fresh: PT2H, reentry: {policy: after_end, cooldown: P1D, max: 2}")))
	good := of("lead.created", "7")
	for name, c := range map[string]struct {
		on     event.Recorded
		change map[string]any
		want   string
	}{
		"no event":            {good, map[string]any{"trigger_sequence": nil}, "no_event"},
		"one to come":         {good, map[string]any{"trigger_sequence": int64(1 << 40)}, "no_event"},
		"another event":       {good, map[string]any{"trigger_id": "e1"}, "no_event"},
		"no id":               {good, map[string]any{"trigger_id": nil}, "no_event"},
		"another subject":     {good, map[string]any{"about": "lead/8"}, "no_event"},
		"another key":         {good, map[string]any{"key": "8"}, "other_key"},
		"no such workflow":    {good, map[string]any{"workflow": "x"}, "no_workflow"},
		"another type":        {of("lead.scored", "7"), nil, "no_trigger"},
		"another origin":      {of("lead.created", "9"), nil, "no_trigger"},
		"its condition fails": {of("lead.created", "8"), nil, "not_when"},
	} {
		n := len(w.log)
		out := w.startOn(c.on, c.change)
		if w.refusal() != c.want || len(out.Events) != 1 || len(w.log) != n+2 {
			t.Errorf("%s: refused as %q, want %q; derived %v", name, w.refusal(), c.want, out.Events)
		}
		if data := w.data(&w.log[len(w.log)-1]); data["verb_id"] != w.log[n].ID || data["workflow"] == nil {
			t.Errorf("%s: told %v", name, data)
		}
	}
	w.later(3 * time.Hour)
	w.startOn(good, nil)
	w.is(w.refusal(), "stale") // by the time of the request
	w.publish(workflow("w", greeting(", reentry: {policy: after_end, cooldown: P1D, max: 2}")))
	verb(w, "workflow.paused", map[string]any{"workflow": "w", "hold": false})
	w.startOn(good, nil)
	w.is(w.refusal(), "paused")
	verb(w, "workflow.unpaused", map[string]any{"workflow": "w"})
	w.startOn(good, nil)
	w.is(w.refusal(), "")
	w.startOn(good, nil)
	w.is(w.refusal(), "reentry") // it lives
	verb(w, "workflow.cancel.requested", map[string]any{"instance_id": w.only().ID})
	w.startOn(good, nil)
	w.is(w.refusal(), "cooldown")
	w.later(25 * time.Hour)
	w.startOn(good, nil)
	w.is(w.refusal(), "")
	w.later(72 * time.Hour)
	w.startOn(good, nil)
	w.is(w.refusal(), "reentry") // twice is as often as it may
	if started := w.only(); started.Number != 2 {
		t.Errorf("the last start is number %d", started.Number)
	}
}

func TestStartAsked_TellsWhatTheFileCanNotEvaluate(t *testing.T) {
	w := newRig(t, workflow("other", patiently("x")))
	w.lead("7")
	w.publish(workflow("w", strings.ReplaceAll(greeting(""), "data.phone != null", "1 / (size(data.lead_id) - 1) > 0")))
	w.startOn(w.lastOf("lead.created"), nil)
	if got := w.refusal(); !strings.HasPrefix(got, "failed expression/") {
		t.Errorf("refused as %q", got)
	}
}

// A person who was forgotten is not brought back by an event from before.
func TestStartAsked_StartsNothingAboutSomebodyWhoWasErasedSince(t *testing.T) {
	w := newRig(t, workflow("other", patiently("x")))
	w.lead("7")
	seven := w.lastOf("lead.created")
	w.lead("8")
	eight := w.lastOf("lead.created")
	w.now = w.now.Add(time.Minute) // instances of w start after those of other
	w.publish(workflow("w", greeting("")))
	w.merge("lead/8", "lead/7")
	w.record(event.Event{ID: "erase", Source: "/test", Type: typeErased, Subject: "lead/7"})
	if _, err := w.fold.Apply(t.Context(), Input{Event: w.log[len(w.log)-1]}); err != nil {
		t.Fatal(err)
	}
	w.applied++
	for _, r := range []event.Recorded{seven, eight} {
		w.startOn(r, nil)
		w.is(w.refusal(), "erased")
	}
	w.unmerge("lead/8", "lead/7")
	w.startOn(eight, nil)
	w.is(w.refusal(), "erased")
	n := len(w.log)
	w.lead("7") // somebody of that id is new
	w.is(w.since(n), "")
	verb(w, "workflow.cancel.requested", map[string]any{"instance_id": w.only().ID})
	w.startOn(w.log[n], nil)
	w.is(w.refusal(), "")
}

func TestStartAsked_FoldsAMergedSubjectAsTheOneThatItIsNow(t *testing.T) {
	w := newRig(t, workflow("other", patiently("x")))
	w.lead("8")
	eight := w.lastOf("lead.created")
	w.now = w.now.Add(time.Minute)
	w.publish(workflow("w", greeting("")))
	w.lead("7")
	w.merge("lead/8", "lead/7")
	w.now = w.now.Add(time.Minute)
	w.startOn(eight, nil)
	w.is(w.refusal(), "reentry") // the instance of lead 7 lives
	verb(w, "workflow.cancel.requested", map[string]any{"instance_id": w.only().ID})
	w.startOn(eight, nil)
	if in := w.only(); w.refusal() != "" || in.Key != "7" || in.Contact != "7" || in.Number != 2 {
		t.Errorf("refused %q: key %s, contact %s, start %d", w.refusal(), in.Key, in.Contact, in.Number)
	}
}
