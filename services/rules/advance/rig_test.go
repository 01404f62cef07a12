package advance

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// began is a Monday, 12:00 UTC.
var began = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// days are calendars that are open every day from one hour to another, in UTC unless told.
type days map[string][2]int

type daily struct {
	from, to int
	loc      *time.Location
}

func (d days) Hours(name string, in *time.Location) (reach.Hours, bool) {
	h, ok := d[name]
	if in == nil {
		in = time.UTC
	}
	return daily{h[0], h[1], in}, ok
}

func (d days) Zone(name string) (*time.Location, bool) { _, ok := d[name]; return time.UTC, ok }

func (d days) Add(t time.Time, by calendar.Duration, in *time.Location) time.Time {
	return t.In(in).AddDate(0, by.Months, by.Days).Add(by.Elapsed).UTC()
}

func (d days) Next(t time.Time, at calendar.TimeOfDay, in *time.Location) time.Time {
	l := t.In(in)
	next := time.Date(l.Year(), l.Month(), l.Day(), at.Hour, at.Minute, 0, 0, in)
	if next.Before(t) {
		next = next.AddDate(0, 0, 1)
	}
	return next.UTC()
}

func (d days) Spread(key string, most time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return time.Duration(h.Sum64() % uint64(most))
}

func (d daily) bounds(t time.Time) (from, to time.Time) {
	l := t.In(d.loc)
	return time.Date(l.Year(), l.Month(), l.Day(), d.from, 0, 0, 0, d.loc).UTC(), time.Date(l.Year(), l.Month(), l.Day(), d.to, 0, 0, 0, d.loc).UTC()
}

func (d daily) Open(t time.Time) bool {
	from, to := d.bounds(t)
	return !t.Before(from) && t.Before(to)
}

func (d daily) NextOpen(t time.Time) (time.Time, bool) {
	if d.from >= d.to {
		return t, false
	}
	if d.Open(t) {
		return t, true
	}
	from, _ := d.bounds(t)
	if from.Before(t) {
		from, _ = d.bounds(t.Add(24 * time.Hour))
	}
	return from, true
}

func (d daily) Closes(t time.Time) (time.Time, bool) {
	_, to := d.bounds(t)
	return to, d.Open(t)
}

func (d daily) After(t time.Time, left time.Duration) (time.Time, bool) {
	for range 800 {
		open, ok := d.NextOpen(t)
		if !ok {
			return t, false
		}
		_, to := d.bounds(open)
		if room := to.Sub(open); left <= room {
			return open.Add(left), true
		} else {
			left -= room
		}
		t = to
	}
	return t, false
}

// x compiles an expression that sees everything an expression of a workflow can see.
func x(src string) *expr.Program {
	p, err := expr.CompileIn(expr.Edition2, src, "event", "data", "vars", "instance", "now", "error", "week", "round", "i", "n")
	if err != nil {
		panic(fmt.Sprintf("%s: %v", src, err))
	}
	return p
}

// set makes assignments of "key: expression".
func set(pairs ...string) []rulefile.Assignment {
	var out []rulefile.Assignment
	for _, p := range pairs {
		k, src, _ := strings.Cut(p, ": ")
		out = append(out, rulefile.Assignment{Key: k, Expr: x(src)})
	}
	return out
}

func task(name string, s flow.Step) *flow.Task { return &flow.Task{Name: name, Step: s} }

func note(name string) *flow.Task {
	return task(name, &flow.Emit{Type: "note.made", Data: set(`text: "` + name + `"`)})
}

func minutes(n int) *calendar.Duration {
	return &calendar.Duration{Elapsed: time.Duration(n) * time.Minute}
}

func program(do ...*flow.Task) *flow.Program {
	p := &flow.Program{Name: "w", Start: flow.Start{On: []string{"lead.created"}, Key: x("data.lead_id")}, Do: do}
	p.Link()
	return p
}

func text(typ, fields string) string {
	return `{"type":"record","namespace":"neuronx.t.v1","name":"` + strings.ReplaceAll(typ, ".", "_") + `","event_type":"` + typ + `","doc":"D.","fields":[` + fields + `]}`
}

const (
	noteFields = `{"name":"text","type":"string","doc":"D."}`
	sendFields = `{"name":"lead_id","type":"string","doc":"D."},{"name":"channel","type":"string","doc":"D."},{"name":"body","type":"string","doc":"D."},` +
		`{"name":"instance_id","type":["null","string"],"default":null,"doc":"D."},{"name":"purpose","type":"string","doc":"D."},{"name":"message_id","type":"string","doc":"D."},` +
		`{"name":"consent_basis","type":["null","string"],"default":null,"doc":"D."},` +
		`{"name":"not_after","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"D."}`
	leadFields = `{"name":"lead_id","type":"string","doc":"D."},{"name":"first_name","type":["null","string"],"default":null,"doc":"D.","pii":"name"}`
)

func catalogue() Schemas {
	out := Schemas{}
	for typ, fields := range map[string]string{
		"note.made": noteFields, "crm.message.send.requested": sendFields, "crm.task.add.requested": noteFields, "lead.created": leadFields,
		"lead.booked": leadFields, "activity.recorded": leadFields, "crm.message.send.succeeded": noteFields, "crm.message.send.failed": noteFields,
		"crm.task.add.succeeded": noteFields, "crm.task.add.failed": noteFields,
	} {
		parsed, err := avro.Parse([]byte(text(typ, fields)))
		if err != nil {
			panic(err)
		}
		s, err := NewSchema(int32(len(out)+1), parsed)
		if err != nil {
			panic(err)
		}
		out[typ] = s
	}
	return out
}

var testSchemas = catalogue()

func granted() reach.Contact {
	c := reach.Contact{Lead: "7"}
	return c.Apply(reach.Change{Channel: "sms", Granted: true, Basis: "form", At: began.Add(-time.Hour)})
}

// rig runs one instance in virtual time.
type rig struct {
	t    testing.TB
	p    *flow.Program
	in   Instance
	env  Env
	now  time.Time
	seq  int64
	outs []Output
	told []*Lifecycle
	last Result
	cut  bool // store and load after each stimulus
}

func newRig(t testing.TB, p *flow.Program) *rig {
	return &rig{t: t, p: p, now: began, env: Env{Schemas: testSchemas, Calendars: days{"office": {9, 17}, "never": {9, 9}}, Contact: granted()}}
}

func (r *rig) event(typ string, data map[string]any) Stimulus {
	r.seq++
	return Stimulus{Kind: Heard, Data: data, Event: event.Recorded{
		Event:    event.Event{TenantID: "t1", ID: fmt.Sprint("e", r.seq), Source: "/test", Type: typ, Subject: "lead/7", Time: r.now},
		Sequence: r.seq, Position: event.PositionAt(r.now.UnixMilli()), RecordedTime: r.now,
	}}
}

// start enrols lead 7 and starts its instance.
func (r *rig) start(data ...string) *rig {
	r.t.Helper()
	d := map[string]any{"lead_id": "7", "first_name": nil}
	if len(data) > 0 {
		d["first_name"] = data[0]
	}
	on := r.event("lead.created", d)
	trigger, ok, failure, _, err := Match(r.t.Context(), r.p, on, r.env)
	if err != nil || !ok || failure != nil {
		r.t.Fatal(ok, failure, err)
	}
	e := Enrol(r.p, trigger, on, Population{}, r.env.Calendars)
	if !e.Started {
		r.t.Fatal(e.Reason)
	}
	r.in = e.Instance
	on.Kind = Start
	r.give(on)
	return r
}

func (r *rig) give(on Stimulus) Result {
	r.t.Helper()
	res, err := Advance(r.t.Context(), r.p, r.in, on, r.env)
	if err != nil {
		r.t.Fatal(err)
	}
	r.in, r.last = res.Instance, res
	r.outs = append(r.outs, res.Outputs...)
	if res.Lifecycle != nil {
		r.told = append(r.told, res.Lifecycle)
	}
	if res.Contact != nil {
		r.env.Contact = *res.Contact
	}
	for k, v := range res.Pace {
		if r.env.Pace == nil {
			r.env.Pace = map[string]reach.Slot{}
		}
		r.env.Pace[k] = v
	}
	for k, v := range res.Pools {
		r.env.Pools[k] = v
	}
	if r.cut {
		state, personal, err := r.in.Encode()
		if err != nil {
			r.t.Fatal(err)
		}
		if r.in, err = Decode(state, personal); err != nil {
			r.t.Fatalf("%v: %s", err, state)
		}
	}
	return res
}

func (r *rig) hear(typ string, data map[string]any) Result {
	r.t.Helper()
	if data == nil {
		data = map[string]any{}
	}
	if data["lead_id"] == nil {
		data["lead_id"] = "7"
	}
	return r.give(r.event(typ, data))
}

func (r *rig) verb(kind Kind, incident string) Result {
	r.t.Helper()
	on := r.event("workflow.verb", nil)
	on.Kind, on.Incident = kind, incident
	return r.give(on)
}

// next fires the earliest timer of a token at its due; false: none is armed.
func (r *rig) next() bool {
	r.t.Helper()
	var first *Timer
	for _, t := range r.in.timers() {
		if t.Token != 0 && (first == nil || t.Due.Before(first.Due)) {
			first = &t
		}
	}
	if first == nil {
		return false
	}
	r.fire(*first, first.Due)
	return true
}

func (r *rig) fire(t Timer, at time.Time) Result {
	r.t.Helper()
	if at.After(r.now) {
		r.now = at
	}
	on := r.event("timer.fired", map[string]any{"timer_id": t.ID})
	on.Kind, on.Timer = Fired, t.ID
	return r.give(on)
}

// outcome answers the command of the only call.
func (r *rig) outcome(typ string, data map[string]any) Result {
	r.t.Helper()
	for _, t := range r.in.Tokens {
		if t.Rest == AtCall {
			d := map[string]any{"command_id": t.Command, "effect_id": t.Command}
			for k, v := range data {
				d[k] = v
			}
			return r.give(r.event(typ, d))
		}
	}
	r.t.Fatal("no call waits")
	return Result{}
}

// bodies are the texts of the notes that were emitted, and the types of everything else.
func (r *rig) bodies() string {
	var out []string
	for _, o := range r.outs {
		_, body, err := event.Unframe(o.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := testSchemas[o.Type].Avro.Decode(body)
		if err != nil {
			r.t.Fatal(err)
		}
		if s, ok := data["text"].(string); ok {
			out = append(out, s)
		} else if s, ok := data["body"].(string); ok {
			out = append(out, "sms:"+s)
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) is(status Status, outcome, bodies string) {
	r.t.Helper()
	if r.in.Status != status || r.in.Outcome != outcome || r.bodies() != bodies {
		r.t.Errorf("status %s, outcome %q, emitted %q; want %s, %q, %q. Failures %+v", r.in.Status, r.in.Outcome, r.bodies(), status, outcome, bodies, r.last.Failures)
	}
}
