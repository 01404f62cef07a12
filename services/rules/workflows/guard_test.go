package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
)

// looping waits three minutes and starts itself three times: after each generation all but the newest were resumed by a timer, so counting
// timers would never find it.
const looping = `
start: {on: [lead.scored], key: 'data.lead_id'}
loops: allowed
do:
  - a: {wait: {for: PT1M}}
  - b: {wait: {for: PT1M}}
  - c: {wait: {for: PT1M}}
  - d: {emit: {type: lead.scored, data: {lead_id: 'instance.key + "a"', score: '1', reason: '"x"'}}}
  - e: {emit: {type: lead.scored, data: {lead_id: 'instance.key + "b"', score: '1', reason: '"x"'}}}
  - f: {emit: {type: lead.scored, data: {lead_id: 'instance.key + "c"', score: '1', reason: '"x"'}}}
`

func scored(w *rig, id string) Out {
	return w.send("lead.scored", map[string]any{"lead_id": id, "score": int64(1), "reason": "x"})
}

func TestGuard_EndsALoopThatOutgrowsItsTimers(t *testing.T) {
	w := newRig(t, workflow("w", looping))
	scored(w, "7")
	w.until(monday.Add(2 * time.Hour))
	started, refused, tripped := 0, 0, 0
	for i := range w.log {
		switch r := &w.log[i]; {
		case r.Type == advance.TypeStarted:
			started++
		case r.Type == advance.TypeRejected && w.data(r)["reason"] == advance.RejectRate:
			refused++
		case r.Type == typeFailed && w.data(r)["tripped"] == true && w.data(r)["code"] == advance.RejectRate:
			tripped++
		}
	}
	if started < 1_000 || started > 2_200 || refused != maxRefused || tripped != 1 || w.store.live != 0 {
		t.Errorf("%d started, %d were refused, it tripped %d times, %d live", started, refused, tripped, w.store.live)
	}
	w.send("engine.rule.reset", map[string]any{"rule": "w"})
	if scored(w, "8"); w.store.live != 1 {
		t.Error("after a reset it starts nothing")
	}
}

// However many leads come from outside, they are no circle.
func TestGuard_CountsNoFactsFromOutside(t *testing.T) {
	w := newRig(t, workflow("w", strings.ReplaceAll(looping, "PT1M", "P3D")))
	for i := range 1_200 {
		scored(w, fmt.Sprint(i))
	}
	w.send("lead.scored", map[string]any{"lead_id": "derived", "score": int64(1), "reason": "x"}, func(e *event.Event) { e.Hops = 1 })
	if w.store.live != 1_201 {
		t.Errorf("%d live", w.store.live)
	}
}

func TestHealth_TripsOnFailuresOfDifferentKeysThatNoValueExplains(t *testing.T) {
	const failing = `
start: {on: [lead.created], key: data.lead_id, reentry: {policy: concurrent}}
do:
  - bad: {set: {x: '%s'}}
  - pause: {wait: {for: P1D}}`
	tell := func(w *rig) (incidents, tripped, rejected int) {
		for i := range w.log {
			switch r := &w.log[i]; {
			case r.Type == advance.TypeIncident:
				incidents++
			case r.Type == typeFailed:
				tripped++
			case r.Type == advance.TypeRejected && w.data(r)["reason"] == rejectTripped:
				rejected++
			}
		}
		return incidents, tripped, rejected
	}
	for name, c := range map[string]struct {
		value string
		keys  int
		want  [3]int
	}{
		"on different keys":    {"1 / 0", 7, [3]int{5, 1, 2}},
		"on one key":           {"1 / 0", 1, [3]int{7, 0, 0}},
		"explained by a value": {"1 / (size(instance.key) - size(instance.key))", 7, [3]int{7, 0, 0}},
	} {
		w := newRig(t, workflow("w", fmt.Sprintf(failing, c.value)))
		for i := range 7 {
			w.lead(fmt.Sprint(i % c.keys))
		}
		if a, b, d := tell(w); [3]int{a, b, d} != c.want {
			t.Errorf("%s: %d incidents, tripped %d times, %d rejected; want %v", name, a, b, d, c.want)
		}
	}
	w := newRig(t, workflow("w", fmt.Sprintf(failing, "1 / 0")))
	for i := range 5 {
		w.lead(fmt.Sprint(i))
	}
	w.send("engine.rule.reset", map[string]any{"rule": "w"})
	w.lead("9")
	if a, b, d := tell(w); a != 6 || b != 1 || d != 0 {
		t.Errorf("after a reset: %d incidents, tripped %d times, %d rejected", a, b, d)
	}
}

func TestHealth_TripsOnAStorm(t *testing.T) {
	w := newRig(t, workflow("w", notes))
	w.send("engine.storm.detected", map[string]any{"rule": "w", "version": int64(1), "hops": int64(17), "path": []any{"a<w@1"}, "event_id": "x"})
	n := len(w.log)
	w.lead("7")
	w.is(w.since(n), "workflow.rejected:tripped")
}

func verb(w *rig, typ string, data map[string]any) string {
	n := len(w.log)
	w.send(typ, data)
	return w.since(n)
}

func TestVerbs_MoveInstancesOrSayWhyNot(t *testing.T) {
	w := newRig(t, workflow("w", notes), workflow("bad", `
start: {on: [lead.scored], key: data.lead_id}
do:
  - x: {set: {x: '1 / 0'}}
  - y: {wait: {for: P1D}}`))
	w.lead("7")
	id := map[string]any{"instance_id": w.only().ID}
	none := map[string]any{"instance_id": "00000000-0000-0000-0000-000000000000"}
	w.is(verb(w, "workflow.resumed", id), "workflow.verb.refused:not_suspended")
	w.is(verb(w, "workflow.suspended", id), "")
	w.is(verb(w, "workflow.suspended", id), "workflow.verb.refused:suspended")
	n := len(w.log)
	w.later(3 * time.Hour)
	w.is(w.since(n), "") // its timer fired, and no task ran
	w.is(verb(w, "workflow.resumed", id), "note.add")
	w.is(verb(w, "workflow.cancel.requested", none), "workflow.verb.refused:ended")
	w.is(verb(w, "workflow.cancel.requested", id), "workflow.cancelled:cancel")
	w.is(verb(w, "workflow.cancel.requested", id), "workflow.verb.refused:ended")
	w.is(verb(w, "workflow.start.requested", map[string]any{"workflow": "w", "key": "9", "about": "lead/9"}), "workflow.verb.refused:no_event")

	scored(w, "7")
	bad := w.only()
	resolve := func(action, incident string) string {
		return verb(w, "workflow.incident.resolved", map[string]any{"instance_id": bad.ID, "incident_id": incident, "action": action})
	}
	w.is(resolve("repair", bad.Tokens[0].Incident.ID), "workflow.verb.refused:unknown_action")
	w.is(resolve("skip", "other"), "workflow.verb.refused:no_incident")
	w.is(resolve("retry", bad.Tokens[0].Incident.ID), "workflow.incident.raised")
	w.is(resolve("skip", w.only().Tokens[0].Incident.ID), "")
	if s := w.only().Status; s != advance.Waiting {
		t.Errorf("after it was skipped it is %s", s)
	}
}

func TestPause_HoldsInstancesUntilItIsOver(t *testing.T) {
	w := newRig(t, workflow("w", notes))
	for i := range 250 {
		w.lead(fmt.Sprint(i))
	}
	w.is(verb(w, "workflow.paused", map[string]any{"workflow": "other", "hold": true}), "workflow.verb.refused:no_workflow")
	w.is(verb(w, "workflow.unpaused", map[string]any{"workflow": "w"}), "workflow.verb.refused:not_paused")
	w.is(verb(w, "workflow.paused", map[string]any{"workflow": "w", "hold": true}), "")
	n := len(w.log)
	w.lead("x")
	w.is(w.since(n), "workflow.rejected:paused")
	n = len(w.log)
	w.later(61 * time.Minute)
	w.is(w.since(n), "") // 250 timers fired, and nothing was done
	lost(w, "3")
	w.is(w.since(n), "workflow.cancelled:gone")
	out := w.send("workflow.unpaused", map[string]any{"workflow": "w"})
	if out.Moved != resumedAtOnce {
		t.Errorf("%d went on at once", out.Moved)
	}
	moved := 0
	for range 4 {
		moved += w.send("lead.contacted", map[string]any{"lead_id": "nobody"}).Moved
	}
	if moved > 149 || strings.Count(w.since(n), "note.add") != 249 { // what it derived itself moved the rest on, too
		t.Errorf("%d went on by later events, %d notes", moved, strings.Count(w.since(n), "note.add"))
	}
	w.later(2 * time.Hour)
	if w.store.live != 0 {
		t.Errorf("%d live", w.store.live)
	}
}

// With hold: false what runs goes on.
func TestPause_WithoutHoldStopsStartsAlone(t *testing.T) {
	w := newRig(t, workflow("w", notes))
	w.lead("7")
	verb(w, "workflow.paused", map[string]any{"workflow": "w", "hold": false})
	n := len(w.log)
	w.later(61 * time.Minute)
	w.is(w.since(n), "note.add")
	lost(w, "7", func(e *event.Event) {})
	verb(w, "workflow.unpaused", map[string]any{"workflow": "w"})
	w.lead("8")
	if w.store.live != 1 {
		t.Errorf("%d live", w.store.live)
	}
}

// Who takes a workflow out, resets it and publishes a mended one has reset it.
func TestHealth_AResetHoldsWhileTheWorkflowIsOutOfTheBundle(t *testing.T) {
	w := newRig(t, workflow("w", "start: {on: [lead.created], key: data.lead_id}\ndo: [bad: {set: {x: 'timestamp(\"9999-12-31T23:59:59Z\") + duration(\"10h\")'}}]"))
	for i := range failureLimit {
		w.lead(fmt.Sprint(i))
	}
	reset := func(name string) {
		w.send(typeReset, map[string]any{"rule": name}, func(e *event.Event) { e.Subject = "rule/" + name })
	}
	w.publish(workflow("other", pausing))
	reset("w")
	reset("stranger")
	if b := w.store.named[namedKey{KindHealth, "stranger"}]; b != nil {
		t.Errorf("a name that is none keeps %s", b)
	}
	w.publish(workflow("w", pausing))
	n := len(w.log)
	w.lead("9")
	w.is(w.since(n), "")
}
