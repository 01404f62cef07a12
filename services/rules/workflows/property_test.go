package workflows

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// rounds are how many random tenants a property is tried on; NEURONX_ROUNDS asks for more.
func rounds(t *testing.T, usual int) uint64 {
	if more := os.Getenv("NEURONX_ROUNDS"); more != "" {
		n, err := strconv.Atoi(more)
		if err != nil {
			t.Fatal(err)
		}
		usual = n
	}
	return uint64(usual)
}

// anyBundle is a random bundle over leads: workflows that share keys and groups, wait, listen, call, assign, fail, and reach people.
func anyBundle(t *testing.T, r *rand.Rand) []ruleset.File {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	tasks := func() string {
		var out []string
		for i := range 1 + r.IntN(5) {
			out = append(out, fmt.Sprintf("  - t%d: %s", i, pick(
				"{wait: {for: PT"+strconv.Itoa(1+r.IntN(90))+"M}}",
				"{wait: {for: P1D, at: \"10:00\", in: office, spread: PT30M}}",
				"{emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '\"x\"'}, undo: [{type: lead.updated, data: {lead_id: instance.key}}]}}",
				"{emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}",
				"{call: crm.note.add, with: {lead_id: instance.key, body: '\"x\"'}, timeout: {after: PT2H, then: end}}",
				"{listen: {to: {one: {on: activity.recorded}}}, timeout: {after: PT3H, then: continue}}",
				"{assign: {pool: sales-team, as: owner, or: '\"nobody\"'}}",
				"{set: {n: 1 / (instance.number - "+strconv.Itoa(1+r.IntN(3))+")}}",
				"{set: {n: 1 / 0}}",
				"{if: instance.number == 2, raise: {error: raised/no}}",
				"{fork: {branches: [{a: {wait: {for: PT5M}}}, {b: {listen: {to: {one: {on: lead.contacted}}}}}], compete: true}}",
			)))
		}
		return strings.Join(out, "\n")
	}
	files := example(t, "office.yaml", "sales-team.yaml")
	for _, name := range []string{"a", "b", "c"} {
		spec := "start: {on: [" + pick("lead.created", "lead.scored", "lead.created, lead.scored") + "], key: data.lead_id, reentry: {policy: " + pick("once", "after_end", "restart", "concurrent") + "}}\n"
		if r.IntN(2) == 0 {
			spec += "concurrency: {group: g, on_conflict: " + pick("refuse", "replace") + "}\n"
		}
		if r.IntN(2) == 0 {
			spec += "until: {gone: {on: [lead.lost, lead.converted], status: " + pick("completed", "cancelled") + "}}\n"
		}
		if r.IntN(3) == 0 {
			spec += "timeout: {after: PT8H, then: cancelled}\n"
		}
		files = append(files, workflow(name, spec+"do:\n"+tasks()))
	}
	if r.IntN(2) == 0 {
		files = append(files, ruleset.File{Name: "p.yaml", Text: "apiVersion: neuronx/v1\nkind: ContactPolicy\nmetadata: {name: p}\nspec:\n  caps: [{channel: sms, most: 1, per: PT2H}]\n  pace: {sms: {most: 2, per: PT1M}}\n"})
	}
	set, problems := ruleset.Compile(files)
	if set == nil {
		t.Fatal(problems)
	}
	return files
}

// anyDay sends random events and lets time pass.
func anyDay(w *rig, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range 60 {
		own := strconv.Itoa(r.IntN(4))
		lead := own
		if w.rename != nil {
			lead = w.rename(own)
		}
		switch r.IntN(14) {
		case 12:
			w.merge("lead/"+own, "lead/"+strconv.Itoa(r.IntN(4)))
		case 13:
			into, _, err := w.store.Alias(w.t.Context(), "lead/"+own)
			if err != nil {
				w.t.Fatal(err)
			}
			w.unmerge("lead/"+own, cmp.Or(into.Into, "lead/0"))
		case 0, 1:
			w.lead(lead)
		case 2:
			scored(w, lead)
		case 3:
			lost(w, lead, func(e *event.Event) {
				e.Origin, e.Time = []event.Origin{event.OriginLive, event.OriginImport, event.OriginEcho}[r.IntN(3)], w.now.Add(-time.Duration(r.IntN(3))*time.Hour)
			})
		case 4:
			w.consent(lead, "sms", r.IntN(4) > 0)
		case 5:
			w.send("activity.recorded", map[string]any{"lead_id": lead, "activity_id": "x", "kind": "call", "direction": "inbound"})
		case 6:
			w.send("lead.contacted", map[string]any{"lead_id": lead})
		case 7:
			for i := range w.log {
				if c := w.log[i]; c.Type == "crm.note.add.requested" && r.IntN(2) == 0 {
					typ, data := "crm.note.add.succeeded", map[string]any{"lead_id": lead, "command_id": c.ID, "adapter": "gohighlevel"}
					if r.IntN(2) == 0 {
						typ, data["code"] = "crm.note.add.failed", "x"
					}
					w.send(typ, data, func(e *event.Event) { e.CausationID = c.ID })
					break
				}
			}
		case 8:
			if rows := w.store.Instances(); len(rows) > 0 {
				in := rows[r.IntN(len(rows))]
				w.send([]string{"workflow.suspended", "workflow.resumed", "workflow.cancel.requested"}[r.IntN(3)], map[string]any{"instance_id": in.ID})
				for _, row := range rows {
					i, err := advance.Decode(row.State, row.Personal)
					if err != nil {
						w.t.Fatal(err)
					}
					for _, tok := range i.Tokens {
						if tok.Incident != nil && r.IntN(3) == 0 {
							w.send("workflow.incident.resolved", map[string]any{"instance_id": i.ID, "incident_id": tok.Incident.ID, "action": []string{"retry", "skip"}[r.IntN(2)]})
							break
						}
					}
				}
			}
		case 9:
			if name := []string{"a", "b"}[r.IntN(2)]; r.IntN(2) == 0 {
				w.send("workflow.paused", map[string]any{"workflow": name, "hold": r.IntN(2) == 0})
			} else {
				w.send("workflow.unpaused", map[string]any{"workflow": name})
			}
		default:
			w.later(time.Duration(1+r.IntN(200)) * time.Minute)
		}
	}
}

// The same log gives the same bytes: by a fold that is made again over what is kept before each event, and by one that takes each event back
// once because the machine failed in the middle of it; and data that NeedsData does not ask for is not missed.
func TestFold_GivesTheSameBytesAfterCutsAndFailures(t *testing.T) {
	kinds, spared := map[string]int{}, 0
	for seed := range rounds(t, 20) {
		r := rand.New(rand.NewPCG(seed, 1))
		files, next := anyBundle(t, r), anyBundle(t, r)
		run := func(change func(w *rig)) *rig {
			w := newRig(t, files...)
			change(w)
			anyDay(w, seed)
			w.publish(next...)
			migrateAll(w)
			anyDay(w, seed+1_000)
			return w
		}
		plain := run(func(*rig) {})
		want := plain.bytes()
		for name, change := range map[string]func(*rig){
			"again":                  func(*rig) {},
			"cut":                    func(w *rig) { w.restarts = true },
			"taken back early":       func(w *rig) { w.broken = 2 },
			"taken back late":        func(w *rig) { w.broken = 5 },
			"only data that is read": func(w *rig) { w.spares = true },
		} {
			changed := run(change)
			if got := changed.bytes(); !bytes.Equal(got, want) {
				t.Fatalf("seed %d, %s: other bytes at %s", seed, name, firstOther(got, want))
			}
			spared += changed.spared
		}
		for i := range plain.log {
			kinds[plain.log[i].Type]++
		}
		check(t, seed, plain)
	}
	if spared == 0 {
		t.Error("no event was spared its data")
	}
	for _, typ := range []string{"workflow.started", "workflow.advanced", "workflow.completed", "workflow.cancelled", "workflow.faulted", "workflow.incident.raised", "workflow.rejected",
		"workflow.verb.refused", "subject.merged", "subject.unmerged", "crm.message.send.requested", "crm.note.add.requested", "timer.fired", "lead.updated"} {
		if kinds[typ] == 0 {
			t.Errorf("no run had a %s: %v", typ, kinds)
		}
	}
}

// migrateAll asks of each instance that lives to go on by the text in force, and of every other one a second time. What moves has the timers that it
// had, and no task has run.
func migrateAll(w *rig) {
	w.t.Helper()
	for i, row := range w.store.Instances() {
		if row.Status.Ended() {
			continue
		}
		armed := fmt.Sprint(w.store.Timers())
		for range 1 + i%2 {
			if out := w.migrate(row.ID); len(out.Events) != 1 || out.Started+out.Ended > 0 {
				w.t.Fatalf("migrating %s derived %v", row.ID, out.Events)
			}
		}
		if now := fmt.Sprint(w.store.Timers()); now != armed {
			w.t.Fatalf("migrating %s changed what is armed:\n%s\n%s", row.ID, armed, now)
		}
	}
}

func firstOther(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i, x[i], y[i])
		}
	}
	return "the end"
}

// check holds what is true of every run: timers are those of instances that live, rows say what
// instances say, and no two events have one id.
func check(t *testing.T, seed uint64, w *rig) {
	t.Helper()
	armed := map[string]bool{}
	for _, row := range w.store.Instances() {
		in, err := advance.Decode(row.State, row.Personal)
		if err != nil {
			t.Fatal(err)
		}
		key, _, err := w.fold.ownKey(t.Context(), &in, in.Key)
		if err != nil {
			t.Fatal(err)
		}
		if in.Status != row.Status || key != row.Key && !in.Status.Ended() || in.Paused != row.Paused || in.Status.Ended() && len(row.Waits)+len(in.Tokens) > 0 {
			t.Errorf("seed %d: a row of %s says %s and %v", seed, in.Status, row.Status, row.Waits)
		}
		if in.Deadline != nil {
			armed[in.Deadline.ID] = true
		}
		for _, tok := range in.Tokens {
			if tok.Timer != nil {
				armed[tok.Timer.ID] = true
			}
		}
	}
	for _, timer := range w.store.Timers() {
		if !armed[timer.ID] {
			t.Errorf("seed %d: timer %s is armed and no instance has it", seed, timer.ID)
		}
		delete(armed, timer.ID)
	}
	if len(armed) > 0 {
		t.Errorf("seed %d: instances have timers that are not armed: %v", seed, armed)
	}
	ids := map[string]bool{}
	for i := range w.log {
		if id := w.log[i].ID; ids[id] && id != "quiet" {
			t.Errorf("seed %d: two events have the id %s, the second is a %s", seed, id, w.log[i].Type)
		}
		ids[w.log[i].ID] = true
	}
}
