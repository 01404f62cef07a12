package advance

import (
	"errors"
	"slices"
	"strconv"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Outcomes besides the names of until and the verbs.
const (
	outcomeEnd        = "end"
	outcomeTimeout    = "timeout"
	outcomeLimit      = "limit"      // the longest life of an instance
	outcomeSuppressed = "suppressed" // a command whose person gave no consent, where the file says to end then
)

// end ends the instance: the tasks of the until that did it, the compensations of what was cancelled or faulted, newest first, and finally.
// These have a budget of their own, neither wait nor reach a person, and an error in one of them ends that list alone.
func (m *machine) end(status Status, outcome string, do []*flow.Task) error {
	if m.ending {
		m.in.Tokens = nil // then: end, in a list that runs at the end
		return nil
	}
	m.in.Status, m.in.Outcome = status, outcome
	m.in.Deadline, m.in.Slots, m.in.Held, m.in.Suspended, m.in.Paused = nil, nil, nil, false, false
	m.ending = true
	m.allowed, m.room, m.taken = m.cost+ruleset.RuleCost, len(m.res.Outputs)+MaxOutputs, 0
	m.in.Tokens = nil
	if err := m.tail(do); err != nil {
		return err
	}
	if status != Completed {
		if err := m.compensate(); err != nil {
			return err
		}
	}
	m.in.Undo = nil
	return m.tail(m.p.Finally)
}

// erase ends the instance of a person who is to be forgotten. Nothing is derived about them any more, also no compensation, and no value stays.
func (m *machine) erase() {
	m.in.Status, m.in.Outcome = Cancelled, string(Erased)
	m.in.Tokens, m.in.Deadline, m.in.Slots, m.in.Undo, m.in.Held, m.in.Suspended, m.in.Paused = nil, nil, nil, nil, nil, false, false
	m.in.Vars, m.in.Personal, m.vars = nil, nil, nil
}

// tail runs a list of tasks to its end.
func (m *machine) tail(list []*flow.Task) error {
	if len(list) == 0 {
		return nil
	}
	m.in.Tokens = nil
	m.token(0).Task = list[0].Path
	for {
		ran, err := m.runNext()
		if err != nil {
			return err
		}
		if !ran {
			m.in.Tokens = nil
			return nil
		}
	}
}

// compensate derives what undoes the tasks that ran. What fails is told and the next one runs.
func (m *machine) compensate() error {
	for _, u := range slices.Backward(m.in.Undo) {
		task, err := m.task(u.Task)
		if err != nil {
			return err
		}
		vars := m.base()
		if len(u.Locals) > 0 {
			vars = merged(vars, u.Locals)
		}
		for i, e := range undoOf(task) {
			_, err := m.derive(derivation{task: task, visit: u.Visit, index: "undo" + strconv.Itoa(i), emit: e, vars: vars})
			var f *fault
			if errors.As(err, &f) {
				m.note(u.Task, f, false)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func undoOf(task *flow.Task) []*flow.Emit {
	switch s := task.Step.(type) {
	case *flow.Emit:
		return s.Undo
	case *flow.Call:
		return s.Emit.Undo
	}
	return nil
}

func merged(a map[string]any, b State) map[string]any {
	out := make(map[string]any, len(a)+len(b))
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// resolve answers an incident: its task runs again as a new visit, or is left out with null for what it would have set.
func (m *machine) resolve() (string, error) {
	if m.in.Held != nil && m.in.Held.ID == m.on.Incident {
		m.in.Held = nil
		return "", nil
	}
	i := slices.IndexFunc(m.in.Tokens, func(t *Token) bool { return t.Incident != nil && t.Incident.ID == m.on.Incident })
	if i < 0 {
		return NoIncident, nil
	}
	t := m.in.Tokens[i]
	t.Rest, t.Incident = Ready, nil
	if m.on.Kind == Retry {
		return "", nil
	}
	task, err := m.task(t.Task)
	if err != nil {
		return "", err
	}
	if t.inner(task) != nil {
		t.Frames = t.Frames[:len(t.Frames)-1]
	}
	set := State{}
	switch s := task.Step.(type) {
	case *flow.Set:
		for _, a := range s.Vars {
			set[a.Key] = nil
		}
	case *flow.Listen:
		for _, a := range s.Set {
			set[a.Key] = nil
		}
	case *flow.Call:
		if s.As != "" {
			set[s.As] = nil
		}
	case *flow.Assign:
		set[s.As] = nil
	}
	if err := m.set(set, nil); err != nil { // taking away is within every limit
		return "", err
	}
	return "", m.leave(t, task, task.Then)
}
