package explain

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
)

// Instance is one instance of a workflow: what it did, step by step, where it stands, and what ends it.
type Instance struct {
	Alarms   []string   `json:"alarms"` // what comes out otherwise than it is recorded; empty: nothing does
	Tenant   string     `json:"tenant_id"`
	ID       string     `json:"instance_id"`
	Workflow string     `json:"workflow"`
	Bundle   string     `json:"bundle"` // sequence of the rules.published that holds its text
	Key      string     `json:"key"`
	Subject  string     `json:"subject,omitempty"`
	Number   int64      `json:"number,omitempty"` // which start of the key it is
	Status   string     `json:"status"`           // waiting, suspended, incident, completed, cancelled, faulted; empty: its row is gone, 30 days after its end
	Outcome  string     `json:"outcome,omitempty"`
	Rests    []Rest     `json:"rests"`              // where it stands
	EndsBy   []string   `json:"ends_by"`            // names of its until, while it lives
	Deadline *time.Time `json:"deadline,omitempty"` // when it ends by itself
	Vars     []Value    `json:"vars"`
	Steps    []Activity `json:"steps"`
	Notes    []string   `json:"notes"` // what was cut, and what could not be told

	recorded []event.Recorded
}

// Rest is a place at which an instance stands.
type Rest struct {
	Task string     `json:"task"`
	Why  string     `json:"why"` // wait, listen, call, fork, retry, defer or incident
	Due  *time.Time `json:"due,omitempty"`
	Code string     `json:"code,omitempty"` // of an incident, with its detail
}

// Activity is one activation: what caused it, what it decided and why, and what came of it.
type Activity struct {
	Step
	CauseID    string        `json:"cause_id"`
	CauseType  string        `json:"cause_type"`
	Late       time.Duration `json:"late_ns,omitempty"` // of a timer: from its due to its place in the log
	Conditions []Asked       `json:"conditions"`
	Picks      []Picked      `json:"picks"`
	Outputs    []Output      `json:"outputs"`
}

// Asked is a condition that an activation evaluated.
type Asked struct {
	Where string `json:"where"` // the task and what of it, such as escalate/again if
	Condition
}

// Picked says why a pool gave this member and not another one.
type Picked struct {
	Task    string   `json:"task"`
	Pool    string   `json:"pool"`
	Member  string   `json:"member"` // empty: nobody
	Kept    bool     `json:"kept"`   // the key had it before, and keeps it
	Members []Member `json:"members"`
}

// Member is a member of a pool when somebody was picked.
type Member struct {
	Name     string     `json:"name"`
	Eligible bool       `json:"eligible"`
	Why      string     `json:"why,omitempty"` // it was not: closed, at capacity, excluded, weight below 1
	Weight   int64      `json:"weight"`
	Turn     int64      `json:"turn"` // its value before: the highest after adding its weight is picked
	Claims   int64      `json:"claims"`
	Capacity int64      `json:"capacity,omitempty"` // absent: any number
	Opens    *time.Time `json:"opens,omitempty"`    // of who was closed
}

// Why a member is not eligible.
const (
	Closed     = "closed"
	AtCapacity = "at capacity"
	Excluded   = "excluded"
	NoWeight   = "weight below 1"
)

// picked says of each member whether it could be picked, and why not.
func picked(task string, p advance.Pick) Picked {
	out := Picked{Task: task, Pool: p.Pool, Member: p.Member, Kept: p.Claim.Living(p.Now) && p.Claim.Member == p.Member, Members: []Member{}}
	excepted := pool.Among(p.Except)
	for i, m := range p.Members {
		if i == maxTold {
			break
		}
		told := Member{Name: m.Name, Weight: m.Weight, Turn: p.State[m.Name], Claims: m.Claims, Capacity: m.Capacity}
		switch {
		case excepted(m.Name):
			told.Why = Excluded
		case m.Closed:
			told.Why = Closed
			if opens := p.Opens(i); !opens.IsZero() {
				told.Opens = &opens
			}
		case m.Weight < 1:
			told.Why = NoWeight
		case m.Capacity > 0 && m.Claims >= m.Capacity:
			told.Why = AtCapacity
		default:
			told.Eligible = true
		}
		out.Members = append(out.Members, told)
	}
	return out
}

// Row is an instance as the fold keeps it.
type Row struct {
	ID       string
	State    []byte
	Personal []byte
}

// Stands begins an explanation with where an instance stands. p is the text that it runs by; nil: it is not known.
func Stands(tenant string, row Row, p *flow.Program, personal bool) (Instance, error) {
	in, err := advance.Decode(row.State, row.Personal)
	if err != nil {
		return Instance{}, fmt.Errorf("instance %s: %w", row.ID, err)
	}
	out := Gone(tenant, row.ID)
	out.Workflow, out.Bundle, out.Key, out.Subject, out.Number = in.Workflow, strconv.FormatInt(in.Bundle, 10), in.Key, in.Subject, in.Number
	out.Status, out.Outcome = string(in.Status), in.Outcome
	for _, name := range slices.Sorted(maps.Keys(in.Vars)) {
		out.Vars = append(out.Vars, Value{Name: name, Value: Text(in.Vars[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(in.Personal)) {
		v := Value{Name: name, Value: Hidden, Personal: true}
		if personal {
			v.Value = Text(in.Personal[name])
		}
		out.Vars = append(out.Vars, v)
	}
	if in.Status.Ended() {
		return out, nil
	}
	for _, t := range in.Tokens {
		r := Rest{Task: t.Task, Why: string(t.Rest)}
		if t.Timer != nil {
			r.Due = &t.Timer.Due
		}
		if t.Incident != nil {
			r.Code = t.Incident.Code + ": " + t.Incident.Detail
		}
		out.Rests = append(out.Rests, r)
	}
	if in.Held != nil {
		out.Rests = append(out.Rests, Rest{Task: in.Held.Task, Why: string(advance.AtIncident), Code: in.Held.Code + ": " + in.Held.Detail})
	}
	if in.Deadline != nil {
		out.Deadline = &in.Deadline.Due
	}
	if p != nil {
		for _, u := range p.Until {
			out.EndsBy = append(out.EndsBy, u.Name)
		}
	}
	return out, nil
}

// Gone begins an explanation of an instance that is not kept any more: its history is in the log.
func Gone(tenant, id string) Instance {
	return Instance{Tenant: tenant, ID: id, Alarms: []string{}, Rests: []Rest{}, EndsBy: []string{}, Vars: []Value{}, Steps: []Activity{}, Notes: []string{}}
}

// Causes lists the sequences of the events that moved the instance.
func (in *Instance) Causes() (out []int64) {
	for _, s := range in.Steps {
		if n, err := strconv.ParseInt(s.Cause, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// Caused says what the event of a sequence was.
func (in *Instance) Caused(sequence int64, id, typ string, happened, recorded time.Time) {
	for i := range in.Steps {
		s := &in.Steps[i]
		if s.Cause != strconv.FormatInt(sequence, 10) {
			continue
		}
		s.CauseID, s.CauseType = id, typ
		if typ == typeFired && !happened.IsZero() { // a firing happens at its due
			s.Late = max(0, recorded.Sub(happened))
		}
	}
}

const typeFired = "timer.fired"

// Emitted lists the ids of what the instance derived.
func (in *Instance) Emitted() (out []string) {
	for _, s := range in.Steps {
		for _, o := range s.Outputs {
			out = append(out, o.ID)
		}
	}
	return out
}

// Came says what came of the outputs.
func (in *Instance) Came(on Record) {
	for i := range in.Steps {
		for j := range in.Steps[i].Outputs {
			o := &in.Steps[i].Outputs[j]
			if r, is := on.ByID[o.ID]; is {
				o.Type, o.Subject, o.State, o.Sequence = r.Type, r.Subject, InLog, strconv.FormatInt(r.Sequence, 10)
			} else if on.Waiting[o.ID] {
				o.State = Waiting
			} else if code, is := on.Refused[o.ID]; is {
				o.State, o.Code = Refused, code
			}
			on.came(o)
		}
	}
}
