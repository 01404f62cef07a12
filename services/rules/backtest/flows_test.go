package backtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// speedToLead is the workflow of package flow with its calendar and pool, some text in it replaced.
func speedToLead(t *testing.T, pairs ...string) (out []ruleset.File) {
	t.Helper()
	for _, name := range []string{"speed-to-lead.yaml", "office.yaml", "sales-team.yaml"} {
		text, err := os.ReadFile(filepath.Join("../flow/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ruleset.File{Name: name, Text: strings.NewReplacer(pairs...).Replace(string(text))})
	}
	return out
}

func policy(spec string) ruleset.File { return file("ContactPolicy", "default", spec) }

// leads puts n leads with consent on record, a minute apart.
func leads(a *archived, n int, from time.Time) {
	for i := range n {
		id := fmt.Sprint(i)
		a.add(from.Add(time.Duration(i)*time.Minute), "consent.changed", map[string]any{"lead_id": id, "channel": "sms", "granted": true})
		a.add(from.Add(time.Duration(i)*time.Minute+time.Second), "lead.created", map[string]any{"lead_id": id, "phone": "+12125550123", "first_name": "Ann"})
	}
}

// A longer wait moves what follows, and is told as what it changes: tasks that are not given before the end.
func TestRun_WorkflowsRunOnTheClockOfEachTimeline(t *testing.T) {
	a := newArchive(t)
	leads(a, 20, day)
	a.add(day.Add(40*time.Minute), "lead.contacted", map[string]any{"lead_id": "3"})
	r := with(t, a, Config{From: day, To: day.Add(42 * time.Minute), Against: Rules{Files: speedToLead(t)}, Candidate: Rules{Files: speedToLead(t, "PT5M", "PT30M")}})
	old, new := counted(r, "speed-to-lead", "crm.task.add.requested").Against, counted(r, "speed-to-lead", "crm.task.add.requested").Candidate
	// Leads come from minute 0 to 19. After 5 minutes, 20, 35 … a task each, at most three, until minute 42; after 30 minutes one, for those of the first 12.
	// Lead 3, of minute 3, is contacted at minute 40 in both.
	want := 0
	for i := range 20 {
		for task := range 3 {
			if at := i + 5 + 15*task; at < 42 && !(i == 3 && at >= 40) {
				want++
			}
		}
	}
	if old != want || new != 12 {
		t.Errorf("%d and %d tasks, want %d and 12: %+v", old, new, want, r.Decisions)
	}
	if d := counted(r, "speed-to-lead", "crm.message.send.requested"); d.Same != 20 || d.Added+d.Removed+d.Changed > 0 {
		t.Errorf("%+v", d)
	}
	if !slices.Equal(r.Messages, []Messages{{"sms", 14, Pair{20, 20}}}) || !slices.Equal(r.Open, []Open{{"speed-to-lead", Pair{19, 19}}}) {
		t.Errorf("%+v %+v", r.Messages, r.Open)
	}
	picked := 0
	for _, x := range r.Assignments {
		if x.Pool == "sales-team" {
			picked += x.Against
		}
	}
	if picked < 20 {
		t.Errorf("%+v", r.Assignments)
	}
	if len(r.Failures) > 0 {
		t.Errorf("%+v", r.Failures)
	}
}

// What a contact policy holds back is counted by its reason, and nobody is messaged instead.
func TestRun_APolicySaysWhatItHoldsBack(t *testing.T) {
	a := newArchive(t)
	leads(a, 10, day)
	a.add(day.Add(time.Hour), "consent.changed", map[string]any{"lead_id": "99", "channel": "sms", "granted": false})
	a.add(day.Add(time.Hour+time.Second), "lead.created", map[string]any{"lead_id": "99", "phone": "+12125550123", "first_name": "Bob"})
	free := policy("consent: {sms: opt_in}")
	none := policy("consent: {sms: opt_in}\ncaps: [{channel: sms, most: 1, per: P1D}]")
	twice := file("Workflow", "twice", `
start: {on: [lead.created], key: data.lead_id}
do:
  - one: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"a"'}}}
  - two: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"b"'}}}`)
	r := tried(t, a, day, []ruleset.File{twice, free}, []ruleset.File{twice, none})
	if d := counted(r, "twice", "crm.message.send.requested"); d.Against != 20 || d.Candidate != 10 || d.Removed != 10 || d.Same != 10 {
		t.Errorf("%+v", d)
	}
	suppressed, capped := 0, 0
	for _, h := range r.Held {
		if h.Kind == "suppress" {
			suppressed += h.Against
		} else if h.Kind == "skip" || h.Kind == "defer" {
			capped += h.Candidate - h.Against
		}
	}
	if suppressed != 2 || capped != 10 {
		t.Errorf("%+v", r.Held)
	}
}

// An instance that runs at From goes on in both timelines, by its timers and by the outcome of its command.
func TestRun_InstancesThatRunGoOn(t *testing.T) {
	waits := file("Workflow", "waits", `
start: {on: [lead.created], key: data.lead_id}
do:
  - note: {call: crm.note.add, with: {lead_id: instance.key, body: '"x"'}}
  - rest: {wait: {for: PT1H}}
  - done: {emit: {type: lead.lost, data: {lead_id: instance.key, reason: '"late"'}}}`)
	a := newArchive(t)
	a.publish(day.Add(-time.Hour), 1, waits)
	recorded(t, a, day.Add(-time.Minute), map[string]any{"lead_id": "7"})
	a.add(day.Add(2*time.Hour), "lead.updated", map[string]any{"lead_id": "8"})
	r := tried(t, a, day, []ruleset.File{waits}, []ruleset.File{rule("none", "on: [lead.converted]\nset: {x: '1'}")})
	if d := counted(r, "waits", "lead.lost"); d.Same != 1 || d.Added+d.Removed+d.Changed != 0 || len(r.Open) != 0 {
		t.Errorf("%+v %+v", d, r.Open)
	}
}

// What was derived before From, and stands in the log after it, comes to both timelines, once; what stands there before does not come again.
func TestRun_WhatIsUnderWayAtFromComesOnce(t *testing.T) {
	set := []ruleset.File{score, qualify(40)}
	a := newArchive(t)
	a.publish(day.Add(-time.Hour), 1, set...)
	recorded(t, a, day.Add(-2*time.Second), map[string]any{"lead_id": "7", "channel": "paid search"})
	recorded(t, a, day.Add(-50*time.Millisecond), map[string]any{"lead_id": "8", "channel": "paid search"})
	a.add(day.Add(time.Minute), "lead.updated", map[string]any{"lead_id": "9"})
	r := tried(t, a, day, set, set)
	if d := counted(r, "qualify", "lead.qualified"); d.Same != 1 || d.Added+d.Removed+d.Changed != 0 || r.Facts.Total != 1 {
		t.Errorf("%+v %+v", r.Decisions, r.Facts)
	}
}

// recorded adds a fact and what the service derived from it a moment later.
func recorded(t *testing.T, a *archived, at time.Time, data map[string]any) {
	t.Helper()
	a.add(at, "lead.created", data)
	w := rules.NewTimeline(acme, newSchemas(catalogue(t)), &rules.Compiled{}, workflows.NewMemory(), 1, nil)
	n := len(a.events)
	var derived []event.Event
	for _, e := range a.events[:n] {
		taken, err := w.Apply(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		derived = taken.Derived
	}
	for _, e := range derived {
		e.Deriver = "rules"
		a.record(at.Add(150*time.Millisecond), e)
	}
	if len(derived) == 0 {
		t.Fatal("nothing was derived")
	}
}

// A workflow that only waits so far has decided nothing; that is no reason to say that it does nothing.
func TestRun_AWorkflowThatWaitsIsADifference(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "1"})
	waits := file("Workflow", "waits", "start: {on: [lead.created], key: data.lead_id}\ndo: [pause: {wait: {for: P1D}}]")
	if r := tried(t, a, day, nil, []ruleset.File{waits}); !r.Differs() || r.Waiting() != 1 {
		t.Errorf("differs %v, %d wait: %+v", r.Differs(), r.Waiting(), r)
	}
	if r := tried(t, a, day, []ruleset.File{waits}, []ruleset.File{waits}); r.Differs() || r.Waiting() != 1 {
		t.Errorf("the same files: differs %v, %d wait", r.Differs(), r.Waiting())
	}
}

// What a person asks of the log as it was, by its sequences and by the texts of then, means nothing on another timeline. Other requests are facts.
func TestFacts_LeaveOutRequestsThatNamePlacesOfTheLog(t *testing.T) {
	for typ, want := range map[string]bool{"workflow.start.requested": false, "workflow.migrated": false, "workflow.paused": true, "workflow.cancel.requested": true, "lead.created": true} {
		if got := isFact(&event.Recorded{Event: event.Event{Type: typ}}); got != want {
			t.Errorf("%s: %t", typ, got)
		}
	}
}
