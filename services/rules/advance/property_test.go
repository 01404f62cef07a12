package advance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// rounds is how many random histories a property is tried on; NEURONX_ROUNDS asks for more.
func rounds(t *testing.T, n int) int {
	t.Helper()
	if more := os.Getenv("NEURONX_ROUNDS"); more != "" {
		k, err := strconv.Atoi(more)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	return n
}

// maker makes random programs of every kind of task.
type maker struct {
	rand  *rand.Rand
	names int
}

// values that expressions of random programs are; compiling is what takes long.
var conditions = []string{"true", "false", "has(vars.a)", "vars.a > 1", "1 / 0 > 1", `instance.key == "7"`}

var compiledConditions, texts = func() (out []*flow.Task, texts []*flow.Task) {
	for _, c := range conditions {
		out = append(out, &flow.Task{If: x(c)})
	}
	for _, c := range []string{`"a"`, `string(vars.a)`, `"b" + instance.key`, "1", "vars.b"} {
		texts = append(texts, &flow.Task{If: x(c)})
	}
	return out, texts
}()

func (g *maker) condition() *flow.Task {
	return compiledConditions[g.rand.IntN(len(compiledConditions))]
}

var (
	setA    = set("a: has(vars.a) ? vars.a + 1 : 0")
	setB    = set("b: data.first_name")
	lists   = []*flow.Task{{If: x("[1, 2, 3]")}, {If: x("[]")}, {If: x("vars.b")}, {If: x("[vars.b, vars.b]")}, {If: x("[[1], [2], [3]].map(l, l[0] + 1)")}}
	channel = []*flow.Task{{If: x(`"sms"`)}, {If: x(`"email"`)}, {If: x("vars.a")}}
	exceptA = x(`["ann"]`)
	times   = []*flow.Task{{If: x("now + duration('3h')")}, {If: x("now - duration('3h')")}, {If: x("now + duration('10s')")}, {If: x("vars.a")}}
)

func (g *maker) name() string { g.names++; return "t" + strconv.Itoa(g.names) }

func (g *maker) of(list []*flow.Task) *flow.Task { return list[g.rand.IntN(len(list))] }

func (g *maker) list(depth, most int) []*flow.Task {
	n := 1 + g.rand.IntN(most)
	out := make([]*flow.Task, n)
	for i := range out {
		out[i] = &flow.Task{Name: g.name(), Step: g.step(depth)}
		if g.rand.IntN(4) == 0 {
			out[i].If = g.condition().If
		}
	}
	for _, t := range out {
		switch g.rand.IntN(12) {
		case 0:
			t.Then = flow.Then{Task: g.of(out).Name} // also backwards
		case 1:
			t.Then = flow.Then{End: true}
		}
	}
	return out
}

func (g *maker) deadline() *flow.Deadline {
	if g.rand.IntN(2) == 0 {
		return nil
	}
	return &flow.Deadline{After: *minutes(g.rand.IntN(120)), In: []string{"", "office", "never"}[g.rand.IntN(8)/3]}
}

func (g *maker) matches() []flow.Match {
	all := []flow.Match{{On: []string{"activity.recorded"}}, {On: []string{"lead.booked"}, When: g.condition().If}, {On: []string{"crm.task.add.succeeded"}}}
	return all[:1+g.rand.IntN(3)]
}

func (g *maker) step(depth int) flow.Step {
	kind := g.rand.IntN(14)
	if depth == 0 {
		kind = g.rand.IntN(9)
	}
	switch kind {
	case 0, 1:
		e := &flow.Emit{Type: "note.made", Data: setText(g.of(texts))}
		if g.rand.IntN(3) == 0 {
			e.Undo = []*flow.Emit{{Type: "note.made", Data: setText(g.of(texts))}}
		}
		return e
	case 2:
		return &flow.Emit{Type: "crm.message.send.requested", Channel: g.of(channel).If, Data: smsData, End: g.rand.IntN(5) == 0}
	case 3:
		return &flow.Call{Emit: flow.Emit{Type: "crm.task.add.requested", Data: setText(g.of(texts))}, As: "result", Timeout: g.deadline()}
	case 4:
		w := &flow.Wait{For: minutes(g.rand.IntN(300)), Counting: []string{"", "office", "never"}[g.rand.IntN(6)/2], Spread: *minutes(g.rand.IntN(2) * 30)}
		if g.rand.IntN(2) == 0 {
			w = &flow.Wait{Until: g.of(times).If, In: []string{"", "office"}[g.rand.IntN(2)], Late: &flow.Late{After: *minutes(30), Then: flow.Then{End: true}}}
		}
		return w
	case 5:
		return &flow.Listen{To: []flow.Gather{flow.One, flow.Any, flow.All}[g.rand.IntN(3)], Matches: g.matches(), Set: setB, Since: []string{"", "step", "start", "t1"}[g.rand.IntN(4)], Timeout: g.deadline()}
	case 6:
		return &flow.Set{Vars: setA}
	case 7:
		return &flow.Assign{Pool: "sales", As: "owner", Except: exceptA}
	case 8:
		return &flow.Switch{Cases: []flow.Case{{Name: "x", When: g.condition().If, Then: flow.Then{End: g.rand.IntN(3) == 0}}, {Name: "default"}}}
	case 9:
		return &flow.Do{Tasks: g.list(depth-1, 3)}
	case 10:
		f := &flow.For{Each: "n", At: "i", In: g.of(lists).If, Tasks: g.list(depth-1, 3)}
		if g.rand.IntN(3) == 0 {
			f.While = g.condition().If
		}
		return f
	case 11:
		return &flow.Fork{Compete: g.rand.IntN(2) == 0, Branches: g.list(depth-1, 3)}
	case 12:
		y := &flow.Try{Tasks: g.list(depth-1, 3), Catch: g.list(depth-1, 2)}
		if g.rand.IntN(2) == 0 {
			y.Retry = &flow.Retry{Attempts: int64(g.rand.IntN(4)), Delay: *minutes(g.rand.IntN(3)), Backoff: true, Longest: calendar.Duration{Days: 1}}
		}
		if g.rand.IntN(3) == 0 {
			y.Errors = []string{"expression/*", "timeout"}
		}
		return y
	}
	return &flow.Raise{Error: "raised/x"}
}

var (
	smsData = set(`channel: "sms"`, `body: "b"`)
)

func setText(t *flow.Task) []rulefile.Assignment {
	return []rulefile.Assignment{{Key: "text", Expr: t.If}}
}

func (g *maker) program() *flow.Program {
	p := program(g.list(3, 5)...)
	if g.rand.IntN(2) == 0 {
		p.Until = []flow.Until{{Name: "u", Match: flow.Match{On: []string{"lead.booked"}, When: g.condition().If}, Cancelled: g.rand.IntN(2) == 0, Do: []*flow.Task{{Name: "d", Step: g.step(0)}}}}
	}
	if g.rand.IntN(2) == 0 {
		p.Finally = []*flow.Task{{Name: "x", Step: g.step(1)}}
	}
	if g.rand.IntN(3) == 0 {
		p.Timeout = &flow.Deadline{After: calendar.Duration{Days: 2}, Cancelled: true}
	}
	p.Link()
	return p
}

// history gives a random instance random stimuli; each calls f with the instance before, the stimulus and the result.
func history(t testing.TB, seed uint64, cut bool, f func(r *rig, before Instance, on Stimulus, res Result)) *rig {
	t.Helper()
	g := &maker{rand: rand.New(rand.NewPCG(seed, 1))}
	r := newRig(t, g.program())
	r.cut = cut
	if g.rand.IntN(2) == 0 {
		r.env.Policy = &flow.Policy{Quiet: map[string]string{"sms": "office"}, Caps: []flow.Cap{{Channel: "sms", Most: 2, Per: calendar.Duration{Days: 1}}}, Pace: map[string]flow.Pace{"sms": {Most: 1, Per: *minutes(10)}}}
		r.env.Contact.Zone = []string{"UTC", "", "America/New_York"}[g.rand.IntN(3)]
	}
	r.env.Pools = map[string]Pool{"sales": {Members: []pool.Member{{Name: "ann", Weight: 3}, {Name: "bob", Weight: 1, Capacity: 2}}}}
	apply := func(on Stimulus) {
		before := r.in
		r.give(on)
		f(r, before, on, r.last)
	}
	on := r.event("lead.created", map[string]any{"lead_id": "7", "first_name": "Ann"})
	trigger, _, _, _, err := Match(t.Context(), r.p, on, r.env)
	if err != nil {
		t.Fatal(err)
	}
	r.in = Enrol(r.p, trigger, on, Population{}, r.env.Calendars).Instance
	on.Kind = Start
	apply(on)
	var fired []Timer
	for range 40 {
		timers := r.in.timers()
		if len(timers) > 0 && timers[0].Token == 0 && g.rand.IntN(30) > 0 {
			timers = timers[1:] // the deadline
		}
		fireAt := func(timer Timer, at time.Time) {
			if at.After(r.now) {
				r.now = at
			}
			on := r.event("timer.fired", nil)
			on.Kind, on.Timer = Fired, timer.ID
			apply(on)
		}
		switch k := g.rand.IntN(10); {
		case k < 4 && len(timers) > 0:
			timer := timers[g.rand.IntN(len(timers))]
			fired = append(fired, timer)
			fireAt(timer, timer.Due.Add(time.Duration(g.rand.IntN(5)-1)*time.Minute))
		case k == 4 && len(fired) > 0:
			fireAt(fired[g.rand.IntN(len(fired))], r.now.Add(time.Minute)) // fired, or early before
		case k < 7:
			apply(r.event([]string{"activity.recorded", "lead.booked"}[g.rand.IntN(2)], map[string]any{"lead_id": "7", "first_name": "Bob"}))
		case k == 7:
			for _, tok := range r.in.Tokens {
				if tok.Rest == AtCall {
					typ := []string{"crm.task.add.succeeded", "crm.task.add.failed", "engine.effect.recorded"}[g.rand.IntN(3)]
					apply(r.event(typ, map[string]any{"command_id": tok.Command, "effect_id": tok.Command, "mode": []string{"record", "off", "unknown"}[g.rand.IntN(3)], "code": "invalid"}))
					break
				}
			}
		case k == 8:
			on := r.event("workflow.verb", nil)
			on.Kind = []Kind{Suspend, Resume, Resume, Retry, Skip, Retry, Skip}[g.rand.IntN(7)]
			for _, tok := range r.in.Tokens {
				if tok.Incident != nil {
					on.Incident = tok.Incident.ID
				}
			}
			if r.in.Held != nil {
				on.Incident = r.in.Held.ID
			}
			apply(on)
		default:
			r.now = r.now.Add(time.Duration(g.rand.IntN(600)) * time.Minute)
		}
	}
	return r
}

// Whatever programs and events are, an activation ends within its limits, and what rests has a reason to.
func TestAdvance_EndsWithinItsLimits(t *testing.T) {
	kinds := map[Rest]int{}
	ended := map[Status]int{}
	for seed := range uint64(rounds(t, 1500)) {
		r := history(t, seed, false, func(r *rig, before Instance, on Stimulus, res Result) {
			in := res.Instance
			if len(res.Outputs) > 2*MaxOutputs || len(in.Tokens) > MaxTokens || len(in.Undo) > MaxUndo || in.Steps-before.Steps > 3*(MaxActivation+2)+MaxTokens {
				t.Fatalf("seed %d: %d outputs, %d tokens, %d steps", seed, len(res.Outputs), len(in.Tokens), in.Steps-before.Steps)
			}
			ids := map[string]bool{}
			for _, o := range res.Outputs {
				if ids[o.ID] {
					t.Fatalf("seed %d: two outputs have the id %s", seed, o.ID)
				}
				ids[o.ID] = true
			}
			if in.Status.Ended() != (len(in.Tokens) == 0) || in.Status.Ended() && len(in.timers()) > 0 {
				t.Fatalf("seed %d: %s with %d tokens, %d timers", seed, in.Status, len(in.Tokens), len(in.timers()))
			}
			for _, tok := range in.Tokens {
				kinds[tok.Rest]++
				switch {
				case tok.Rest == Ready && !in.held(), tok.Rest == AtIncident && tok.Timer != nil,
					(tok.Rest == AtWait || tok.Rest == AtCall || tok.Rest == AtRetry || tok.Rest == AtDeferral) && tok.Timer == nil:
					t.Fatalf("seed %d: token %+v does not rest", seed, tok)
				}
			}
		})
		ended[r.in.Status]++
	}
	for _, k := range []Rest{AtWait, AtListen, AtCall, AtFork, AtRetry, AtDeferral, AtIncident} {
		if kinds[k] == 0 {
			t.Errorf("no history had a token at rest by %s: %v", k, kinds)
		}
	}
	for _, s := range []Status{Waiting, Suspended, InTrouble, Completed, Cancelled, Faulted} {
		if ended[s] == 0 {
			t.Errorf("no history led to %s: %v", s, ended)
		}
	}
}

// trace is all that a history gives, as bytes.
func trace(t *testing.T, seed uint64, cut bool) []byte {
	var b bytes.Buffer
	history(t, seed, cut, func(_ *rig, _ Instance, _ Stimulus, res Result) {
		state, personal, err := res.Instance.Encode()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s %s %+v %v %v %+v %v %+v %d %v %v\n", res.Ignored, state, personal, res.Outputs, res.Arm, res.Disarm, res.Failures, res.Succeeded, res.Contact, res.Cost, res.Pace, res.Pools)
		if res.Lifecycle != nil {
			fmt.Fprintf(&b, "%s %s %v\n", res.Lifecycle.ID, res.Lifecycle.Type, res.Lifecycle.Data())
		}
	})
	return b.Bytes()
}

// A replay on another machine, with another number of processors and in another zone, gives the same bytes.
func TestAdvance_IsTheSameOnAnyMachine(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	local := time.Local
	defer func() { time.Local = local }()
	const seeds = 40
	var first [seeds][]byte
	for seed := range first {
		first[seed] = trace(t, uint64(seed), false)
	}
	for run := range rounds(t, 100) {
		runtime.GOMAXPROCS(1 + run%8)
		time.Local = time.FixedZone("elsewhere", (run%25-12)*3600)
		seed := run % seeds
		if got := trace(t, uint64(seed), false); !bytes.Equal(got, first[seed]) {
			t.Fatalf("run %d of seed %d differs:\n%s", run, seed, difference(first[seed], got))
		}
	}
}

// An instance that is stored and loaded after each event goes on as one that was not.
func TestAdvance_GoesOnTheSameAfterItWasStored(t *testing.T) {
	for seed := range uint64(rounds(t, 400)) {
		if a, b := trace(t, seed, false), trace(t, seed, true); !bytes.Equal(a, b) {
			t.Fatalf("seed %d differs:\n%s", seed, difference(a, b))
		}
	}
}

func difference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}

// Each timer that was armed ends once: fired, disarmed, or armed still.
func TestTimers_EachArmedOneEndsOnce(t *testing.T) {
	for seed := range uint64(rounds(t, 1500)) {
		armed := map[string]bool{}
		over := map[string]bool{}
		r := history(t, seed, false, func(r *rig, before Instance, on Stimulus, res Result) {
			if on.Kind == Fired {
				switch known := armed[on.Timer]; {
				case known && res.Ignored == "":
					delete(armed, on.Timer)
					over[on.Timer] = true
				case known && res.Ignored != Early:
					t.Fatalf("seed %d: an armed timer is %s", seed, res.Ignored)
				case !known && res.Ignored == "":
					t.Fatalf("seed %d: a timer that was over resumed the instance", seed)
				}
				if res.Ignored != "" {
					a, _, err := before.Encode()
					b, _, err2 := res.Instance.Encode()
					if err != nil || err2 != nil || !bytes.Equal(a, b) || len(res.Outputs)+len(res.Arm)+len(res.Disarm) > 0 || res.Lifecycle != nil {
						t.Fatalf("seed %d: a firing that is %s changed something", seed, res.Ignored)
					}
				}
			}
			for _, id := range res.Disarm {
				if !armed[id] {
					t.Fatalf("seed %d: a timer was disarmed that was not armed", seed)
				}
				delete(armed, id)
				over[id] = true
			}
			for _, timer := range res.Arm {
				if armed[timer.ID] || over[timer.ID] {
					t.Fatalf("seed %d: the timer %+v was armed before", seed, timer)
				}
				if now := event.PositionTime(on.Event.Position); timer.Due.Before(time.UnixMilli(now).Add(ShortestTimer)) {
					t.Fatalf("seed %d: the timer %+v is under a minute", seed, timer)
				}
				armed[timer.ID] = true
			}
		})
		var left []string
		for _, timer := range r.in.timers() {
			left = append(left, timer.ID)
		}
		if len(left) != len(armed) || slices.ContainsFunc(left, func(id string) bool { return !armed[id] }) {
			t.Fatalf("seed %d: %d timers stand in the instance, %d are armed", seed, len(left), len(armed))
		}
	}
}

func TestDrip_Of52WeeksSends52Messages(t *testing.T) {
	send := sms("send")
	p := program(task("weekly", &flow.For{Each: "week", In: x("[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51]"), Tasks: []*flow.Task{
		task("pause", &flow.Wait{For: &calendar.Duration{Days: 7}, At: &calendar.TimeOfDay{Hour: 10}, In: "office", Spread: *minutes(30)}), send}}))
	r := newRig(t, p)
	r.cut = true
	r.env.Policy = &flow.Policy{Quiet: map[string]string{"sms": "office"}, Caps: []flow.Cap{{Channel: "*", Most: 1, Per: calendar.Duration{Days: 5}}}}
	r.env.Contact.Zone = "UTC"
	r.start()
	for r.next() {
	}
	if len(r.outs) != 52 || r.in.Status != Completed {
		t.Fatalf("%d messages, %s", len(r.outs), r.in.Status)
	}
	for i, o := range r.outs {
		if o.Hops != 1 || o.NotAfter.Sub(o.NotAfter.Truncate(24*time.Hour)) < 10*time.Hour {
			t.Errorf("message %d: %+v", i, o)
		}
	}
	if took := r.now.Sub(began); took < 51*7*24*time.Hour || took > 53*7*24*time.Hour {
		t.Errorf("they took %s", took)
	}
	if sends := r.env.Contact.Sends["sms"]; len(sends) != 1 {
		t.Errorf("%d sends are remembered for a cap of 1", len(sends))
	}
}
