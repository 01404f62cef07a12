package advance

import (
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Limits of an instance.
const (
	MaxSteps      = 10_000 // tasks over its life, those left out by their if included
	MaxActivation = 200    // tasks of one activation
	MaxOutputs    = 32     // events of one activation; as many again when it ends
	MaxTokens     = 16     // each has at most one timer
	MaxLoop       = 400    // values of a for
	MaxVars       = 64
	MaxVarsBytes  = 16 << 10
	MaxUndo       = 16 // compensations that are kept
	MaxLifeDays   = 400
	// ShortestTimer is the least that is waited for: what is due sooner goes on at once. So each timer ends a chain of hops, and a
	// firing is never refused as a storm.
	ShortestTimer = time.Minute
)

// Status is what an instance does between two activations.
type Status string

// Statuses.
const (
	Waiting   Status = "waiting"
	Suspended Status = "suspended"
	InTrouble Status = "incident" // at least one token stands in an incident, or until can't be evaluated
	Completed Status = "completed"
	Cancelled Status = "cancelled"
	Faulted   Status = "faulted"
)

// Ended reports whether an instance of this status never moves again.
func (s Status) Ended() bool { return s == Completed || s == Cancelled || s == Faulted }

// State are values by name; see package value for what it may hold.
type State map[string]any

// Values are values of a list.
type Values []any

// Instance is one run of a workflow. Personal values stand in the fields that say so, and are encoded apart.
type Instance struct {
	ID          string       `json:"id,omitzero"`
	Tenant      string       `json:"tenant,omitzero"`
	Workflow    string       `json:"workflow,omitzero"`
	Key         string       `json:"key,omitzero"`     // what it is about
	Of          string       `json:"of,omitzero"`      // subject that the key names; empty: none
	Subject     string       `json:"subject,omitzero"` // of the event that started it
	Contact     string       `json:"contact,omitzero"` // id of the lead whom its commands reach; empty: they reach nobody
	Zone        string       `json:"zone,omitzero"`    // IANA name; empty: not said
	Origin      event.Origin `json:"origin,omitzero"`
	Correlation string       `json:"correlation,omitzero"`
	Trigger     string       `json:"trigger,omitzero"` // type of the event that started it
	Bundle      int64        `json:"bundle,omitzero"`  // sequence of the rules.published that holds its text
	Number      int64        `json:"number,omitzero"`  // nth start of its key
	Started     time.Time    `json:"started,omitzero"`
	Sequence    int64        `json:"sequence,omitzero"` // of the event that started it

	Status     Status           `json:"status,omitzero"`
	Outcome    string           `json:"outcome,omitzero"` // of what ended: end, timeout, a name of until …
	Suspended  bool             `json:"suspended,omitzero"`
	Paused     bool             `json:"paused,omitzero"`  // its workflow was paused with hold when something came for it: no token runs
	Held       *Incident        `json:"held,omitzero"`    // an until that can't be evaluated: no token runs
	Hops       int              `json:"hops,omitzero"`    // of its events: those of its start + 1, and 1 after its first timer
	Path       []string         `json:"path,omitzero"`    // of its start, until its first timer: how that was derived
	Resumed    bool             `json:"resumed,omitzero"` // a timer has resumed it
	Activation int64            `json:"activation,omitzero"`
	Steps      int64            `json:"steps,omitzero"`
	LastToken  int64            `json:"last_token,omitzero"`
	Deadline   *Timer           `json:"deadline,omitzero"`
	Tokens     []*Token         `json:"tokens,omitzero"` // by id
	Visits     map[string]int64 `json:"visits,omitzero"` // runs of each task
	Slots      []*Slot          `json:"slots,omitzero"`
	Undo       []Undo           `json:"undo,omitzero"` // oldest first
	Vars       State            `json:"vars,omitzero"`
	Personal   State            `json:"personal,omitzero"` // variables that come from fields marked as personal
}

// Rest is why a token does not run.
type Rest string

// Reasons to rest. The empty one is a token before its task.
const (
	Ready      Rest = ""
	AtWait     Rest = "wait"
	AtListen   Rest = "listen"
	AtCall     Rest = "call"
	AtFork     Rest = "fork"
	AtRetry    Rest = "retry"
	AtDeferral Rest = "defer"
	AtIncident Rest = "incident"
)

// Token is a place in a workflow.
type Token struct {
	ID       int64     `json:"id,omitzero"`
	Parent   int64     `json:"parent,omitzero"` // token that rests at the fork; 0: none
	Task     string    `json:"task,omitzero"`   // path
	Visit    int64     `json:"visit,omitzero"`
	Rest     Rest      `json:"rest,omitzero"`
	Timer    *Timer    `json:"timer,omitzero"`
	Command  string    `json:"command,omitzero"`  // id of the command whose outcome a call waits for
	Heard    []int     `json:"heard,omitzero"`    // matches of a listen that came, sorted
	Reserved int64     `json:"reserved,omitzero"` // slot of the pace that a deferred command has
	Frames   []*Frame  `json:"frames,omitzero"`
	Incident *Incident `json:"incident,omitzero"`
	Next     *Next     `json:"next,omitzero"` // the task is done; where it goes on was left until the instance is no longer held
}

// Next is where a token goes on after its task.
type Next struct {
	End  bool   `json:"end,omitzero"`
	Task string `json:"task,omitzero"`
}

// Frame is a for or a try that a token is in.
type Frame struct {
	Task     string `json:"task,omitzero"`
	Index    int64  `json:"index,omitzero"`    // of the value that the loop is at
	Values   Values `json:"values,omitzero"`   // of a loop: that value, and those that follow
	Attempts int64  `json:"attempts,omitzero"` // of a try: retries so far
	Caught   *Error `json:"caught,omitzero"`   // of a try: its catch runs
	Personal bool   `json:"personal,omitzero"` // the values, or the error, come from personal fields
}

// Error is what an expression sees as error.
type Error struct {
	Type   string `json:"type"`
	Detail string `json:"detail,omitzero"`
	Task   string `json:"task,omitzero"`
}

// Timer is a firing that an instance waits for.
type Timer struct {
	ID    string    `json:"id,omitzero"`
	Token int64     `json:"token,omitzero"` // 0: the deadline of the instance
	Task  string    `json:"task,omitzero"`
	Due   time.Time `json:"due,omitzero"`
	Armed int64     `json:"armed,omitzero"` // sequence of the event that armed it
}

// Slot remembers the newest event that matches a listen while no token listens yet.
type Slot struct {
	Task     string   `json:"task,omitzero"`
	Match    int      `json:"match,omitzero"`
	Filled   bool     `json:"filled,omitzero"`
	Set      State    `json:"set,omitzero"` // what the listen sets by it; nil values take a variable away
	Personal []string `json:"personal,omitzero"`
	Failed   *Error   `json:"failed,omitzero"` // it could not be evaluated
}

// Undo is a compensation that is kept until the end.
type Undo struct {
	Task     string `json:"task,omitzero"`
	Visit    int64  `json:"visit,omitzero"`
	Command  string `json:"command,omitzero"` // id of the command of a call whose outcome is not known; it goes if the command fails
	Locals   State  `json:"locals,omitzero"`  // loop variables
	Personal bool   `json:"personal,omitzero"`
}

// Incident is where a token stands that failed.
type Incident struct {
	ID      string `json:"id,omitzero"`
	Task    string `json:"task,omitzero"`
	Code    string `json:"code,omitzero"`
	Detail  string `json:"detail,omitzero"`
	Attempt int64  `json:"attempt,omitzero"`
}

// clone copies what Advance changes. Values are shared: nothing changes them in place.
func (in Instance) clone() Instance {
	in.Held = copied(in.Held)
	in.Deadline = copied(in.Deadline)
	in.Tokens = slices.Clone(in.Tokens)
	for i, t := range in.Tokens {
		c := *t
		c.Timer, c.Incident, c.Heard, c.Frames, c.Next = copied(t.Timer), copied(t.Incident), slices.Clone(t.Heard), slices.Clone(t.Frames), copied(t.Next)
		for j, f := range c.Frames {
			c.Frames[j] = copied(f)
		}
		in.Tokens[i] = &c
	}
	in.Visits = maps.Clone(in.Visits)
	in.Slots = slices.Clone(in.Slots)
	for i, s := range in.Slots {
		in.Slots[i] = copied(s)
	}
	in.Undo = slices.Clone(in.Undo)
	in.Vars, in.Personal = maps.Clone(in.Vars), maps.Clone(in.Personal)
	return in
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// timers lists what an instance has armed, by token.
func (in *Instance) timers() []Timer {
	var out []Timer
	if in.Deadline != nil {
		out = append(out, *in.Deadline)
	}
	for _, t := range in.Tokens {
		if t.Timer != nil {
			out = append(out, *t.Timer)
		}
	}
	return out
}

func (in *Instance) held() bool { return in.Suspended || in.Paused || in.Held != nil }

// status is what the fields say of an instance that lives.
func (in *Instance) status() Status {
	switch {
	case in.Suspended || in.Paused:
		return Suspended
	case in.Held != nil || slices.ContainsFunc(in.Tokens, func(t *Token) bool { return t.Rest == AtIncident }):
		return InTrouble
	}
	return Waiting
}
