package advance

import (
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/flow"
)

func (r *rig) migrate(to *flow.Program) Result {
	r.t.Helper()
	on := r.event("workflow.migrated", nil)
	on.Kind, on.From, on.Bundle = Migrate, r.p, r.in.Bundle+1
	r.p = to
	return r.give(on)
}

// An answer that was remembered may be the one after which nobody should be messaged: it is not lost with its listen.
func TestMigrate_KeepsWhatAListenHasRemembered(t *testing.T) {
	pause := func() *flow.Task { return task("pause", &flow.Wait{For: minutes(90)}) }
	answer := func(on string) *flow.Task {
		return task("answer", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{on}}}, Since: "start", Set: set(`said: "yes"`)})
	}
	old, gone, other, same := program(pause(), answer("activity.recorded")), program(pause(), note("end")), program(pause(), answer("lead.booked")), program(pause(), answer("activity.recorded"), note("end"))

	r := newRig(t, old).start()
	if why := Migratable(old, gone, r.in); why != "" {
		t.Errorf("with nothing remembered: %s", why)
	}
	if r.migrate(gone); len(r.in.Slots) > 0 {
		t.Errorf("a listen that is gone remembers on: %+v", r.in.Slots[0])
	}
	r.hear("activity.recorded", nil) // is heard by nothing, and must not fail
	r.next()
	r.is(Completed, "end", "end")

	r = newRig(t, old).start()
	r.hear("activity.recorded", nil)
	for name, to := range map[string]*flow.Program{"gone": gone, "for another event": other} {
		const want = "answer has remembered an event, and is no listen for the same events in the new text"
		if why := Migratable(old, to, r.in); why != want {
			t.Errorf("%s: %q", name, why)
		}
	}
	before := r.in.Tokens[0].Timer
	res := r.migrate(same)
	if res.Ignored != "" || len(res.Arm)+len(res.Disarm)+len(res.Outputs) > 0 || r.in.Tokens[0].Timer.ID != before.ID || !r.in.Tokens[0].Timer.Due.Equal(began.Add(90*time.Minute)) {
		t.Errorf("%+v", res)
	}
	r.next()
	r.is(Completed, "end", "end")
	if r.in.Vars["said"] != "yes" {
		t.Errorf("the answer from before the migration is lost: %v", r.in.Vars)
	}
}
