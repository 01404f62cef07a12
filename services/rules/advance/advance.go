package advance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Kind is what moves an instance.
type Kind string

// Kinds of stimuli. The last of them are verbs of people and ends that others decide.
const (
	Start    Kind = "start"
	Heard    Kind = "event" // an event that a call, until or listen may wait for
	Fired    Kind = "timer"
	Refused  Kind = "refused" // a timer whose firings are refused again and again
	Retry    Kind = "retry"   // an incident: its task runs again
	Skip     Kind = "skip"    // an incident: its task is left out, what it would have set is null
	Suspend  Kind = "suspend"
	Resume   Kind = "resume"
	Unpause  Kind = "unpause" // its workflow is paused no more
	Cancel   Kind = "cancel"
	Replaced Kind = "replaced" // a newer instance took its place
	Merged   Kind = "merged"   // its subject became another that has an instance
	Erased   Kind = "erased"   // its subject was erased
	Migrate  Kind = "migrate"  // it goes on by the text that Advance is given, as far as Migratable allows it
)

// Stimulus is an event of the log and what it is to the instance.
type Stimulus struct {
	Kind     Kind
	Event    event.Recorded
	Data     map[string]any
	Timer    string // id of the timer that fired
	Incident string // id of the incident of Retry and Skip

	Asked *event.Recorded // of Start: the request of a person to start on Event, which was recorded before; nil: Event starts it itself

	From   *flow.Program // of Migrate: the text that the instance runs by
	Bundle int64         // of Migrate: sequence of the rules.published that holds the new text
}

// Env is what an activation depends on besides the instance and the event: what is in force at that point of the log.
type Env struct {
	Schemas   Schemas // of what is emitted, heard and started by
	Calendars reach.Calendars
	Policy    *flow.Policy
	Contact   reach.Contact                // of the instance's lead, by id also if nothing is known of it
	Pace      map[string]reach.Slot        // by channel
	Pools     map[string]Pool              // that the workflow assigns from
	Reference *expr.Reference              // what expressions see of lookups and calendars; nil: nothing
	Corrects  func(e *event.Recorded) bool // whether an event corrects history; nil: none does

	Lead     string                           // whom the instance's contact was merged into; empty: nobody
	EventKey func(key string) (string, error) // a key that the event gives, as it is by now; nil: nothing was merged
	OwnKey   func(key string) (string, error) // a key of the instance, as it is by now; nil: nothing was merged

	Watch Watcher // nil: nobody asks why
}

// Pool is a pool at a point of the log.
type Pool struct {
	Members []pool.Member // Closed is filled in by the calendar of a member
	Hours   []string      // calendar of each member; empty: always open
	State   pool.State
	Claim   pool.Claim    // of the instance's key
	After   time.Duration // that a new claim lives; 0: until it is released
}

// Output is an event that an activation derives.
type Output struct {
	ID       string
	Type     string
	Subject  string
	Value    []byte // framed
	Hops     int
	Task     string
	Visit    int64
	Channel  string // that it reaches a person by; empty: it reaches nobody
	NotAfter time.Time
}

// Decision is something that an activation decided for a person to see.
type Decision struct {
	Task  string
	Kind  string // assign, suppress, skip, defer, late, zone
	Name  string // pool, channel …
	Value string // member, reason …
}

// Failure is what a task did wrong. Those that count trip the workflow when a task fails on five keys in a row.
type Failure struct {
	Task   string
	Code   string // type of the error: expression/type, data, limit …
	Detail string
	Counts bool // no value had a part in it, and it ran into no bound: it fails for every key
	Caught bool
}

// Result is what an activation changes. Where it says Ignored, nothing changed.
type Result struct {
	Ignored   string // stale, early, ended, unheard, or why a verb was refused: no_incident, not_suspended, suspended, same_version, not_migratable
	Instance  Instance
	Outputs   []Output
	Lifecycle *Lifecycle // nil: nothing to tell
	Arm       []Timer
	Disarm    []string // ids; that of the firing itself is not in it
	Contact   *reach.Contact
	Pace      map[string]reach.Slot // changed ones
	Pools     map[string]Pool       // changed ones
	Failures  []Failure
	Succeeded []string // tasks that ran without an error, sorted: they end a row of failures
	Cost      uint64   // units
}

// Reasons of Result.Ignored.
const (
	Stale       = "stale"   // no such timer: cancelled, replaced or fired before
	Early       = "early"   // the timer is not due: a clock ran ahead
	AlreadyEnd  = "ended"   // the instance has ended
	Unheard     = "unheard" // nothing waits for the event
	NoIncident  = "no_incident"
	IsSuspended = "suspended"
	NotAsleep   = "not_suspended"
	HasBegun    = "started"

	SameVersion   = "same_version"   // the instance runs by that text already
	NotMigratable = "not_migratable" // Migratable says why
)

// Tolerance is how far ahead of the position of its firing a timer may be due.
const Tolerance = time.Minute

// Advance moves an instance by one event. The error is only the machine's: the context ended, or an instance and a program that don't
// belong together. Nothing is modified but the result.
func Advance(ctx context.Context, p *flow.Program, in Instance, on Stimulus, env Env) (Result, error) {
	if in.Status.Ended() {
		return Result{Ignored: AlreadyEnd, Instance: in}, nil
	}
	m := &machine{allowed: ruleset.RuleCost, room: MaxOutputs, ctx: ctx, p: p, in: in.clone(), on: on, env: env, now: time.UnixMilli(event.PositionTime(on.Event.Position)).UTC()}
	why, err := m.take()
	if err != nil {
		return Result{}, err
	}
	if why != "" {
		return Result{Ignored: why, Instance: in, Failures: m.res.Failures, Cost: m.cost}, nil
	}
	m.in.Activation++
	if err := m.run(); err != nil {
		return Result{}, err
	}
	return m.result(in), nil
}

// machine is one activation.
type machine struct {
	ctx context.Context
	p   *flow.Program
	in  Instance
	on  Stimulus
	env Env
	now time.Time // position time of the event, or the due of its timer if that is later
	res Result

	cost      uint64
	allowed   uint64 // units of cost that are over the budget
	room      int    // outputs that there may be
	taken     int    // tasks
	vars      map[string]any
	fired     string // id of the timer that fired
	done      []string
	decisions []Decision
	changed   map[string]bool // variables
	incidents []Incident
	failed    map[string]bool // tasks that failed
	ending    bool            // until.do, compensation and finally run
}

// take lets the stimulus move the instance. The answer is why it does not.
func (m *machine) take() (string, error) {
	switch m.on.Kind {
	case Start:
		if m.in.Activation > 0 {
			return HasBegun, nil
		}
		return "", m.begin()
	case Fired:
		return m.fire()
	case Heard:
		return m.hear()
	case Refused:
		return m.refused()
	case Erased:
		m.erase()
		return "", nil
	case Cancel, Replaced, Merged:
		return "", m.end(Cancelled, string(m.on.Kind), nil)
	case Suspend:
		if m.in.Suspended {
			return IsSuspended, nil
		}
		m.in.Suspended = true
		return "", nil
	case Resume:
		if !m.in.Suspended {
			return NotAsleep, nil
		}
		m.in.Suspended = false
		return "", nil
	case Unpause:
		if !m.in.Paused {
			return NotAsleep, nil
		}
		m.in.Paused = false
		return "", nil
	case Retry, Skip:
		return m.resolve()
	case Migrate:
		return m.migrate()
	}
	return "", fmt.Errorf("an instance does not know the stimulus %q", m.on.Kind)
}

// begin puts the first token before the first task.
func (m *machine) begin() error {
	m.in.Visits = map[string]int64{}
	due, task := m.env.Calendars.Add(m.now, lifetime, m.zone()), outcomeLimit
	if d := m.p.Timeout; d != nil {
		own, f := m.dueOf(d.After, d.In)
		if f == nil && own.Before(due) {
			due, task = own, outcomeTimeout
		}
	}
	m.in.Deadline = m.timer(0, task, 0, due)
	for _, task := range m.p.Listening {
		if task.Step.(*flow.Listen).Since == "start" {
			m.open(task)
		}
	}
	root := m.token(0)
	if len(m.p.Do) == 0 {
		return m.end(Completed, outcomeEnd, nil)
	}
	root.Task = m.p.Do[0].Path
	return nil
}

// token makes a token; 0 has no parent.
func (m *machine) token(parent int64) *Token {
	m.in.LastToken++
	t := &Token{ID: m.in.LastToken, Parent: parent}
	m.in.Tokens = append(m.in.Tokens, t)
	return t
}

func (m *machine) find(id int64) *Token {
	for _, t := range m.in.Tokens {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// run lets tokens run by id, each until it rests.
func (m *machine) run() error {
	for !m.in.Status.Ended() && !m.in.held() {
		ran, err := m.runNext()
		if !ran {
			return err
		}
	}
	return nil
}

// runNext runs one task of the first token that is ready; false: none is, or the machine failed.
func (m *machine) runNext() (bool, error) {
	var next *Token
	for _, t := range m.in.Tokens {
		if t.Rest == Ready && (next == nil || t.ID < next.ID) {
			next = t
		}
	}
	if next == nil {
		return false, nil
	}
	task, err := m.task(next.Task)
	if err != nil {
		return false, err
	}
	if err := m.handle(next, task, m.step(next, task)); err != nil {
		return false, err
	}
	return true, nil
}

func (m *machine) task(path string) (*flow.Task, error) {
	if t := m.p.Task(path); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("workflow %s of bundle %d has no task %q, in which instance %s stands: the text that it runs by must be kept", m.p.Name, m.in.Bundle, path, m.in.ID)
}

// handle sends what a task did wrong to its catch.
func (m *machine) handle(t *Token, task *flow.Task, err error) error {
	var f *fault
	if err == nil || !errors.As(err, &f) {
		return err
	}
	return m.fail(t, task, f)
}

// result compares before and after.
func (m *machine) result(before Instance) Result {
	r := m.res
	if !m.in.Status.Ended() {
		m.in.Status = m.in.status()
	}
	had, has := before.timers(), m.in.timers()
	holds := func(list []Timer, id string) bool {
		return slices.ContainsFunc(list, func(t Timer) bool { return t.ID == id })
	}
	for _, t := range has {
		if !holds(had, t.ID) {
			r.Arm = append(r.Arm, t)
		}
	}
	for _, t := range had {
		if t.ID != m.fired && !holds(has, t.ID) {
			r.Disarm = append(r.Disarm, t.ID)
		}
	}
	r.Lifecycle = m.lifecycle()
	r.Instance, r.Cost = m.in, m.cost
	for _, path := range m.done {
		if !m.failed[path] {
			r.Succeeded = append(r.Succeeded, path)
		}
	}
	slices.Sort(r.Succeeded)
	r.Succeeded = slices.Compact(r.Succeeded)
	return r
}

// decide notes a decision.
func (m *machine) decide(task, kind, name, val string) {
	m.decisions = append(m.decisions, Decision{task, kind, name, val})
}

func (m *machine) id(parts ...string) string {
	return event.DerivedID(m.in.Tenant, append([]string{"workflow", m.in.ID}, parts...)...)
}

// commandOf is the command that an outcome type is about: crm.x.succeeded and crm.x.failed.
func commandOf(typ string) (base string, succeeded, ok bool) {
	if b, found := strings.CutSuffix(typ, ".succeeded"); found && strings.HasPrefix(typ, "crm.") {
		return b, true, true
	}
	b, found := strings.CutSuffix(typ, ".failed")
	return b, false, found && strings.HasPrefix(typ, "crm.")
}
