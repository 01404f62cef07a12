package advance

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/services/rules/flow"
)

const (
	raised    = "raised/"
	maxDetail = 1000 // bytes of an error's detail
)

// cut keeps a detail readable; it is cut at a byte that begins a character.
func cut(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "…"
}

// fail sends an error to the innermost try that catches it. One that nobody catches faults the instance if the file raised it; any other is
// an incident, in which the token stands before its task and everything else stays as it is.
func (m *machine) fail(t *Token, task *flow.Task, f *fault) error {
	if m.failed == nil {
		m.failed = map[string]bool{}
	}
	m.failed[task.Path] = true
	owner, try, depth, err := m.handler(t, task, f)
	if err != nil {
		return err
	}
	m.note(task.Path, f, try != nil)
	if try != nil {
		return m.catch(owner, try, depth, task, f)
	}
	if strings.HasPrefix(f.code, raised) && !f.final {
		return m.end(Faulted, f.code, nil)
	}
	t.Task, t.Rest, t.Timer, t.Command, t.Heard, t.Reserved = task.Path, AtIncident, nil, "", nil, 0
	t.Incident = &Incident{
		ID:   m.id(task.Path, strconv.FormatInt(m.in.Visits[task.Path], 10), strconv.FormatInt(m.in.Activation, 10), strconv.FormatInt(t.ID, 10), "incident"),
		Task: task.Path, Code: f.code, Detail: f.told(), Attempt: max(1, m.in.Visits[task.Path]),
	}
	m.incidents = append(m.incidents, *t.Incident)
	return nil
}

// told is the detail as it may stand in an event.
func (f *fault) told() string {
	switch {
	case f.personal && strings.HasPrefix(f.code, "command/"):
		return "the CRM's answer may repeat what was sent to it, and is not repeated here; neuronx effects list has it"
	case f.personal:
		return "the detail comes from personal fields and is not repeated here"
	}
	return cut(f.detail)
}

func (m *machine) note(path string, f *fault, caught bool) {
	own := strings.HasPrefix(f.code, raised) || strings.HasPrefix(f.code, "command/") || f.code == errTimeout || f.code == errNoCapacity
	m.res.Failures = append(m.res.Failures, Failure{Task: path, Code: f.code, Detail: f.told(), Counts: !f.varies && !f.bound && !own, Caught: caught})
}

// handler finds the try that catches an error, and whose token it is; nil: nobody does. A condition of a catch that can't be evaluated
// catches nothing.
func (m *machine) handler(t *Token, task *flow.Task, f *fault) (*Token, *flow.Task, int, error) {
	depth := len(t.Frames)
	if t.inner(task) != nil {
		depth-- // its own frame: the task failed as a whole
	}
	for node := task; !f.final && node.Parent != nil; node = node.Parent {
		switch s := node.Parent.Step.(type) {
		case *flow.Fork:
			if t = m.find(t.Parent); t == nil {
				return nil, nil, 0, errFrames(task)
			}
			depth = len(t.Frames)
		case *flow.For:
			depth--
		case *flow.Try:
			depth--
			if depth < 0 || t.Frames[depth].Task != node.Parent.Path {
				return nil, nil, 0, errFrames(task)
			}
			if t.Frames[depth].Caught != nil || !matches(s.Errors, f.code) {
				continue
			}
			holds, err := m.catches(t, depth, node.Parent, s, task, f)
			if err != nil {
				return nil, nil, 0, err
			}
			if holds {
				return t, node.Parent, depth, nil
			}
		}
	}
	return nil, nil, 0, nil
}

func (m *machine) catches(t *Token, depth int, try *flow.Task, s *flow.Try, task *flow.Task, f *fault) (bool, error) {
	if s.When == nil {
		return true, nil
	}
	outer := m.frames(t)
	outer = outer[:len(outer)-len(t.Frames)+depth]
	vars, _, err := m.scope(outer)
	if err != nil {
		return false, err
	}
	vars = maps.Clone(vars)
	seen := map[string]any{"type": f.code, "detail": cut(f.detail), "task": task.Path}
	vars["error"] = seen
	if s.As != "" {
		vars[s.As] = seen
	}
	holds, err := m.holds(try.Path+" catch.when", s.When, vars)
	var own *fault
	if errors.As(err, &own) {
		m.note(try.Path, own, false)
		return false, nil
	}
	return holds, err
}

// matches reports whether an error is one of the patterns; none means all.
func matches(patterns []string, code string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		if head, wild := strings.CutSuffix(p, "*"); wild {
			return strings.HasPrefix(code, head)
		}
		return p == code
	})
}

// catch gives an error to a try: it runs its tasks again as long as it may, and then those of its catch.
func (m *machine) catch(t *Token, try *flow.Task, depth int, task *flow.Task, f *fault) error {
	m.below(t)
	t.Rest, t.Timer, t.Command, t.Heard, t.Reserved, t.Incident = Ready, nil, "", nil, 0, nil
	t.Frames = t.Frames[:depth+1]
	frame, s := t.Frames[depth], try.Step.(*flow.Try)
	if s.Retry != nil && frame.Attempts < s.Retry.Attempts {
		due := m.delay(s.Retry, frame.Attempts+1)
		atOnce := due.Sub(m.now) < ShortestTimer
		if atOnce || !m.ending { // what runs at the end does not wait
			frame.Attempts++
		}
		if atOnce {
			return m.enter(t, try, s.Tasks)
		}
		if !m.ending {
			t.Task, t.Rest = try.Path, AtRetry
			t.Timer = m.timer(t.ID, try.Path, m.in.Visits[try.Path], due)
			return nil
		}
	}
	frame.Caught, frame.Personal = &Error{Type: f.code, Detail: cut(f.detail), Task: task.Path}, f.personal
	return m.enter(t, try, s.Catch)
}

// lifetime is how long an instance lives at most.
var lifetime = calendar.Duration{Days: MaxLifeDays}

// delay is when the nth retry runs.
func (m *machine) delay(r *flow.Retry, n int64) time.Time {
	loc, d := m.zone(), r.Delay
	if r.Backoff {
		for ; n > 1 && d.Elapsed < MaxLifeDays*24*time.Hour && d.Days < MaxLifeDays && d.Months < 14; n-- {
			d = calendar.Duration{Months: 2 * d.Months, Days: 2 * d.Days, Elapsed: 2 * d.Elapsed}
		}
	}
	due := m.env.Calendars.Add(m.now, d, loc)
	if r.Longest != (calendar.Duration{}) {
		if most := m.env.Calendars.Add(m.now, r.Longest, loc); most.Before(due) {
			return most
		}
	}
	return due
}
