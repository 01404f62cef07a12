package flow

import (
	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Program is one compiled workflow. It is immutable.
type Program struct {
	Name        string
	File        string
	Start       Start
	Concurrency *Concurrency // nil: instances of other workflows are not looked at
	Until       []Until      // in the order of the file: the first that holds ends the instance
	Timeout     *Deadline    // of the whole instance; nil: MaxLife alone bounds it
	Do          []*Task
	Finally     []*Task // after any end; they neither wait nor reach a person
	Loops       bool    // loops: allowed; it may be one of a circle of workflows that start each other

	Listening []*Task // tasks that listen, in the order of the file

	tasks     map[string]*Task // by path
	vars      []string         // that something sets
	locations map[*expr.Program]rulefile.Location
	text      string // of the file
	line      int
}

// Task finds a task by its path; nil: the workflow has none.
func (p *Program) Task(path string) *Task { return p.tasks[path] }

// Start says what starts an instance.
type Start struct {
	On      []string
	Origins []event.Origin        // live alone if the file names none
	When    *expr.Program         // sees event and data; nil: always
	Key     *expr.Program         // sees event and data: what the instance is about, a text; one instance runs a key unless Reentry says otherwise
	Set     []rulefile.Assignment // see event and data: what is kept of the trigger, in vars
	Zone    *expr.Program         // sees event and data: an IANA name; nil: not said
	Contact *expr.Program         // sees event and data: id of the lead whom commands of this instance reach; nil: data.lead_id
	Fresh   *calendar.Duration    // a trigger that happened longer before it was recorded starts nothing; nil: any age
	Reentry Reentry
}

// ReentryPolicy says when a key may start again.
type ReentryPolicy string

// Policies of starting again.
const (
	Once       ReentryPolicy = "once"      // a key starts one instance, ever
	AfterEnd   ReentryPolicy = "after_end" // not while one lives
	Restart    ReentryPolicy = "restart"   // the living one is cancelled as replaced
	Concurrent ReentryPolicy = "concurrent"
)

// Reentry is what may start again, and how soon.
type Reentry struct {
	Policy   ReentryPolicy
	Cooldown calendar.Duration // since the last start
	Max      int64             // starts of a key, ever; 0: any number
}

// Concurrency lets one instance of a group live for a key, over all workflows that name the group.
type Concurrency struct {
	Group   string
	Replace bool // the living one is cancelled as replaced; otherwise the new start is refused
}

// Match is an event that is waited for.
type Match struct {
	On     []string
	When   *expr.Program // sees event, data, vars, instance; nil: always
	From   *expr.Program // sees event and data: compared with Expect; nil: Start.Key, which checks on every type of On
	Expect *expr.Program // sees vars and instance; nil: the instance's key

	line       int
	correlated bool // the file says how, though perhaps wrongly
}

// Until ends an instance whenever its event comes.
type Until struct {
	Name      string
	Match     Match
	Cancelled bool    // the instance counts as cancelled and its compensations run; otherwise as completed
	Do        []*Task // neither wait nor reach a person

	line int
}

// Then says where an instance goes on after a task.
type Then struct {
	End  bool
	Task string // name in the same list; empty: the next one, unless End
}

// Deadline bounds a wait for an event or an outcome, or an instance.
type Deadline struct {
	After     calendar.Duration
	In        string // calendar whose next opening the deadline moves to; empty: none
	Then      *Then  // nil: the error timeout is raised
	Cancelled bool   // of an instance: it counts as cancelled, otherwise as completed
}

// Task is one step of a list. What it does is one of *Emit, *Call, *Wait, *Listen, *Switch, *Set, *Do, *For, *Fork, *Try, *Raise, *Assign.
type Task struct {
	Name string
	Path string // names from the top, joined by slashes: escalate/grace, until/replied/note, finally/report
	Line int
	If   *expr.Program // sees vars, instance, now and loop variables; nil: always. A task that is left out goes on with the next one
	Then Then
	Step Step

	Parent *Task   // nil: the list is the workflow's own
	List   []*Task // in which it stands
	Index  int     // in List
}

// Step is what a task does.
type Step interface{ step() }

// Emit derives an event.
type Emit struct {
	Type    string
	Subject *expr.Program // nil: the instance's subject
	Data    []rulefile.Assignment
	Undo    []*Emit // derived, newest first, when the instance is cancelled or faulted

	Channel *expr.Program // of a command that reaches a person: the field that the schema names; nil: it reaches nobody
	End     bool          // on_suppressed: end

	line   int
	broken []string // fields whose expressions do not compile
}

// Call emits a command crm.*.requested and waits for its outcome.
type Call struct {
	Emit    Emit
	As      string    // variable that takes the outcome; empty: none
	Timeout *Deadline // nil: an hour after the command's not_after
}

// Wait lets time pass. Exactly one of For and Until is set.
type Wait struct {
	For      *calendar.Duration
	Until    *expr.Program       // gives a time
	Counting string              // calendar whose open time alone counts; empty: all time does
	At       *calendar.TimeOfDay // local time that it moves on to; nil: none
	In       string              // calendar whose next opening it moves to; empty: none
	Spread   calendar.Duration   // at most this much later, by a hash of the instance
	Late     *Late               // nil: however late, it goes on
}

// Late says what happens instead of going on when a timer fires too late to be of use.
type Late struct {
	After calendar.Duration
	Then  Then
}

// Gather says how many of the events a listen waits for.
type Gather string

// What a listen waits for.
const (
	One Gather = "one" // its only event
	Any Gather = "any" // the first of several
	All Gather = "all" // each of several
)

// Listen waits for events.
type Listen struct {
	To      Gather
	Matches []Match
	Set     []rulefile.Assignment // see event, data, vars, instance, now
	Since   string                // step, start, or the path of a task: what came since then counts; empty: since the last reaching command that is not of a parallel branch
	Timeout *Deadline             // nil: none
}

// Switch goes to the task of the first case that holds; without one, on.
type Switch struct{ Cases []Case }

// Case is one way of a switch.
type Case struct {
	Name string
	When *expr.Program // nil: the default, which is last
	Then Then

	line int
}

// Set changes variables; null takes one away.
type Set struct{ Vars []rulefile.Assignment }

// Do is a list as one task.
type Do struct{ Tasks []*Task }

// For runs its tasks for each value of a list.
type For struct {
	Each  string        // loop variable
	At    string        // variable of the index; empty: none
	In    *expr.Program // gives a list
	While *expr.Program // nil: always
	Tasks []*Task
}

// Fork runs its branches side by side.
type Fork struct {
	Branches []*Task // each a Do or a single task
	Compete  bool    // the first that ends, ends the others
}

// Try runs its tasks and catches their errors.
type Try struct {
	Tasks  []*Task
	Errors []string      // patterns such as command/* and timeout; empty: all
	When   *expr.Program // sees error; nil: always
	As     string        // variable of the error; error if the file names none
	Retry  *Retry        // nil: none
	Catch  []*Task
}

// Retry runs the tasks of a try again before their error is caught.
type Retry struct {
	Attempts int64 // at most, the first not counted
	Delay    calendar.Duration
	Backoff  bool // each delay is twice the one before
	Longest  calendar.Duration
}

// Raise fails with an error of the file's own.
type Raise struct {
	Error  string        // raised/…
	Detail *expr.Program // a text; nil: none
}

// Assign picks a member of a pool.
type Assign struct {
	Pool   string        // a lookup that is a pool
	As     string        // variable that takes the member
	Except *expr.Program // gives a list of members that are not picked; nil: none
	Or     *expr.Program // member when nobody is eligible; nil: the error no_capacity is raised
}

func (*Emit) step()   {}
func (*Call) step()   {}
func (*Wait) step()   {}
func (*Listen) step() {}
func (*Switch) step() {}
func (*Set) step()    {}
func (*Do) step()     {}
func (*For) step()    {}
func (*Fork) step()   {}
func (*Try) step()    {}
func (*Raise) step()  {}
func (*Assign) step() {}

// Policy says who may be reached, how often and when. A bundle has at most one.
type Policy struct {
	Name   string
	File   string
	Basis  map[string]Basis  // by channel; a channel that is missing: opt_in for sms, call and whatsapp, opt_out for email
	Quiet  map[string]string // calendar outside which a channel is quiet, by channel
	Caps   []Cap
	Pace   map[string]Pace // by channel
	Grants []Grant

	locations map[*expr.Program]rulefile.Location
	text      string // of the file
	line      int
}

// Basis is what a channel asks of a person.
type Basis string

// Bases.
const (
	OptIn  Basis = "opt_in"  // silence is no consent
	OptOut Basis = "opt_out" // silence is consent until it is revoked
)

// Cap bounds how often a person is reached.
type Cap struct {
	Channel string // "*": all
	Most    int64
	Per     calendar.Duration
	Skip    bool // over it, the message is left out; otherwise it waits
}

// Pace bounds how fast a channel is used, over all people of a tenant.
type Pace struct {
	Most int64
	Per  calendar.Duration
}

// Grant is consent that an event carries.
type Grant struct {
	On      []string
	When    *expr.Program // sees event and data; nil: always
	Channel string
	Lead    *expr.Program // sees event and data; nil: data.lead_id
	Basis   string        // what is recorded as the reason

	line int
}
