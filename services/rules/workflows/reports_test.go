package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

// What others' engines got wrong, by their public trackers; each test names the report.

// camunda/camunda-bpm-platform#3713: timers that had fired were scheduled again by a migration;
// NovatecConsulting/camunda-process-instance-migrator#42: a wait began again with every migration.
func TestMigrate_NeitherRepeatsNorMovesATimerHoweverOftenItIsAsked(t *testing.T) {
	two := func(first, second string) string {
		return fmt.Sprintf(`
start: {on: [lead.created], key: data.lead_id}
timeout: {after: P10D, then: cancelled}
do:
  - f:
      fork:
        branches:
          - a: {do: [{short: {wait: {for: %s}}}, {said: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"a"'}}}}]}
          - b: {do: [{long: {wait: {for: %s}}}, {told: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"b"'}}}}]}`, first, second)
	}
	w := newRig(t, workflow("w", two("PT1H", "P1D")))
	w.lead("7")
	id := w.only().ID
	w.later(2 * time.Hour)
	w.is(strings.Join(w.notes(0), " "), "a")
	before := fmt.Sprint(w.store.Timers())
	for _, waits := range [][2]string{{"PT30M", "P3D"}, {"PT5H", "PT5H"}, {"P2D", "P9D"}} {
		w.publish(workflow("w", two(waits[0], waits[1])))
		w.migrate(id)
		w.is(w.refusal(), "")
		if got := fmt.Sprint(w.store.Timers()); got != before {
			t.Fatalf("armed after a migration: %s\nwant %s", got, before)
		}
	}
	w.later(23 * time.Hour)
	w.is(strings.Join(w.notes(0), " "), "a b")
	w.is(w.statuses(), "w/7:completed end")
}

// n8n-io/n8n#27196: what runs after a failure ran by a text that was not the one in force for the execution.
func TestFold_WhatEndsAnInstanceIsOfTheTextThatItBeganWith(t *testing.T) {
	text := func(word string) string {
		return strings.ReplaceAll(`
start: {on: [lead.created], key: data.lead_id}
until:
  gone: {on: [lead.lost], status: cancelled, do: [{bye: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"until WORD"'}}}}]}
do:
  - first:
      emit:
        type: lead.qualified
        data: {lead_id: instance.key}
        undo: [{type: crm.note.add.requested, data: {lead_id: instance.key, body: '"undo WORD"'}}]
  - caught:
      try: [{fails: {raise: {error: raised/broken}}}]
      catch: {errors: [raised/*], do: [{sorry: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"catch WORD"'}}}}, {pause: {wait: {for: P1D}}}]}
finally:
  - last: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"finally WORD"'}}}`, "WORD", word)
	}
	w := newRig(t, workflow("w", text("old")))
	w.lead("7")
	w.publish(workflow("w", text("new")))
	w.lead("8")
	n := len(w.log)
	lost(w, "7")
	old := w.notes(n)
	if got := strings.Join(old, ", "); len(old) != 3 || strings.Contains(got, "new") {
		t.Errorf("an instance of before ends by %s", got)
	}
	w.publish() // the workflow is taken away, and 8 goes on
	n = len(w.log)
	lost(w, "8")
	now := w.notes(n)
	if got := strings.Join(now, ", "); len(now) != 3 || strings.Contains(got, "old") {
		t.Errorf("an instance of the second text ends by %s", got)
	}
	for i := range old {
		w.is(strings.ReplaceAll(old[i], "old", "new"), now[i])
	}
}

// mautic/mautic#7881: a contact that left a campaign and came back was sent everything again, though restarts were off.
func TestStart_OnceHoldsWhileTheWorkflowIsAwayAndAfterAMergeIsTakenBack(t *testing.T) {
	once := workflow("w", `
start: {on: [lead.created], key: data.lead_id, reentry: {policy: once}}
until: {gone: {on: [lead.lost], status: completed}}
do: [pause: {wait: {for: P1D}}]`)
	w := newRig(t, once)
	again := func(id, want string) {
		t.Helper()
		n := len(w.log)
		w.lead(id)
		w.is(w.since(n), want)
	}
	w.lead("7")
	lost(w, "7")
	again("7", "workflow.rejected:reentry")
	w.publish()
	again("7", "")
	w.later(40 * 24 * time.Hour) // its instance is kept for 30 days
	w.publish(once)
	again("7", "workflow.rejected:reentry")
	w.merge("lead/7", "lead/9")
	again("9", "workflow.rejected:reentry")
	again("7", "workflow.rejected:reentry")
	w.unmerge("lead/7", "lead/9")
	again("7", "workflow.rejected:reentry")
}

// Netflix/conductor#3864: a task timed out once, and after its retry never again.
func TestCall_TimesOutAtEachAttempt(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do:
  - tag:
      try: [{ask: {call: crm.contact.tag, with: {lead_id: instance.key, add: '["a"]', remove: '[]'}, timeout: {after: PT2H}}}]
      catch:
        errors: [timeout]
        retry: {attempts: 2, delay: PT5M}
        do: [{sorry: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: error.type}}}}]`))
	n := len(w.log)
	w.lead("7")
	first := w.only().Tokens[0].Command
	w.later(2*time.Hour + 4*time.Minute)
	w.is(w.since(n), "contact.tag")
	w.later(2 * time.Minute)
	w.is(w.since(n), "contact.tag contact.tag")
	// What became of the first attempt comes while the second waits, which neither ends it nor disarms its timeout.
	w.send("crm.contact.tag.succeeded", map[string]any{"lead_id": "7", "command_id": first, "adapter": "gohighlevel"})
	w.later(2 * time.Hour)
	w.is(w.since(n), "contact.tag contact.tag")
	w.later(5 * time.Minute)
	w.is(w.since(n), "contact.tag contact.tag contact.tag")
	w.later(2*time.Hour - 4*time.Minute)
	w.is(w.since(n), "contact.tag contact.tag contact.tag")
	w.later(4 * time.Minute)
	w.is(strings.Join(w.notes(n), " "), "timeout")
	w.is(w.statuses(), "w/7:completed end")
	if left := w.store.Timers(); len(left) > 0 {
		t.Errorf("armed after the end: %v", left)
	}
}

// camunda/camunda#56800: a migration left instances waiting for what nobody sends any more by the new text, and said nothing.
func TestMigrate_LeavesNoInstanceWhereNothingFindsIt(t *testing.T) {
	text := func(key, on string) string {
		return fmt.Sprintf(`
start: {on: [opportunity.created], when: data.lead_id != null, key: %s}
do: [answer: {listen: {to: {one: {on: %s}}}}]`, key, on)
	}
	deal := map[string]any{"opportunity_id": "o1", "lead_id": "7"}
	w := newRig(t, workflow("w", text("data.opportunity_id", "opportunity.won")))
	w.send("opportunity.created", deal)
	id := w.only().ID
	w.publish(workflow("w", text(`'data.lead_id == null ? "" : data.lead_id'`, "opportunity.won")))
	w.migrate(id)
	w.is(w.refusal(), "not_migratable start.key is another expression in the new text: events may give another key, and not find it")
	w.publish(workflow("w", text("data.opportunity_id", "opportunity.reopened")))
	w.migrate(id)
	w.is(w.refusal(), "")
	w.send("opportunity.won", deal)
	w.is(w.statuses(), "w/o1:waiting")
	w.send("opportunity.reopened", deal)
	w.is(w.statuses(), "w/o1:completed end")

	// What became of a command that is waited for no more still says whether it is to be undone.
	calling := func(command, with string) string {
		return fmt.Sprintf(`
start: {on: [lead.created], key: data.lead_id}
do:
  - ask:
      try: [{c: {call: %s, with: {lead_id: instance.key, %s}, timeout: {after: PT1H}, undo: [{type: crm.note.add.requested, data: {lead_id: instance.key, body: '"undone"'}}]}}]
      catch: {errors: [timeout], do: [{rest: {wait: {for: P1D}}}]}`, command, with)
	}
	w = newRig(t, workflow("w", calling("crm.note.add", `body: '"a"'`)))
	w.lead("7")
	command := w.only().Tokens[0].Command
	w.later(2 * time.Hour)
	w.publish(workflow("w", calling("crm.contact.tag", `add: '["a"]', remove: '[]'`)))
	w.migrate(w.only().ID)
	w.is(w.refusal(), "not_migratable its compensation is kept: ask/c emitted crm.note.add.requested, and emits crm.contact.tag.requested in the new text")
	w.send("crm.note.add.failed", map[string]any{"lead_id": "7", "command_id": command, "adapter": "gohighlevel", "code": "rejected"})
	n := len(w.log)
	verb(w, "workflow.cancel.requested", map[string]any{"instance_id": w.only().ID})
	w.is(strings.Join(w.notes(n), " "), "")
	w.is(w.statuses(), "w/7:cancelled cancel")
}

// dbader/schedule#304: what runs daily at 22:30 and goes on past midnight was left out every other day.
func TestWait_LeavesNoDayOutWhereItsSpreadGoesPastMidnight(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id, zone: '"America/New_York"'}
do:
  - days:
      for: {each: d, in: lists.range(30)}
      do:
        - night: {wait: {for: P1D, at: "23:50", spread: PT30M}}
        - tell: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: string(d)}}}`))
	w.lead("7")
	w.later(40 * 24 * time.Hour)
	loc, err := zone.Load("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	day, late := 0, 0
	for _, r := range w.log {
		if r.Type != "crm.note.add.requested" {
			continue
		}
		at := time.Date(2026, 3, 3+day, 23, 50, 0, 0, loc)
		if after := r.RecordedTime.Sub(at); after < 0 || after > 31*time.Minute {
			t.Fatalf("note %d came at %s, %s after %s", day, r.RecordedTime.In(loc), after, at)
		} else if after >= 10*time.Minute {
			late++
		}
		day++
	}
	if day != 30 || late == 0 || late == day {
		t.Errorf("%d notes, %d of them after midnight", day, late)
	}
}

// inngest/inngest#1433: an event that came before its wait began was not heard, and the wait timed out as if nobody had answered.
func TestListen_HearsTheAnswerToAMessageAcrossTheEdgeOfAFork(t *testing.T) {
	const mail, pause = `{emit: {type: crm.message.send.requested, data: {channel: '"email"', body: '"well?"'}}}`, `{wait: {for: P1D}}`
	const answer = `{listen: {to: {one: {on: activity.recorded, when: data.direction == "inbound"}}}, timeout: {after: P2D, then: end}}`
	const noted = `{emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"answered"'}}}`
	for name, c := range map[string]struct {
		do    string
		hears bool
	}{
		"sent in a branch, asked after the fork":   {`[f: {fork: {branches: [{a: {do: [{m: ` + mail + `}]}}, {b: {do: [{p: ` + pause + `}]}}]}}, l: ` + answer + `, n: ` + noted + `]`, true},
		"sent before the fork, asked in a branch":  {`[m: ` + mail + `, f: {fork: {branches: [{a: {do: [{p: ` + pause + `}, {l: {listen: {to: {one: {on: activity.recorded}}}}}, {n: ` + noted + `}]}}]}}]`, true},
		"sent in a branch, asked in another one":   {`[f: {fork: {branches: [{a: {do: [{m: ` + mail + `}]}}, {b: {do: [{p: ` + pause + `}, {l: {listen: {to: {one: {on: activity.recorded}}}}}, {n: ` + noted + `}]}}]}}]`, false},
		"sent in a branch of a branch, asked in a": {`[f: {fork: {branches: [{a: {do: [{g: {fork: {branches: [{c: {do: [{m: ` + mail + `}, {p: ` + pause + `}]}}]}}}, {l: {listen: {to: {one: {on: activity.recorded}}}}}, {n: ` + noted + `}]}}]}}]`, true},
	} {
		w := newRig(t, workflow("w", "start: {on: [lead.created], key: data.lead_id}\ndo: "+c.do))
		w.lead("7")
		w.later(time.Hour)
		w.send("activity.recorded", map[string]any{"activity_id": "x", "lead_id": "7", "kind": "email", "direction": "inbound"})
		w.later(3 * 24 * time.Hour)
		if got := len(w.notes(0)) > 0; got != c.hears {
			t.Errorf("%s: heard is %v: %s", name, got, w.statuses())
		}
	}
}
