package simulate

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
)

// Limits of one file of a test. What a test makes the engine derive is bounded by MaxEvents.
const (
	MaxSteps   = 1_000
	MaxGiven   = 200
	MaxExpect  = 200 // events that one step expects
	MaxRules   = 500
	MaxEvents  = 10_000 // of the log in memory of one test
	maxAdvance = 400 * 24 * time.Hour
)

// Test is one RuleTest file.
type Test struct {
	Name  string
	File  string
	Line  int
	Rules []string // the only rules that run; empty: all
	Start time.Time
	Given []Event
	Steps []Step
}

// Event is an event that a test puts into the log.
type Event struct {
	Type    string
	Subject string
	Origin  event.Origin // empty: live
	Time    time.Time    // when it happened; zero: the clock's time when it is recorded
	Line    int

	body []byte // framed
}

// Step is one thing that happens, and what is expected of it. At most one of Event, Outcome, Advance and To is there.
type Step struct {
	Line    int
	Event   *Event
	Outcome *Outcome
	Advance time.Duration // by which the clock is moved; zero: it is not
	To      time.Time     // to which the clock is moved; zero: it is not

	Expects bool // what comes is compared with Expect, which may be empty
	Expect  []Expected
	States  []Stated

	Instances []Instanced
}

// Instanced is what must be true of the newest instance of a key of a workflow after a step.
type Instanced struct {
	Workflow string
	Key      string
	Status   string // empty: any; none: there is no instance
	Outcome  string // empty: any
	Timers   int    // that are armed, the deadline of the instance included; -1: any number
	Line     int
}

// Outcome is what the CRM's adapter says of the oldest command of a kind that has none yet.
type Outcome struct {
	Of        string // the command without .requested, such as crm.note.add
	Succeeded bool
	None      bool // it never comes
	Line      int

	data    map[string]any // further fields; nil: none
	command string         // id of the command; empty: the oldest
}

// Expected is an event that must come out of a step.
type Expected struct {
	Type    string
	Subject string // empty: any
	Line    int

	data *yaml.Node // fields that are compared; nil: none
}

// Stated is what must be remembered of a subject after a step.
type Stated struct {
	Subject string
	Line    int

	values *yaml.Node
}
