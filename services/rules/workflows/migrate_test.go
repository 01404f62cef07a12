package workflows

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
)

// patient waits a day, and then notes what its text says.
const patient = `
start: {on: [lead.created], key: data.lead_id, reentry: {policy: concurrent}}
until: {gone: {on: [lead.lost], status: cancelled}}
timeout: {after: P10D, then: cancelled}
do:
  - pause: {wait: {for: P1D}}
  - tell: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"%s"'}}}
  - rest: {wait: {for: P1D}}`

func patiently(body string) string { return fmt.Sprintf(patient, body) }

// inForce is the sequence of the rules.published that is in force.
func (w *rig) inForce() int64 { return w.bundle.Sequence }

func (w *rig) migrate(id string) Out {
	w.t.Helper()
	return w.send("workflow.migrated", map[string]any{"instance_id": id, "to_version": w.inForce(), "tasks": []any{}, "retime": false})
}

// refusal is the code and the detail of the last request that was refused; empty: the last event was none.
func (w *rig) refusal() string {
	w.t.Helper()
	r := &w.log[len(w.log)-1]
	if r.Type != typeRefused {
		return ""
	}
	data := w.data(r)
	detail, _ := data["detail"].(string)
	return strings.TrimSpace(fmt.Sprint(data["code"], " ", detail))
}

func (w *rig) notes(from int) (out []string) {
	w.t.Helper()
	for i := range w.log[from:] {
		if r := &w.log[from+i]; r.Type == "crm.note.add.requested" {
			out = append(out, w.data(r)["body"].(string))
		}
	}
	return out
}

func TestMigrate_GoesOnByTheTextInForceAndKeepsWhatIsArmed(t *testing.T) {
	w := newRig(t, workflow("w", patiently("old")))
	w.lead("7")
	w.lead("8")
	rows := w.store.Instances()
	before := w.store.Timers()
	w.publish(workflow("w", strings.ReplaceAll(patiently("new"), "pause: {wait: {for: P1D}}", "pause: {wait: {for: P5D}}")))
	n := len(w.log)
	w.migrate(rows[0].ID)
	if got := fmt.Sprint(w.store.Timers()); got != fmt.Sprint(before) {
		t.Errorf("armed after the migration: %s\nwant %v", got, before)
	}
	told := w.data(&w.log[len(w.log)-1])
	if r := w.log[len(w.log)-1]; r.Type != advance.TypeAdvanced || told["version"] != w.inForce() || fmt.Sprint(told["at"]) != "[pause]" {
		t.Errorf("told %s %v", r.Type, told)
	}
	if row, err := w.store.Instance(t.Context(), rows[0].ID); err != nil || row.Bundle != w.inForce() || row.Status != advance.Waiting {
		t.Errorf("kept %+v, %v", row, err)
	}
	w.later(25 * time.Hour)
	notes := w.notes(n)
	slices.Sort(notes) // both are due at once
	w.is(strings.Join(notes, " "), "new old")
}

func TestMigrate_TwiceIsOnce(t *testing.T) {
	w := newRig(t, workflow("w", patiently("old")))
	w.lead("7")
	id := w.only().ID
	w.migrate(id)
	w.is(w.refusal(), "same_version")
	w.publish(workflow("w", patiently("new")))
	w.migrate(id)
	w.is(w.refusal(), "")
	before, _ := w.store.Instance(t.Context(), id)
	w.migrate(id)
	w.is(w.refusal(), "same_version")
	if after, _ := w.store.Instance(t.Context(), id); !bytes.Equal(after.State, before.State) || after.Sequence != before.Sequence {
		t.Errorf("the second request changed it:\n%s\n%s", before.State, after.State)
	}
}

func TestMigrate_RefusesByNameWhatTheNewTextDoesNotHave(t *testing.T) {
	for name, c := range map[string]struct{ old, next, want string }{
		"a task that is gone": {"", "  - other: {wait: {for: P1D}}", "not_migratable the new text has no task x"},
		"another kind":        {"", "  - x: {listen: {to: {one: {on: lead.scored}}}}", "not_migratable x is wait, and listen in the new text"},
		"deeper":              {"", "  - x: {do: [{y: {wait: {for: P1D}}}]}", "not_migratable x is wait, and do in the new text"},
		"another call": {"  - x: {call: crm.note.add, with: {lead_id: instance.key, body: '\"a\"'}}",
			"  - x: {call: crm.contact.tag, with: {lead_id: instance.key, add: '[\"a\"]', remove: '[]'}}", "not_migratable x waits for its crm.note.add.requested, and emits crm.contact.tag.requested in the new text"},
		"a timeout that is gone": {"  - x: {listen: {to: {one: {on: lead.scored}}}, timeout: {after: P1D, then: end}}",
			"  - x: {listen: {to: {one: {on: lead.scored}}}}", "not_migratable x has a timeout armed, and none in the new text"},
		"out of a catch": {"  - t:\n      try: [{fail: {raise: {error: raised/a}}}]\n      catch: {errors: [raised/*], do: [{x: {wait: {for: P1D}}}]}",
			"  - t:\n      try: [{x: {wait: {for: P1D}}}]\n      catch: {errors: [raised/*], do: [{fail: {wait: {for: P1D}}}]}", "not_migratable t/x stands in other tasks in the new text"},
		"a compensation": {"  - a: {emit: {type: lead.updated, data: {lead_id: instance.key}, undo: [{type: lead.updated, data: {lead_id: instance.key}}]}}\n  - x: {wait: {for: P1D}}",
			"  - x: {wait: {for: P1D}}", "not_migratable its compensation is kept: the new text has no task a"},
	} {
		if c.old == "" {
			c.old = "  - x: {wait: {for: P1D}}"
		}
		const start = "start: {on: [lead.created], key: data.lead_id}\ndo:\n"
		w := newRig(t, workflow("w", start+c.old))
		w.lead("7")
		before := w.only()
		w.publish(workflow("w", start+c.next))
		if w.migrate(before.ID); w.refusal() != c.want {
			t.Errorf("%s: got %q\nwant %q", name, w.refusal(), c.want)
		}
		if after := w.only(); after.Bundle != before.Bundle || after.Activation != before.Activation {
			t.Errorf("%s: it moved", name)
		}
	}
	w := newRig(t, workflow("w", patiently("old")))
	w.lead("7")
	ask := func(to int64, more map[string]any) string {
		data := map[string]any{"instance_id": w.only().ID, "to_version": to, "tasks": []any{}, "retime": false}
		for k, v := range more {
			data[k] = v
		}
		w.send("workflow.migrated", data)
		return w.refusal()
	}
	old := w.inForce()
	w.publish(workflow("w", patiently("new")))
	w.is(ask(old-1+100, nil), "not_in_force")
	w.is(ask(w.inForce(), map[string]any{"retime": true}), "unsupported")
	w.is(ask(w.inForce(), map[string]any{"tasks": []any{map[string]any{"from": "pause", "to": "x"}}}), "unsupported")
	w.is(ask(w.inForce(), map[string]any{"instance_id": "00000000-0000-0000-0000-000000000000"}), "ended")
	w.publish(workflow("other", patiently("new")))
	w.is(ask(w.inForce(), nil), "no_workflow")
	lost(w, "7")
	w.is(ask(w.inForce(), nil), "ended")
}

// What waits for a person goes on waiting for one, with nothing armed and nothing heard that was not before.
func TestMigrate_LeavesIncidentsAndSuspensionsAsTheyAre(t *testing.T) {
	const failing = `
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do:
  - f: {fork: {branches: [{a: {do: [{bad: {set: {x: '%s'}}}, {last: {wait: {for: P1D}}}]}}, {b: {wait: {for: P2D}}}]}}
  - answer: {listen: {to: {one: {on: lead.scored}}%s}}`
	w := newRig(t, workflow("w", fmt.Sprintf(failing, "1 / 0", "")))
	w.lead("7")
	id := w.only().ID
	verb(w, "workflow.suspended", map[string]any{"instance_id": id})
	before := w.only()
	timers, waits := fmt.Sprint(w.store.Timers()), fmt.Sprint(w.store.Instances()[0].Waits)
	w.publish(workflow("w", fmt.Sprintf(failing, "1", ", since: start")))
	w.migrate(id)
	w.is(w.refusal(), "")
	in := w.only()
	if in.Status != advance.Suspended || fmt.Sprint(in.Tokens[1].Incident) != fmt.Sprint(before.Tokens[1].Incident) || len(in.Slots) > 0 {
		t.Errorf("after the migration it is %s: %+v", in.Status, in)
	}
	w.is(fmt.Sprint(w.store.Timers()), timers)
	w.is(fmt.Sprint(w.store.Instances()[0].Waits), waits)
	verb(w, "workflow.resumed", map[string]any{"instance_id": id})
	if in = w.only(); in.Status != advance.InTrouble {
		t.Errorf("after the resume it is %s", in.Status)
	}
	verb(w, "workflow.incident.resolved", map[string]any{"instance_id": id, "incident_id": in.Tokens[1].Incident.ID, "action": "retry"})
	if in = w.only(); in.Status != advance.Waiting || in.Tokens[1].Task != "f/a/last" {
		t.Errorf("after the retry by the mended text it is %s at %s", in.Status, in.Tokens[1].Task)
	}
}

// A migration must not give a group two instances that live for a key.
func TestMigrate_RefusesAGroupInWhichAnotherInstanceLives(t *testing.T) {
	grouped := "concurrency: {group: outreach, on_conflict: refuse}\n" + patient
	w := newRig(t, workflow("w", patiently("old")))
	w.lead("7")
	w.lead("7")
	rows := w.store.Instances()
	w.publish(workflow("w", fmt.Sprintf(grouped, "new")))
	w.migrate(rows[0].ID)
	w.is(w.refusal(), "")
	w.migrate(rows[1].ID)
	w.is(w.refusal(), "concurrency in the new text it is of the group outreach, in which the instance "+rows[0].ID+" lives for its key")
	n := len(w.log)
	w.lead("7")
	w.is(w.since(n), "workflow.rejected:concurrency")
}
