package checker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Timer is one row of neuronx.timers.
type Timer struct {
	Tenant, ID, Instance, Task string
	Token                      int64 // 0: the deadline of its instance
	Due                        time.Time
	Armed                      int64 // sequence of the event that armed it
	State                      string
}

// Firing is a timer.fired of the log.
type Firing struct {
	Tenant, Timer, Instance, Task string
	Sequence                      int64
	Armed                         int64 // sequence of the event that armed the timer
	Due                           time.Time
	At                            time.Time // by its position
}

// Move is what an activation of an instance told in the log. One that only takes in an event for later tells nothing.
type Move struct {
	Tenant, Instance string
	Cause            int64 // sequence of the event that moved it
	Ended            bool
	Outcome          string
	At               []string  // tasks at which it rests
	Due              time.Time // of the first of its tasks' timers; zero: none is armed
}

// Flows is what the log tells of instances of workflows and their timers, in its order.
type Flows struct {
	Moves   []Move
	Firings []Firing
	Paused  map[string]bool // tenants that paused a workflow: any event may move instances on there
}

// ReadFlows reads what the log tells of workflows.
func ReadFlows(log []event.Recorded, decode func(*event.Recorded) (map[string]any, error)) (*Flows, error) {
	f := &Flows{Paused: map[string]bool{}}
	for i := range log {
		r := &log[i]
		ended := false
		switch r.Type {
		case "workflow.paused":
			f.Paused[r.TenantID] = true
			continue
		case "workflow.completed", "workflow.cancelled", "workflow.faulted":
			ended = true
		case "workflow.started", "workflow.advanced", "workflow.incident.raised", "timer.fired":
		default:
			continue
		}
		data, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", r.TenantID, r.Sequence, err)
		}
		text := func(field string) string { s, _ := data[field].(string); return s }
		number := func(field string) int64 { n, _ := data[field].(int64); return n }
		due, _ := data["due"].(time.Time)
		if r.Type == "timer.fired" {
			f.Firings = append(f.Firings, Firing{Tenant: r.TenantID, Timer: text("timer_id"), Instance: text("instance_id"), Task: text("task"), Sequence: r.Sequence,
				Armed: number("armed_sequence"), Due: due, At: time.UnixMilli(event.PositionTime(r.Position))})
			continue
		}
		m := Move{Tenant: r.TenantID, Instance: text("instance_id"), Cause: number("cause_sequence"), Ended: ended, Outcome: text("outcome"), Due: due}
		at, _ := data["at"].([]any)
		for _, v := range at {
			task, _ := v.(string)
			m.At = append(m.At, task)
		}
		f.Moves = append(f.Moves, m)
	}
	return f, nil
}

type instance struct{ tenant, id string }

func (i instance) String() string { return i.tenant + ": instance " + i.id }

// checkTimers is I12: a timer that was armed fires once, or is disarmed, or is armed still. What fired is decided by the log alone. What is armed is
// looked at where a tenant is at rest; a tenant whose events of workflows were refused can't be judged.
func checkTimers(r *report, d Dump) {
	heads, refused := map[string]int64{}, map[string]bool{}
	for i := range d.Log {
		heads[d.Log[i].TenantID] = d.Log[i].Sequence
	}
	for _, l := range d.DeadLetters {
		if strings.HasPrefix(l.Type, "workflow.") {
			refused[l.Tenant] = true
		}
	}
	moves := map[instance][]Move{}
	var instances []instance
	for _, m := range d.Flows.Moves {
		i := instance{m.Tenant, m.Instance}
		if moves[i] == nil {
			instances = append(instances, i)
		}
		moves[i] = append(moves[i], m)
	}
	checkFirings(r, d.Flows, moves, refused)

	rows := map[instance][]Timer{}
	judged := func(tenant string) bool {
		at, rests := d.AtRest[tenant]
		return rests && at == heads[tenant] && !refused[tenant]
	}
	for _, t := range d.Timers {
		i := instance{t.Tenant, t.Instance}
		rows[i] = append(rows[i], t)
		switch {
		case !judged(t.Tenant):
		case moves[i] == nil:
			r.add("I12", "%s never started, and its timer %s is armed", i, t.ID)
		case t.State != "armed":
			r.add("I12", "%s: its timer %s is %s, and the firing is neither in the outbox nor in the log", i, t.ID, t.State)
		}
	}
	for _, i := range instances {
		if judged(i.tenant) {
			checkArmed(r, i, moves[i][len(moves[i])-1], rows[i])
		}
	}
}

// checkArmed holds the timers that an instance has against what it told last.
func checkArmed(r *report, i instance, last Move, timers []Timer) {
	if last.Ended {
		if len(timers) > 0 {
			r.add("I12", "%s has ended, and its timer %s (%s) is armed", i, timers[0].ID, timers[0].Task)
		}
		return
	}
	deadlines, later := 0, false
	var first time.Time
	for _, t := range timers {
		switch {
		case t.Token == 0:
			deadlines++
		case t.Armed > last.Cause:
			later = true // an activation that told nothing armed it
		case first.IsZero() || t.Due.Before(first):
			first = t.Due
		}
	}
	if deadlines != 1 {
		r.add("I12", "%s lives, and has %d deadlines", i, deadlines)
	}
	if !later && !first.Equal(last.Due) {
		r.add("I12", "%s told last, at %d, that its first timer is due %s; the first that is armed is due %s", i, last.Cause, instant(last.Due), instant(first))
	}
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// tolerance is how far ahead of its due a firing may count: clocks differ.
const tolerance = time.Minute

// checkFirings looks at the firings that moved an instance: each timer does so once, not before its due, and not after it was disarmed. One that
// moves nothing was disarmed, or came early.
func checkFirings(r *report, f *Flows, moves map[instance][]Move, refused map[string]bool) {
	counted := map[[2]string]int64{}
	for _, x := range f.Firings {
		if refused[x.Tenant] || f.Paused[x.Tenant] {
			continue
		}
		i := instance{x.Tenant, x.Instance}
		at := slices.IndexFunc(moves[i], func(m Move) bool { return m.Cause == x.Sequence })
		if at < 0 {
			continue
		}
		timer := [2]string{x.Tenant, x.Timer}
		if before, twice := counted[timer]; twice {
			r.add("I12", "%s: its timer %s fired twice, at %d and %d", i, x.Timer, before, x.Sequence)
		}
		counted[timer] = x.Sequence
		if x.At.Add(tolerance).Before(x.Due) {
			r.add("I12", "%s: its timer %s moved it at %s, before its due %s", i, x.Timer, instant(x.At), instant(x.Due))
		}
		if at == 0 {
			continue
		}
		ends := moves[i][at].Ended && moves[i][at].Outcome == x.Task // as a deadline does, which is of no task
		if last := moves[i][at-1]; last.Ended || x.Armed <= last.Cause && !ends && !slices.Contains(last.At, x.Task) {
			r.add("I12", "%s: its timer %s (%s) moved it at %d, although it was disarmed at %d", i, x.Timer, x.Task, x.Sequence, last.Cause)
		}
	}
}
