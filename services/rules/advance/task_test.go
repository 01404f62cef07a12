package advance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

func sms(name string) *flow.Task {
	return task(name, &flow.Emit{Type: "crm.message.send.requested", Channel: x(`"sms"`), Data: set(`channel: "sms"`, `body: "`+name+`"`)})
}

func callTask(name string, timeout *flow.Deadline) *flow.Task {
	return task(name, &flow.Call{Emit: flow.Emit{Type: "crm.task.add.requested", Data: set(`text: "` + name + `"`)}, As: "result", Timeout: timeout})
}

func failing(name string) *flow.Task { return task(name, &flow.Set{Vars: set("a: vars.missing.x")}) }

func TestAdvance_RunsEachKindOfTask(t *testing.T) {
	when := func(src string, f *flow.Task) *flow.Task { f.If = x(src); return f }
	then := func(name string, f *flow.Task) *flow.Task { f.Then = flow.Then{Task: name}; return f }
	end := func(f *flow.Task) *flow.Task { f.Then = flow.Then{End: true}; return f }
	reply := func(l flow.Listen) *flow.Listen {
		if l.To == "" {
			l.To = flow.One
		}
		if l.Matches == nil {
			l.Matches = []flow.Match{{On: []string{"activity.recorded"}}}
		}
		return &l
	}
	steps := func(f ...func(r *rig)) func(r *rig) {
		return func(r *rig) {
			for _, one := range f {
				one(r)
			}
		}
	}
	fires := func(r *rig) {
		if !r.next() {
			r.t.Error("no timer is armed")
		}
	}
	for name, c := range map[string]struct {
		do      []*flow.Task
		then    func(r *rig)
		status  Status
		outcome string
		emitted string
	}{
		"emit":             {do: []*flow.Task{note("a"), note("b")}, status: Completed, outcome: "end", emitted: "a b"},
		"if false":         {do: []*flow.Task{when("false", end(note("a"))), note("b")}, status: Completed, outcome: "end", emitted: "b"},
		"then end":         {do: []*flow.Task{end(note("a")), note("b")}, status: Completed, outcome: "end", emitted: "a"},
		"then task":        {do: []*flow.Task{then("c", note("a")), note("b"), note("c")}, status: Completed, outcome: "end", emitted: "a c"},
		"set":              {do: []*flow.Task{task("s", &flow.Set{Vars: set("a: 1", "b: 2")}), when("vars.a + vars.b == 3", note("yes"))}, status: Completed, outcome: "end", emitted: "yes"},
		"set null":         {do: []*flow.Task{task("s", &flow.Set{Vars: set("a: 1")}), task("u", &flow.Set{Vars: set("a: null")}), when("!has(vars.a)", note("gone"))}, status: Completed, outcome: "end", emitted: "gone"},
		"switch":           {do: []*flow.Task{task("s", &flow.Switch{Cases: []flow.Case{{Name: "no", When: x("false"), Then: flow.Then{End: true}}, {Name: "else", Then: flow.Then{Task: "c"}}}}), note("b"), note("c")}, status: Completed, outcome: "end", emitted: "c"},
		"switch, no case":  {do: []*flow.Task{task("s", &flow.Switch{Cases: []flow.Case{{Name: "no", When: x("false"), Then: flow.Then{End: true}}}}), note("b")}, status: Completed, outcome: "end", emitted: "b"},
		"do":               {do: []*flow.Task{task("d", &flow.Do{Tasks: []*flow.Task{note("a"), note("b")}}), note("c")}, status: Completed, outcome: "end", emitted: "a b c"},
		"for":              {do: []*flow.Task{task("f", &flow.For{Each: "week", At: "i", In: x("[5, 6]"), Tasks: []*flow.Task{task("e", &flow.Emit{Type: "note.made", Data: set("text: string(week) + string(i)")})}})}, status: Completed, outcome: "end", emitted: "50 61"},
		"for while":        {do: []*flow.Task{task("f", &flow.For{Each: "week", In: x("[1, 2, 3]"), While: x("week < 3"), Tasks: []*flow.Task{note("r")}}), note("z")}, status: Completed, outcome: "end", emitted: "r r z"},
		"for nothing":      {do: []*flow.Task{task("f", &flow.For{Each: "week", In: x("[]"), Tasks: []*flow.Task{note("r")}}), note("z")}, status: Completed, outcome: "end", emitted: "z"},
		"wait":             {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), note("a")}, then: fires, status: Completed, outcome: "end", emitted: "a"},
		"wait rests":       {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), note("a")}, status: Waiting},
		"wait under 60 s":  {do: []*flow.Task{task("w", &flow.Wait{Until: x("now + duration('59s')")}), note("a")}, status: Completed, outcome: "end", emitted: "a"},
		"wait, past":       {do: []*flow.Task{task("w", &flow.Wait{Until: x("now - duration('59h')")}), note("a")}, status: Completed, outcome: "end", emitted: "a"},
		"wait, late":       {do: []*flow.Task{task("w", &flow.Wait{Until: x("now - duration('59h')"), Late: &flow.Late{After: *minutes(60), Then: flow.Then{Task: "b"}}}), note("a"), note("b")}, status: Completed, outcome: "end", emitted: "b"},
		"listen":           {do: []*flow.Task{task("l", reply(flow.Listen{Set: set("who: data.first_name")})), when(`vars.who == "Ann"`, note("a"))}, then: func(r *rig) { r.hear("activity.recorded", map[string]any{"first_name": "Ann"}) }, status: Completed, outcome: "end", emitted: "a"},
		"listen, other":    {do: []*flow.Task{task("l", reply(flow.Listen{})), note("a")}, then: func(r *rig) { r.hear("activity.recorded", map[string]any{"lead_id": "8"}) }, status: Waiting},
		"listen times out": {do: []*flow.Task{task("l", reply(flow.Listen{Timeout: &flow.Deadline{After: *minutes(5), Then: &flow.Then{Task: "b"}}})), note("a"), note("b")}, then: fires, status: Completed, outcome: "end", emitted: "b"},
		"listen all": {do: []*flow.Task{task("l", reply(flow.Listen{To: flow.All, Matches: []flow.Match{{On: []string{"activity.recorded"}}, {On: []string{"lead.booked"}}}})), note("a")},
			then: steps(func(r *rig) { r.hear("lead.booked", nil) }, func(r *rig) { r.is(Waiting, "", "") }, func(r *rig) { r.hear("activity.recorded", nil) }), status: Completed, outcome: "end", emitted: "a"},
		"listen since start": {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), task("l", reply(flow.Listen{Since: "start"})), note("a")},
			then: steps(func(r *rig) { r.hear("activity.recorded", nil) }, fires), status: Completed, outcome: "end", emitted: "a"},
		"listen since the message": {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), sms("m"), task("v", &flow.Wait{For: minutes(5)}), task("l", reply(flow.Listen{})), note("a")},
			then: steps(fires, func(r *rig) { r.hear("activity.recorded", nil) }, fires), status: Completed, outcome: "end", emitted: "sms:m a"},
		"listen, said before the message": {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), sms("m"), task("v", &flow.Wait{For: minutes(5)}), task("l", reply(flow.Listen{})), note("a")},
			then: steps(func(r *rig) { r.hear("activity.recorded", nil) }, fires, fires), status: Waiting, emitted: "sms:m"},
		"call": {do: []*flow.Task{callTask("c", nil), when(`vars.result.remote_id == "r"`, note("a"))},
			then: func(r *rig) { r.outcome("crm.task.add.succeeded", map[string]any{"remote_id": "r"}) }, status: Completed, outcome: "end", emitted: "c a"},
		"call, recorded": {do: []*flow.Task{callTask("c", nil), when(`vars.result.recorded`, note("a"))},
			then: func(r *rig) { r.outcome("engine.effect.recorded", map[string]any{"mode": "record"}) }, status: Completed, outcome: "end", emitted: "c a"},
		"call, off, is an incident": {do: []*flow.Task{callTask("c", nil), note("a")},
			then: func(r *rig) { r.outcome("engine.effect.recorded", map[string]any{"mode": "off"}) }, status: InTrouble, emitted: "c"},
		"call fails, caught": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{callTask("c", nil)}, Errors: []string{"command/*"},
			Catch: []*flow.Task{task("e", &flow.Emit{Type: "note.made", Data: set("text: error.type")})}}), note("z")},
			then: func(r *rig) { r.outcome("crm.task.add.failed", map[string]any{"code": "invalid"}) }, status: Completed, outcome: "end", emitted: "c command/invalid z"},
		"call, unknown is no timeout": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{callTask("c", nil)}, Errors: []string{"timeout"}, Catch: []*flow.Task{note("again")}})},
			then: func(r *rig) { r.outcome("engine.effect.recorded", map[string]any{"mode": "unknown"}) }, status: InTrouble, emitted: "c"},
		"call times out": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{callTask("c", nil)}, Errors: []string{"timeout"}, Catch: []*flow.Task{note("late")}})},
			then: fires, status: Completed, outcome: "end", emitted: "c late"},
		"try, other error":          {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{failing("x")}, Errors: []string{"timeout"}, Catch: []*flow.Task{note("a")}})}, status: InTrouble},
		"try, inner does not match": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{task("u", &flow.Try{Tasks: []*flow.Task{failing("x")}, Errors: []string{"timeout"}, Catch: []*flow.Task{note("in")}})}, Catch: []*flow.Task{note("out")}})}, status: Completed, outcome: "end", emitted: "out"},
		"try, error in catch":       {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{task("u", &flow.Try{Tasks: []*flow.Task{failing("x")}, Catch: []*flow.Task{failing("y")}})}, Catch: []*flow.Task{note("out")}})}, status: Completed, outcome: "end", emitted: "out"},
		"try in a loop":             {do: []*flow.Task{task("f", &flow.For{Each: "week", In: x("[1, 2]"), Tasks: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{failing("x")}, Catch: []*flow.Task{task("e", &flow.Emit{Type: "note.made", Data: set("text: string(week)")})}})}})}, status: Completed, outcome: "end", emitted: "1 2"},
		"retry": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{note("a"), failing("x")}, Retry: &flow.Retry{Attempts: 2, Delay: *minutes(5), Backoff: true}, Catch: []*flow.Task{note("c")}})},
			then: steps(fires, fires), status: Completed, outcome: "end", emitted: "a a a c"},
		"raise":                      {do: []*flow.Task{task("r", &flow.Raise{Error: "raised/odd"})}, status: Faulted, outcome: "raised/odd"},
		"raise, caught":              {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{task("r", &flow.Raise{Error: "raised/odd", Detail: x(`"why"`)})}, Catch: []*flow.Task{task("e", &flow.Emit{Type: "note.made", Data: set("text: error.detail")})}})}, status: Completed, outcome: "end", emitted: "why"},
		"fork":                       {do: []*flow.Task{task("f", &flow.Fork{Branches: []*flow.Task{task("x", &flow.Do{Tasks: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), note("a")}}), note("b")}}), note("c")}, then: fires, status: Completed, outcome: "end", emitted: "b a c"},
		"fork, compete":              {do: []*flow.Task{task("f", &flow.Fork{Compete: true, Branches: []*flow.Task{task("x", &flow.Do{Tasks: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), note("a")}}), note("b")}}), note("c")}, status: Completed, outcome: "end", emitted: "b c"},
		"fork, error caught outside": {do: []*flow.Task{task("t", &flow.Try{Tasks: []*flow.Task{task("f", &flow.Fork{Branches: []*flow.Task{task("w", &flow.Wait{For: minutes(5)}), failing("x")}})}, Catch: []*flow.Task{note("c")}})}, status: Completed, outcome: "end", emitted: "c"},
		"loop without a wait":        {do: []*flow.Task{then("a", note("a"))}, status: InTrouble, emitted: "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a"},
		"loop of nothing":            {do: []*flow.Task{then("s", when("true", task("s", &flow.Switch{})))}, status: InTrouble},
		"expression fails":           {do: []*flow.Task{failing("x")}, status: InTrouble},
		"a closed calendar":          {do: []*flow.Task{task("w", &flow.Wait{For: minutes(5), In: "never"})}, status: InTrouble},
	} {
		t.Run(name, func(t *testing.T) {
			for _, cut := range []bool{false, true} {
				r := newRig(t, program(c.do...))
				r.cut = cut
				r.start()
				if c.then != nil {
					c.then(r)
				}
				r.is(c.status, c.outcome, c.emitted)
			}
		})
	}
}

func TestWait_MovesToLocalTimeAndOpeningHours(t *testing.T) {
	for name, c := range map[string]struct {
		wait flow.Wait
		due  time.Time
	}{
		"for":              {flow.Wait{For: minutes(90)}, began.Add(90 * time.Minute)},
		"counting":         {flow.Wait{For: minutes(6 * 60), Counting: "office"}, time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC)},
		"at":               {flow.Wait{For: &calendar.Duration{Days: 7}, At: &calendar.TimeOfDay{Hour: 10}}, time.Date(2026, 3, 9, 10, 0, 0, 0, time.UTC)},
		"in":               {flow.Wait{For: minutes(8 * 60), In: "office"}, time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)},
		"until, then in":   {flow.Wait{Until: x("now + duration('10h')"), In: "office"}, time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)},
		"at before the in": {flow.Wait{For: minutes(1), At: &calendar.TimeOfDay{Hour: 20}, In: "office"}, time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)},
	} {
		r := newRig(t, program(task("w", &c.wait))).start()
		if len(r.in.Tokens) != 1 || r.in.Tokens[0].Timer == nil || !r.in.Tokens[0].Timer.Due.Equal(c.due) {
			t.Errorf("%s: %+v, want due %s", name, r.in.Tokens[0].Timer, c.due)
		}
	}
	a, b := newRig(t, program(task("w", &flow.Wait{For: minutes(90), Spread: *minutes(30)}))).start(), began.Add(90*time.Minute)
	if due := a.in.Tokens[0].Timer.Due; due.Before(b) || !due.Before(b.Add(30*time.Minute)) || due.Equal(b) {
		t.Errorf("spread to %s", due)
	}
}

func TestCommand_GetsWhatTheEngineAnswersFor(t *testing.T) {
	r := newRig(t, program(sms("hi"))).start()
	out := r.outs[0]
	data, err := testSchemas[out.Type].Avro.Decode(out.Value[5:])
	if err != nil {
		t.Fatal(err)
	}
	if data["lead_id"] != "7" || data["instance_id"] != r.in.ID || data["message_id"] != out.ID || data["purpose"] != "marketing" || data["consent_basis"] != "form" {
		t.Errorf("%v", data)
	}
	if at, ok := data["not_after"].(time.Time); !ok || !at.Equal(began.Add(15*time.Minute)) || !out.NotAfter.Equal(at) || out.Subject != "lead/7" || out.Hops != 1 {
		t.Errorf("%v %+v", data["not_after"], out)
	}
	if r.env.Contact.Consents["sms"].Basis != "form" {
		t.Error("the consent was lost")
	}
}

func TestCommand_ThatMayNotReachIsToldAndTheNextTaskRuns(t *testing.T) {
	r := newRig(t, program(sms("hi"), note("next")))
	r.env.Contact = reach.Contact{Lead: "7"}
	r.start()
	r.is(Completed, "end", "next")
	if d := r.told[0].Decisions; len(d) != 1 || d[0] != (Decision{"hi", "suppress", "sms", reach.NoConsent}) {
		t.Errorf("%+v", d)
	}
	ends := sms("hi")
	ends.Step.(*flow.Emit).End = true
	r = newRig(t, program(ends, note("next")))
	r.env.Contact = reach.Contact{Lead: "7"}
	r.start()
	r.is(Completed, outcomeSuppressed, "")
}

func TestCommand_IsNeverDecidedByAnotherPersonsConsent(t *testing.T) {
	r := newRig(t, program(sms("hi")))
	r.env.Contact.Lead = "8"
	on := r.event("lead.created", map[string]any{"lead_id": "7"})
	on.Kind = Start
	if _, err := Advance(t.Context(), r.p, Instance{ID: "i", Tenant: "t1", Contact: "7"}, on, r.env); err == nil {
		t.Error("a command was decided by the consent of lead 8")
	}
	r = newRig(t, program(sms("hi")))
	r.in = Instance{ID: "i", Tenant: "t1"}
	r.give(on)
	r.is(InTrouble, "", "")
}

func TestDeferral_AsksEverythingAgain(t *testing.T) {
	r := newRig(t, program(sms("hi"), note("next")))
	r.env.Policy = &flow.Policy{Quiet: map[string]string{"sms": "evening"}}
	r.env.Calendars = days{"evening": {18, 21}}
	r.env.Contact.Zone = "UTC"
	r.start()
	r.is(Waiting, "", "")
	if d := r.told[0].Decisions; len(d) != 1 || d[0].Kind != "defer" || d[0].Value != reach.Closed {
		t.Errorf("%+v", d)
	}
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "*", At: r.now.Add(time.Hour)})
	r.next()
	r.is(Completed, "end", "next")
	if d := r.told[1].Decisions; len(d) != 1 || d[0].Value != reach.Revoked {
		t.Errorf("who took consent back was reached: %+v", d)
	}
}

// A second message must not slip through while the first is on its way.
func TestCap_CountsAMessageBeforeItsOutcomeIsKnown(t *testing.T) {
	r := newRig(t, program(sms("a"), sms("b"), note("c")))
	r.env.Policy = &flow.Policy{Caps: []flow.Cap{{Channel: "sms", Most: 1, Per: calendar.Duration{Days: 1}, Skip: true}}}
	r.start()
	r.is(Completed, "end", "sms:a c")
}

func TestAssign_PicksMembersThatAreOpen(t *testing.T) {
	assign := func(name string, a flow.Assign) *flow.Task {
		a.Pool, a.As = "sales", "owner"
		return task(name, &a)
	}
	tell := func(name string) *flow.Task {
		return task(name, &flow.Emit{Type: "note.made", Data: set("text: vars.owner")})
	}
	r := newRig(t, program(assign("a", flow.Assign{}), tell("b"), assign("c", flow.Assign{Except: x("[vars.owner]")}), tell("d"), assign("e", flow.Assign{Except: x(`["ann", "bob"]`), Or: x(`"queue"`)}), tell("f"),
		assign("g", flow.Assign{Except: x(`["ann", "bob"]`)})))
	r.env.Calendars = days{"night": {0, 1}}
	r.env.Pools = map[string]Pool{"sales": {Members: []pool.Member{{Name: "cai", Weight: 9}, {Name: "ann", Weight: 3}, {Name: "bob", Weight: 1}}, Hours: []string{"night", "", ""}}}
	r.start()
	r.is(InTrouble, "", "ann bob queue")
	if in := r.in.Tokens[0].Incident; in.Code != errNoCapacity || in.Task != "g" {
		t.Errorf("%+v", in)
	}
	p := r.env.Pools["sales"]
	if p.Claim.Member != "bob" || p.Members[1].Claims != 0 || p.Members[2].Claims != 1 || p.State["cai"] != 0 {
		t.Errorf("%+v", p)
	}
}

// Whom an assignment names instead may be a personal value: the instance keeps it, and its events do not tell it.
func TestAssign_TellsNoPersonalValue(t *testing.T) {
	r := newRig(t, program(task("a", &flow.Assign{Pool: "sales", As: "owner", Or: x("vars.name")}), task("w", &flow.Wait{For: minutes(60)})))
	r.p.Start.Set = set("name: data.first_name")
	r.env.Pools = map[string]Pool{"sales": {}}
	r.start("Ann")
	if d := r.told[0].Decisions; len(d) != 1 || d[0].Name != "sales" || d[0].Value == "Ann" {
		t.Errorf("%+v", d)
	}
	if r.in.Personal["owner"] != "Ann" || r.in.Vars["owner"] != nil {
		t.Errorf("%v %v", r.in.Vars, r.in.Personal)
	}
}

func TestCall_NamesWhatBecameOfItsCommand(t *testing.T) {
	for name, c := range map[string]struct {
		typ  string
		data map[string]any
		code string
	}{
		"off":                {"engine.effect.recorded", map[string]any{"mode": "off"}, "command/off"},
		"unknown":            {"engine.effect.recorded", map[string]any{"mode": "unknown"}, "command/unknown"},
		"a mode of no kind":  {"engine.effect.recorded", map[string]any{"mode": "later"}, "command/unknown"},
		"failed":             {"crm.task.add.failed", map[string]any{"code": "invalid"}, "command/invalid"},
		"failed, no code":    {"crm.task.add.failed", nil, "command/failed"},
		"another's outcome":  {"crm.task.add.failed", map[string]any{"command_id": "other"}, ""},
		"an outcome of note": {"crm.note.add.failed", nil, ""},
	} {
		r := newRig(t, program(callTask("c", nil))).start()
		r.outcome(c.typ, c.data)
		code := ""
		if in := r.in.Tokens[0].Incident; in != nil {
			code = in.Code
		}
		if code != c.code || code == "" && r.in.Tokens[0].Rest != AtCall {
			t.Errorf("%s: %q, want %q", name, code, c.code)
		}
	}
}

// What a CRM answers may repeat what was sent to it: a catch sees it, and no event about the instance does.
func TestCall_TellsNothingOfWhatTheCRMAnswered(t *testing.T) {
	const answer = "+15551234567 is no phone number"
	r := newRig(t, program(callTask("c", nil))).start()
	res := r.outcome("crm.task.add.failed", map[string]any{"code": "invalid", "detail": answer})
	state, _, err := r.in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{"the incident": r.in.Tokens[0].Incident.Detail, "the event": fmt.Sprint(res.Lifecycle.Data()), "the failures": fmt.Sprint(res.Failures), "the state": string(state)} {
		if strings.Contains(got, "5551234567") || what != "the state" && !strings.Contains(got, "effects list") {
			t.Errorf("%s: %s", what, got)
		}
	}
	caught := task("t", &flow.Try{Tasks: []*flow.Task{callTask("c", nil)}, Catch: []*flow.Task{task("e", &flow.Emit{Type: "note.made", Data: set("text: error.detail")}), task("w", &flow.Wait{For: minutes(60)})}})
	r = newRig(t, program(caught)).start()
	r.outcome("crm.task.add.failed", map[string]any{"code": "invalid", "detail": answer})
	r.is(Waiting, "", "c "+answer)
	if state, _, err = r.in.Encode(); err != nil || strings.Contains(string(state), "5551234567") {
		t.Errorf("the state of who caught it: %s, %v", state, err)
	}
}
