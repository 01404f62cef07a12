package advance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
)

func waiting(name string) *flow.Task { return task(name, &flow.Wait{For: minutes(60)}) }

func booked(p *flow.Program, f func(u *flow.Until)) *flow.Program {
	p.Until = []flow.Until{{Name: "booked", Match: flow.Match{On: []string{"lead.booked"}}}}
	if f != nil {
		f(&p.Until[0])
	}
	p.Link()
	return p
}

func TestUntil_EndsTheInstanceAndDisarmsItsTimers(t *testing.T) {
	r := newRig(t, booked(program(waiting("w"), note("late")), func(u *flow.Until) { u.Do = []*flow.Task{note("thanks")} }))
	r.p.Finally = []*flow.Task{note("finally")}
	r.p.Link()
	r.start()
	armed := r.last.Arm
	res := r.hear("lead.booked", nil)
	r.is(Completed, "booked", "thanks finally")
	if len(armed) != 2 || len(res.Disarm) != 2 || res.Disarm[0] != armed[0].ID || res.Disarm[1] != armed[1].ID || res.Lifecycle.Type != TypeCompleted || res.Lifecycle.Outcome != "booked" {
		t.Errorf("armed %v, disarmed %v, told %+v", armed, res.Disarm, res.Lifecycle)
	}
	if again := r.hear("lead.booked", nil); again.Ignored != AlreadyEnd || len(again.Outputs) > 0 {
		t.Errorf("what ended moved again: %+v", again)
	}
}

func TestUntil_HearsOldFactsOnlyIfTheyHappenedSinceTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		origin event.Origin
		at     time.Duration // after the start
		ends   bool
	}{
		"live": {event.OriginLive, -time.Hour, true}, "redrive": {event.OriginRedrive, 0, true}, "echo": {event.OriginEcho, time.Hour, false},
		"old import": {event.OriginImport, -time.Hour, false}, "new import": {event.OriginImport, time.Second, true},
		"old backfill": {event.OriginBackfill, -time.Second, false}, "new backfill": {event.OriginBackfill, 0, true},
	} {
		r := newRig(t, booked(program(waiting("w")), nil)).start()
		on := r.event("lead.booked", map[string]any{"lead_id": "7"})
		on.Event.Origin, on.Event.Time = c.origin, began.Add(c.at)
		if r.give(on); r.in.Status.Ended() != c.ends {
			t.Errorf("%s: ended %v", name, r.in.Status.Ended())
		}
	}
	r := newRig(t, booked(program(waiting("w")), nil)).start()
	r.env.Corrects = func(e *event.Recorded) bool { return true }
	if r.hear("lead.booked", nil); r.in.Status.Ended() {
		t.Error("a correction of history ended a living instance")
	}
}

func TestUntil_IsAskedBeforeTheCallThatTheEventAnswers(t *testing.T) {
	p := program(callTask("c", nil), note("after"))
	p.Until = []flow.Until{{Name: "done", Match: flow.Match{On: []string{"crm.task.add.succeeded"}, From: x(`"7"`)}}}
	r := newRig(t, p).start()
	r.outcome("crm.task.add.succeeded", nil)
	r.is(Completed, "done", "c")
}

func TestUntil_ThatCannotBeEvaluatedHoldsTheInstance(t *testing.T) {
	r := newRig(t, booked(program(waiting("w"), note("a")), func(u *flow.Until) { u.Match.When = x("data.nothing.x") })).start()
	res := r.hear("lead.booked", nil)
	if r.in.Status != InTrouble || res.Lifecycle.Type != TypeIncident {
		t.Fatalf("%s %+v", r.in.Status, res.Lifecycle)
	}
	if !r.next() {
		t.Error("its timers are off")
	}
	r.is(InTrouble, "", "")
	r.verb(Retry, res.Lifecycle.Incidents[0].ID)
	r.is(Completed, "end", "a")
}

func TestIncident_StopsItsTokenAndNothingElse(t *testing.T) {
	branches := task("f", &flow.Fork{Branches: []*flow.Task{
		task("bad", &flow.Do{Tasks: []*flow.Task{waiting("w"), failing("x"), note("healed")}}),
		task("good", &flow.Do{Tasks: []*flow.Task{task("v", &flow.Wait{For: minutes(90)}), note("b")}}),
	}})
	for name, c := range map[string]struct {
		then    func(r *rig, id string)
		status  Status
		outcome string
		emitted string
	}{
		"another token goes on": {func(r *rig, _ string) { r.next() }, InTrouble, "", "b"},
		"until ends it":         {func(r *rig, _ string) { r.hear("lead.booked", nil) }, Completed, "booked", ""},
		"skip":                  {func(r *rig, id string) { r.verb(Skip, id); r.next() }, Completed, "end", "healed b"},
		"retry fails again":     {func(r *rig, id string) { r.verb(Retry, id) }, InTrouble, "", ""},
		"retry after a change": {func(r *rig, id string) {
			r.in.Vars = State{"missing": map[string]any{"x": int64(1)}}
			r.verb(Retry, id)
			r.next()
		}, Completed, "end", "healed b"},
		"cancel":              {func(r *rig, _ string) { r.verb(Cancel, "") }, Cancelled, "cancel", ""},
		"an unknown incident": {func(r *rig, _ string) { r.verb(Retry, "no"); r.verb(Skip, "") }, InTrouble, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, booked(program(branches), nil)).start()
			r.cut = true
			r.next()
			if r.in.Status != InTrouble || len(r.in.timers()) != 2 {
				t.Fatalf("%s %v", r.in.Status, r.in.timers())
			}
			r.is(InTrouble, "", "")
			incident := r.told[len(r.told)-1].Incidents[0]
			if incident.Task != "f/bad/x" || incident.Code != "expression/missing_key" {
				t.Errorf("%+v", incident)
			}
			c.then(r, incident.ID)
			r.is(c.status, c.outcome, c.emitted)
		})
	}
}

func TestRetry_IsANewVisitWithNewIDs(t *testing.T) {
	r := newRig(t, program(task("t", &flow.Try{Tasks: []*flow.Task{note("a"), failing("x")}, Retry: &flow.Retry{Attempts: 1, Delay: *minutes(5)}}))).start()
	r.next()
	if len(r.outs) != 2 || r.outs[0].ID == r.outs[1].ID {
		t.Errorf("%+v: the ledger would swallow the second", r.outs)
	}
}

func TestCompensation_RunsNewestFirstWhenCancelledOrFaulted(t *testing.T) {
	undoable := func(name string) *flow.Task {
		return task(name, &flow.Emit{Type: "note.made", Data: set(`text: "` + name + `"`), Undo: []*flow.Emit{{Type: "note.made", Data: set(`text: "undo-` + name + `" + string(week)`)}}})
	}
	do := []*flow.Task{task("f", &flow.For{Each: "week", In: x("[1, 2]"), Tasks: []*flow.Task{undoable("a")}}), waiting("w")}
	r := newRig(t, program(do...))
	r.cut = true
	r.start().verb(Cancel, "")
	r.is(Cancelled, "cancel", "a a undo-a2 undo-a1")
	r = newRig(t, program(append(do[:1:1], task("r", &flow.Raise{Error: "raised/x"}))...)).start()
	r.is(Faulted, "raised/x", "a a undo-a2 undo-a1")
	r = newRig(t, program(do...)).start()
	r.next()
	r.is(Completed, "end", "a a")
	call := callTask("c", nil)
	call.Step.(*flow.Call).Emit.Undo = []*flow.Emit{{Type: "note.made", Data: set(`text: "undo-c"`)}}
	for outcome, want := range map[string]string{"crm.task.add.succeeded": "c undo-c", "crm.task.add.failed": "c"} {
		r = newRig(t, program(task("t", &flow.Try{Tasks: []*flow.Task{call}}), waiting("w"))).start()
		r.outcome(outcome, nil)
		r.verb(Cancel, "")
		r.is(Cancelled, "cancel", want)
	}
}

func TestSuspended_RemembersWhatComesAndRunsNothing(t *testing.T) {
	r := newRig(t, booked(program(waiting("w"), note("a"), task("l", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{"activity.recorded"}}}}), note("b")), nil)).start()
	r.verb(Suspend, "")
	r.next()
	r.is(Suspended, "", "")
	r.verb(Resume, "")
	r.is(Waiting, "", "a")
	r.verb(Suspend, "")
	r.hear("activity.recorded", nil)
	r.is(Suspended, "", "a")
	if r.verb(Suspend, "").Ignored != IsSuspended {
		t.Error("suspended twice")
	}
	r.hear("lead.booked", nil)
	r.is(Completed, "booked", "a")

	r = newRig(t, program(callTask("c", nil)))
	r.p.Finally = []*flow.Task{note("finally")}
	r.p.Link()
	r.cut = true
	r.start().verb(Suspend, "")
	r.outcome("crm.task.add.succeeded", nil)
	r.is(Suspended, "", "c")
	r.verb(Resume, "")
	r.is(Completed, "end", "c finally")
}

func TestErased_DerivesAndKeepsNothing(t *testing.T) {
	undoable := task("a", &flow.Emit{Type: "note.made", Data: set(`text: "a"`), Undo: []*flow.Emit{{Type: "note.made", Data: set("text: vars.name")}}})
	r := newRig(t, program(undoable, waiting("w")))
	r.p.Start.Set = set("name: data.first_name", "lead: data.lead_id")
	r.p.Finally = []*flow.Task{note("finally")}
	r.p.Link()
	r.start("Annabel")
	res := r.verb(Erased, "")
	r.is(Cancelled, "erased", "a")
	state, personal, err := r.in.Encode()
	if err != nil || len(personal) > 0 || len(r.in.Vars) > 0 || len(res.Disarm) != 2 || strings.Contains(string(state), "Annabel") {
		t.Errorf("%s %s %v", state, personal, err)
	}
}

func TestFinally_NeitherWaitsNorReachesAPerson(t *testing.T) {
	for name, c := range map[string]struct {
		task *flow.Task
		want string
	}{
		"wait":    {waiting("w"), "a"},
		"message": {sms("m"), "a"},
		"call":    {callTask("c", nil), "a"},
		"listen":  {task("l", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{"lead.booked"}}}}), "a"},
		"retry":   {task("t", &flow.Try{Tasks: []*flow.Task{failing("x")}, Retry: &flow.Retry{Attempts: 3, Delay: *minutes(5)}, Catch: []*flow.Task{note("c")}}), "a c b"},
	} {
		r := newRig(t, program(note("a")))
		r.p.Finally = []*flow.Task{c.task, note("b")}
		r.p.Link()
		r.start()
		if r.is(Completed, "end", c.want); len(r.last.Failures) == 0 || len(r.in.Tokens)+len(r.in.timers()) > 0 {
			t.Errorf("%s: %+v", name, r.last.Failures)
		}
	}
}

func TestDeadline_EndsTheInstance(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		p := program(task("l", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{"lead.booked"}}}}))
		p.Timeout = &flow.Deadline{After: *minutes(60), Cancelled: cancelled}
		r := newRig(t, p).start()
		r.fire(*r.in.Deadline, r.in.Deadline.Due)
		r.is(map[bool]Status{true: Cancelled, false: Completed}[cancelled], "timeout", "")
	}
	r := newRig(t, program(task("l", &flow.Listen{To: flow.One, Matches: []flow.Match{{On: []string{"lead.booked"}}}}))).start()
	if due := r.in.Deadline.Due; !due.Equal(began.AddDate(0, 0, MaxLifeDays)) {
		t.Errorf("lives until %s", due)
	}
	r.fire(*r.in.Deadline, r.in.Deadline.Due)
	r.is(Cancelled, "limit", "")
}

func TestTimer_ThatIsStaleOrEarlyChangesNothing(t *testing.T) {
	r := newRig(t, program(waiting("w"), waiting("v"))).start()
	before, _, err := r.in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	timer := *r.in.Tokens[0].Timer
	if res := r.fire(timer, timer.Due.Add(-2*time.Minute)); res.Ignored != Early || len(res.Arm)+len(res.Disarm) > 0 {
		t.Errorf("%+v", res)
	}
	if after, _, _ := r.in.Encode(); string(after) != string(before) {
		t.Error("an early firing changed the instance")
	}
	if res := r.fire(timer, timer.Due.Add(-30*time.Second)); res.Ignored != "" || len(res.Disarm) > 0 || len(res.Arm) != 1 || !res.Arm[0].Due.Equal(timer.Due.Add(time.Hour)) {
		t.Errorf("a firing within the tolerance counts from its due: %+v", res)
	}
	before, _, _ = r.in.Encode()
	if res := r.fire(timer, timer.Due.Add(time.Hour)); res.Ignored != Stale {
		t.Errorf("%+v", res)
	}
	if after, _, _ := r.in.Encode(); string(after) != string(before) {
		t.Error("a stale firing changed the instance")
	}
}

func TestHops_AreThoseOfTheStartUntilATimerResumes(t *testing.T) {
	r := newRig(t, program(note("a"), callTask("c", nil), callTask("d", nil), waiting("w"), note("b")))
	on := r.event("lead.created", map[string]any{"lead_id": "7"})
	on.Event.Hops, on.Event.Path = 4, []string{"a.b<r@1", "a.b<r@1", "a.b<r@1", "a.b<r@1"}
	trigger, _, _, _, err := Match(t.Context(), r.p, on, r.env)
	if err != nil {
		t.Fatal(err)
	}
	r.in = Enrol(r.p, trigger, on, Population{}, r.env.Calendars).Instance
	on.Kind = Start
	r.give(on)
	if e := Envelope(r.in, on.Event, r.outs[0]); len(e.Path) != 5 || e.Hops != 5 {
		t.Errorf("%+v", e)
	}
	r.outcome("crm.task.add.succeeded", nil)
	r.outcome("crm.task.add.succeeded", nil)
	r.next()
	hops := ""
	for _, o := range r.outs {
		hops += fmt.Sprint(o.Hops, " ")
	}
	if hops != "5 5 5 1 " || !r.in.Resumed {
		t.Error(hops)
	}
	e := Envelope(r.in, r.event("timer.fired", nil).Event, r.outs[3])
	if err := e.CheckAttributes(); err != nil || len(e.Path) != 1 || e.Path[0] != "note.made<w@0" || e.CorrelationID != "e1" || e.CausationID != "e5" || e.ID != r.outs[3].ID {
		t.Errorf("%v %+v", err, e)
	}
}

func TestFailures_SayWhetherDataExplainsThem(t *testing.T) {
	long := `"` + strings.Repeat("a", 7000) + `"`
	for name, c := range map[string]struct {
		task   *flow.Task
		counts bool
	}{
		"a value is missing":    {failing("x"), false},
		"no value has a part":   {task("x", &flow.Set{Vars: set("a: 1 / 0")}), true},
		"no schema":             {task("x", &flow.Emit{Type: "no.such", Data: set(`text: "a"`)}), true},
		"a constant misfits":    {task("x", &flow.Emit{Type: "note.made", Data: set("text: 1")}), true},
		"a value misfits":       {task("x", &flow.Emit{Type: "note.made", Data: set("text: instance.started")}), false},
		"no such calendar":      {task("x", &flow.Wait{For: minutes(5), In: "no"}), true},
		"the file's own error":  {task("x", &flow.Raise{Error: "raised/x"}), false},
		"nobody has room":       {task("x", &flow.Assign{Pool: "p"}), false},
		"variables over bounds": {task("x", &flow.Set{Vars: set("a: "+long, "b: "+long, "c: "+long)}), false},
	} {
		r := newRig(t, program(c.task))
		r.env.Pools = map[string]Pool{"p": {}}
		r.start()
		if f := r.last.Failures; len(f) != 1 || f[0].Counts != c.counts || f[0].Task != "x" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	r := newRig(t, program(note("a"), failing("x"))).start()
	if s := r.last.Succeeded; len(s) != 1 || s[0] != "a" {
		t.Errorf("%v", s)
	}
}

func TestBudget_StopsAnActivationWhereverItRuns(t *testing.T) {
	costly := func(name string) *flow.Task {
		const ten = "[0,1,2,3,4,5,6,7,8,9]"
		f := task(name, &flow.Set{Vars: set("a: " + ten + ".all(a, " + ten + ".all(b, " + ten + ".all(c, " + "a + b + c < 100)))")})
		return task("l"+name, &flow.For{Each: "week", In: x(strings.Repeat("[1,2,3,4,5,6,7,8,9,10] + ", 9) + "[1]"), Tasks: []*flow.Task{f}})
	}
	r := newRig(t, program(task("t", &flow.Try{Tasks: []*flow.Task{costly("a")}, Catch: []*flow.Task{costly("b")}})))
	r.start()
	if r.in.Status != InTrouble || r.last.Failures[0].Code != errLimit || r.last.Failures[0].Counts || r.last.Cost > 1_100_000 {
		t.Errorf("%s, %+v, cost %d", r.in.Status, r.last.Failures, r.last.Cost)
	}
}
