package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const notes = `
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do:
  - first: {wait: {for: PT1H}}
  - note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"hello"'}}}
  - second: {wait: {for: PT1H}}
`

func lost(w *rig, id string, change ...func(e *event.Event)) Out {
	return w.send("lead.lost", map[string]any{"lead_id": id}, change...)
}

func TestFold_RunsAWorkflowFromItsFile(t *testing.T) {
	w := newRig(t, example(t, "speed-to-lead.yaml", "office.yaml", "sales-team.yaml")...)
	w.now = time.Date(2026, 3, 6, 22, 28, 0, 0, time.UTC) // Friday, two minutes of office time are left
	w.consent("7", "sms", true)
	n := len(w.log)
	w.lead("7", "first_name", "Ann")
	w.is(w.since(n), "lead.assigned:ann message.send")
	var command event.Recorded
	for _, r := range w.log {
		if r.Type == "crm.message.send.requested" {
			command = r
		}
	}
	data := w.data(&command)
	if data["body"] != "Hi Ann, may we call?" || data["lead_id"] != "7" || data["consent_basis"] != "form" || data["instance_id"] != w.only().ID || command.Hops != 1 || command.Subject != "lead/7" {
		t.Errorf("the command is %v with hops %d", data, command.Hops)
	}
	n = len(w.log)
	w.send("crm.message.send.succeeded", map[string]any{"lead_id": "7", "command_id": command.ID, "adapter": "gohighlevel"},
		func(e *event.Event) { e.CausationID, e.Hops = command.ID, 2 })
	w.until(time.Date(2026, 3, 7, 15, 2, 59, 0, time.UTC))
	w.is(w.since(n), "")
	w.later(2 * time.Second) // three minutes of Saturday's office time have passed
	w.is(w.since(n), "task.add:ann")
	n = len(w.log)
	w.send("lead.contacted", map[string]any{"lead_id": "7"})
	w.is(w.since(n), "workflow.completed:contacted")
	if left := w.store.Timers(); len(left) > 0 {
		t.Errorf("timers are armed still: %v", left)
	}
	if c := w.store.claims[Pair{"sales-team", "7"}]; c.Member != "ann" {
		t.Errorf("the claim is %v", c)
	}
	w.send("lead.converted", map[string]any{"lead_id": "7"})
	if c := w.store.claims[Pair{"sales-team", "7"}]; c.Member != "" {
		t.Errorf("the pool releases it, and the claim is %v", c)
	}
}

// What starts an instance is not heard by it, and what ends one does not stop another from starting.
func TestFold_EndsBeforeItStarts(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
until: {again: {on: [lead.created], status: completed}}
do: [pause: {wait: {for: P1D}}]`))
	w.lead("7")
	w.is(w.statuses(), "w/7:waiting")
	w.later(time.Hour)
	w.lead("7")
	w.is(w.statuses(), "w/7:completed again, w/7:waiting")
	if k := w.store.keys[Pair{"w", "7"}]; k.Starts != 2 || !k.LastEnded.Equal(k.LastStarted) || k.LastStarted.IsZero() {
		t.Errorf("kept of the key: %+v", k)
	}
}

func TestFold_OldFactsEndNothingTheyPrecede(t *testing.T) {
	at := func(o event.Origin, when time.Time) func(*event.Event) {
		return func(e *event.Event) { e.Origin, e.Time = o, when }
	}
	for name, c := range map[string]struct {
		change func(*event.Event)
		want   string
	}{
		"live":                           {func(*event.Event) {}, "w/7:cancelled gone"},
		"an echo":                        {at(event.OriginEcho, monday.Add(time.Hour)), "w/7:waiting"},
		"an import of before the start":  {at(event.OriginImport, monday.Add(-time.Hour)), "w/7:waiting"},
		"an import of after the start":   {at(event.OriginImport, monday.Add(time.Minute)), "w/7:cancelled gone"},
		"a backfill of before the start": {at(event.OriginBackfill, monday.Add(-time.Hour)), "w/7:waiting"},
		"a correction":                   {func(e *event.Event) { e.Deriver = "corrections" }, "w/7:waiting"},
		"quiet":                          {func(e *event.Event) { e.ID = "quiet" }, "w/7:cancelled gone"},
		"live, of somebody else":         {func(e *event.Event) { *e = event.Event{} }, "w/7:waiting"},
	} {
		w := newRig(t, workflow("w", notes))
		w.lead("7")
		w.later(10 * time.Minute)
		if strings.Contains(name, "else") {
			lost(w, "8")
		} else {
			lost(w, "7", c.change)
		}
		if got := w.statuses(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A lead that was merged into another after its workflow started is reached only as the other may be.
func TestFold_AsksTheConsentOfWhomALeadWasMergedInto(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do:
  - pause: {wait: {for: PT1H}}
  - send: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hi"'}}}`))
	w.consent("7", "sms", true)
	w.consent("8", "sms", false)
	w.lead("7")
	w.merge("lead/7", "lead/8")
	n := len(w.log)
	w.later(2 * time.Hour)
	w.is(w.since(n), "workflow.completed:end")
}

func TestFold_TakesNoOutcomeOfAnEcho(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do: [note: {call: crm.note.add, with: {lead_id: instance.key, body: '"x"'}}]`))
	w.lead("7")
	answer := func(o event.Origin) {
		w.send("crm.note.add.succeeded", map[string]any{"lead_id": "7", "command_id": w.only().Tokens[0].Command, "adapter": "gohighlevel"}, func(e *event.Event) { e.Origin = o })
	}
	answer(event.OriginEcho)
	w.is(w.statuses(), "w/7:waiting")
	answer(event.OriginLive)
	w.is(w.statuses(), "w/7:completed end")
}

func TestFold_AsksForConsentByWhenItWasSaid(t *testing.T) {
	text := workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do: [send: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hi"'}}}]`)
	for name, c := range map[string]struct {
		say  func(w *rig)
		want string
	}{
		"nothing said":     {func(*rig) {}, "workflow.completed:end"},
		"granted":          {func(w *rig) { w.consent("7", "sms", true) }, "message.send workflow.completed:end"},
		"granted, revoked": {func(w *rig) { w.consent("7", "sms", true); w.later(time.Minute); w.consent("7", "*", false) }, "workflow.completed:end"},
		"revoked by an echo": {func(w *rig) {
			w.consent("7", "sms", true)
			w.later(time.Minute)
			w.consent("7", "sms", false, func(e *event.Event) { e.Origin = event.OriginEcho })
		}, "workflow.completed:end"},
		"revoked, and an import grants": {func(w *rig) {
			w.consent("7", "sms", false)
			w.later(time.Minute)
			w.consent("7", "sms", true, func(e *event.Event) { e.Origin = event.OriginImport })
		}, "workflow.completed:end"},
		"of somebody else":                 {func(w *rig) { w.consent("8", "sms", true) }, "workflow.completed:end"},
		"of whom the lead was merged into": {func(w *rig) { w.consent("8", "sms", true); w.merge("lead/7", "lead/8") }, "message.send workflow.completed:end"},
	} {
		w := newRig(t, text)
		c.say(w)
		n := len(w.log)
		w.lead("7")
		if got := w.since(n); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestFold_LetsOneOfAGroupLive(t *testing.T) {
	files := func(conflict string) []ruleset.File {
		return []ruleset.File{
			workflow("a", "start: {on: [lead.created], key: data.lead_id}\nconcurrency: {group: outreach, on_conflict: "+conflict+"}\ndo: [pause: {wait: {for: P1D}}]"),
			workflow("b", "start: {on: [lead.lost], key: data.lead_id}\nconcurrency: {group: outreach, on_conflict: "+conflict+"}\ndo: [pause: {wait: {for: P1D}}]"),
		}
	}
	w := newRig(t, files("replace")...)
	w.lead("7")
	w.lead("8")
	w.later(time.Minute)
	n := len(w.log)
	lost(w, "7")
	w.is(w.since(n), "workflow.cancelled:replaced")
	if live := w.store.live; live != 2 || len(w.store.Timers()) != 4 { // each has a deadline besides
		t.Errorf("%d live, timers %v", live, w.store.Timers())
	}
	w = newRig(t, files("refuse")...)
	w.lead("7")
	n = len(w.log)
	lost(w, "7")
	w.is(w.since(n), "workflow.rejected:concurrency")
}

func TestFold_GoesOnByTheTextThatAnInstanceStartedWith(t *testing.T) {
	w := newRig(t, workflow("w", notes))
	w.lead("7")
	w.publish(workflow("w", strings.ReplaceAll(notes, `"hello"`, `"other"`)))
	w.later(time.Second)
	w.lead("8")
	n := len(w.log)
	w.later(61 * time.Minute)
	var bodies []string
	for i := range w.log[n:] {
		if r := &w.log[n+i]; r.Type == "crm.note.add.requested" {
			data := w.data(r)
			bodies = append(bodies, data["lead_id"].(string)+data["body"].(string))
		}
	}
	w.is(strings.Join(bodies, " "), "7hello 8other")
	w.publish() // all are taken away, and what runs goes on
	w.later(2 * time.Hour)
	w.is(w.statuses(), "w/7:completed end, w/8:completed end")
}

func TestFold_IgnoresATimerThatIsNotArmed(t *testing.T) {
	w := newRig(t, workflow("w", notes))
	w.lead("7")
	timer := w.store.Timers()[0]
	lost(w, "7")
	if out := w.fire(timer); out.Stale != 1 || len(out.Events) > 0 || out.Moved > 0 {
		t.Errorf("%+v", out)
	}
	w.lead("8")
	early := w.store.Timers()[0]
	if out := w.send("timer.fired", map[string]any{"timer_id": early.ID, "due": early.Due, "instance_id": early.Instance}); out.Moved > 0 || out.Stale > 0 {
		t.Errorf("a timer that fired an hour before its due: %+v", out)
	}
	w.later(61 * time.Minute)
	if !strings.Contains(w.since(0), "note.add") {
		t.Error("it fired early, and then never")
	}
}

func TestFold_ForgetsAnErasedSubject(t *testing.T) {
	w := newRig(t, workflow("w", strings.Replace(notes, "key: data.lead_id", "key: data.lead_id, set: {name: data.first_name}", 1)))
	w.consent("7", "sms", true)
	w.lead("7", "first_name", "Annabel")
	w.later(time.Second)
	w.lead("8", "first_name", "Bob")
	w.record(event.Event{ID: "erase", Source: "/test", Type: "subject.erased", Subject: "lead/7"})
	r := w.log[len(w.log)-1]
	out, err := w.fold.Apply(t.Context(), Input{Event: r})
	if err != nil || out.Moved != 1 {
		t.Fatal(out, err)
	}
	w.applied++
	w.is(w.statuses(), "w/7:cancelled erased, w/8:waiting")
	for _, row := range w.store.Instances() {
		if row.Key == "7" && strings.Contains(string(row.State)+string(row.Personal), "Annabel") {
			t.Errorf("kept: %s %s", row.State, row.Personal)
		}
	}
	if strings.Contains(string(w.store.contacts["7"]), "form") || len(w.store.Timers()) != 2 {
		t.Errorf("kept: %s, %v", w.store.contacts["7"], w.store.Timers())
	}
}
