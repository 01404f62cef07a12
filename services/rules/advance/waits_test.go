package advance

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/services/rules/flow"
)

func TestWants_ListsWhatTheInstanceHears(t *testing.T) {
	p := booked(program(callTask("c", nil), task("l", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{"activity.recorded"}, From: x("data.call"), Expect: x("vars.call")}}}), waiting("w")), nil)
	p.Do[0].Step.(*flow.Call).As = ""
	r := newRig(t, p)
	r.p.Start.Set = set(`call: "x1"`)
	r.start()
	ask := func(want string) {
		t.Helper()
		got, _, err := Wants(t.Context(), r.p, r.in, r.env, r.event("x", nil).Event)
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for _, w := range got {
			s += fmt.Sprintf("%s=%s%t%t ", w.Type, w.Value, w.Correlated, w.Command)
		}
		if s != want {
			t.Errorf("%s\nwant %s", s, want)
		}
	}
	id := r.in.Tokens[0].Command
	ask("crm.task.add.failed=" + id + "falsetrue crm.task.add.succeeded=" + id + "falsetrue engine.effect.recorded=" + id + "falsetrue lead.booked=7falsefalse ")
	r.outcome("crm.task.add.succeeded", nil)
	ask("activity.recorded=x1truefalse lead.booked=7falsefalse ")
	r.hear("activity.recorded", map[string]any{"call": "x2"})
	r.hear("activity.recorded", map[string]any{"call": "x1"})
	ask("lead.booked=7falsefalse ")
	r.hear("lead.booked", nil)
	ask("")
}

// Whatever an instance hears, it had said that it waits for: a caller that finds instances by Wants misses none.
func TestWants_MissesNoEventThatIsHeard(t *testing.T) {
	heard := 0
	for seed := range uint64(rounds(t, 400)) {
		history(t, seed, false, func(r *rig, before Instance, on Stimulus, res Result) {
			if on.Kind != Heard || res.Ignored != "" {
				return
			}
			wants, _, err := Wants(t.Context(), r.p, before, r.env, on.Event)
			if err != nil {
				t.Fatal(err)
			}
			heard++
			for _, w := range wants {
				if w.Type == on.Event.Type {
					return
				}
			}
			for _, u := range before.Undo {
				if u.Command == on.Data["command_id"] {
					return // it only says whether the command is to be undone
				}
			}
			t.Fatalf("seed %d: %s was heard, wanted are %+v", seed, on.Event.Type, wants)
		})
	}
	if heard == 0 {
		t.Error("no history heard anything")
	}
}
