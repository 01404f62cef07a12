package advance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules/flow"
)

// step runs the task that a token stands before.
func (m *machine) step(t *Token, task *flow.Task) error {
	if next := t.Next; next != nil {
		t.Next = nil
		return m.leave(t, task, flow.Then{End: next.End, Task: next.Task})
	}
	m.taken++
	m.in.Steps++
	if m.taken > MaxActivation || m.in.Steps > MaxSteps && !m.ending {
		f := over("the instance ran more than %d tasks at once or %d in all; a loop needs a wait in it", MaxActivation, MaxSteps)
		f.final = true
		return f
	}
	vars, locals, err := m.scope(m.frames(t))
	if err != nil {
		return err
	}
	if task.If != nil {
		holds, err := m.holds(task.Path+" if", task.If, vars)
		if err != nil {
			return err
		}
		if !holds {
			return m.leave(t, task, flow.Then{})
		}
	}
	m.visit(t, task)
	switch s := task.Step.(type) {
	case *flow.Emit:
		return m.emitTask(t, task, s, vars, locals)
	case *flow.Call:
		return m.call(t, task, s, vars, locals)
	case *flow.Wait:
		return m.wait(t, task, s, vars)
	case *flow.Listen:
		return m.listen(t, task, s)
	case *flow.Switch:
		for _, c := range s.Cases {
			holds, err := m.holds(task.Path+" when of "+c.Name, c.When, vars)
			if err != nil {
				return err
			}
			if holds {
				m.done = append(m.done, task.Path) // told as any task that ran
				return m.leave(t, task, c.Then)
			}
		}
		return m.finish(t, task)
	case *flow.Set:
		if err := m.assign(task.Path+" set", s.Vars, vars, "", locals); err != nil {
			return err
		}
		return m.finish(t, task)
	case *flow.Do:
		return m.enter(t, task, s.Tasks)
	case *flow.For:
		return m.loop(t, task, s, vars, locals)
	case *flow.Fork:
		return m.fork(t, task, s)
	case *flow.Try:
		t.Frames = append(t.Frames, &Frame{Task: task.Path})
		return m.enter(t, task, s.Tasks)
	case *flow.Raise:
		return m.raise(task, s, vars, locals)
	case *flow.Assign:
		return m.pick(t, task, s, vars, locals)
	}
	return faultf(errData, "%s has no step", task.Path)
}

// visit counts a run of a task, which its outputs and timers are named by.
func (m *machine) visit(t *Token, task *flow.Task) {
	if m.in.Visits == nil {
		m.in.Visits = map[string]int64{}
	}
	m.in.Visits[task.Path]++
	t.Visit, t.Rest = m.in.Visits[task.Path], Ready
	for _, l := range m.p.Listening {
		if l.Step.(*flow.Listen).Since == task.Path {
			m.open(l)
		}
	}
}

// enter puts a token before the first task of a list.
func (m *machine) enter(t *Token, task *flow.Task, list []*flow.Task) error {
	if len(list) == 0 {
		return m.close(t, task)
	}
	t.Task = list[0].Path
	return nil
}

// finish notes that a task ran, and goes on by its then.
func (m *machine) finish(t *Token, task *flow.Task) error {
	m.done = append(m.done, task.Path)
	return m.leave(t, task, task.Then)
}

// leave goes on after a task. A list that ends gives the turn back to the task that it belongs to.
func (m *machine) leave(t *Token, task *flow.Task, then flow.Then) error {
	t.Rest, t.Timer, t.Command, t.Heard, t.Reserved, t.Incident = Ready, nil, "", nil, 0, nil
	if m.in.held() {
		t.Task, t.Next = task.Path, &Next{then.End, then.Task} // what follows may be the end, which must not come before somebody resumes it
		return nil
	}
	if then.End {
		return m.end(Completed, outcomeEnd, nil)
	}
	at := task.Index + 1
	if then.Task != "" {
		if at = slices.IndexFunc(task.List, func(o *flow.Task) bool { return o.Name == then.Task }); at < 0 {
			return m.handle(t, task, faultf(errData, "%s goes on with %s, which is not in its list", task.Path, then.Task))
		}
	}
	if parent := task.Parent; parent != nil {
		if s, fork := parent.Step.(*flow.Fork); fork {
			return m.join(t, parent, s)
		}
		if at >= len(task.List) {
			return m.close(t, parent)
		}
	}
	if at >= len(task.List) {
		return m.end(Completed, outcomeEnd, nil)
	}
	t.Task = task.List[at].Path
	return nil
}

// close ends a list of a task: the next round of a loop, or what follows the task.
func (m *machine) close(t *Token, task *flow.Task) error {
	switch s := task.Step.(type) {
	case *flow.For:
		f := t.inner(task)
		if f == nil || len(f.Values) == 0 {
			return errFrames(task)
		}
		f.Values = f.Values[1:]
		f.Index++
		return m.round(t, task, s, f)
	case *flow.Try:
		if t.inner(task) == nil {
			return errFrames(task)
		}
		t.Frames = t.Frames[:len(t.Frames)-1]
	}
	return m.finish(t, task)
}

// inner is the innermost frame of a token if it is that of a task.
func (t *Token) inner(task *flow.Task) *Frame {
	if n := len(t.Frames); n > 0 && t.Frames[n-1].Task == task.Path {
		return t.Frames[n-1]
	}
	return nil
}

// errFrames is the machine's: what was stored is no state of the workflow's text.
func errFrames(task *flow.Task) error {
	return fmt.Errorf("a token is in %s and its frames say otherwise: the instance and the text that it runs by do not belong together", task.Path)
}

func (m *machine) loop(t *Token, task *flow.Task, s *flow.For, vars map[string]any, locals []string) error {
	if f := t.inner(task); f != nil {
		return m.round(t, task, s, f) // its while failed, and runs again
	}
	v, err := m.eval(task.Path+" in", s.In, vars)
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return &fault{code: errData, detail: task.Path + ": in must give a list", varies: varies(s.In)}
	}
	if len(list) > MaxLoop {
		return over("%s: the list has %d values, more than %d", task.Path, len(list), MaxLoop)
	}
	size, err := sizeOf(State{"values": list})
	if err != nil {
		return faultf(errData, "%s: %v", task.Path, err)
	}
	if size > MaxVarsBytes {
		return over("%s: the list has more than %d bytes", task.Path, MaxVarsBytes)
	}
	f := &Frame{Task: task.Path, Values: list, Personal: m.isPersonal(s.In, "", locals)}
	t.Frames = append(t.Frames, f)
	return m.round(t, task, s, f)
}

// round begins the next round of a loop, or ends it. Each counts as a step, so a loop of rounds that do nothing ends too.
func (m *machine) round(t *Token, task *flow.Task, s *flow.For, f *Frame) error {
	again := len(f.Values) > 0 && len(s.Tasks) > 0
	if again && s.While != nil {
		vars, _, err := m.scope(m.frames(t))
		if err != nil {
			return err
		}
		if again, err = m.holds(task.Path+" while", s.While, vars); err != nil {
			return m.handle(t, task, err) // it is the loop's, not that of the task before
		}
	}
	if !again {
		t.Frames = t.Frames[:len(t.Frames)-1]
		return m.finish(t, task)
	}
	t.Task = s.Tasks[0].Path
	return nil
}

func (m *machine) fork(t *Token, task *flow.Task, s *flow.Fork) error {
	if len(m.in.Tokens)+len(s.Branches) > MaxTokens {
		return over("%s: the instance would have more than %d tokens", task.Path, MaxTokens)
	}
	if len(s.Branches) == 0 {
		return m.finish(t, task)
	}
	t.Rest = AtFork
	for _, b := range s.Branches {
		m.token(t.ID).Task = b.Path
	}
	return nil
}

// join ends a branch. Where branches compete the others end with the first; otherwise the fork goes on when all have ended.
func (m *machine) join(t *Token, task *flow.Task, s *flow.Fork) error {
	parent := m.find(t.Parent)
	if parent == nil {
		return errFrames(task)
	}
	m.drop(t)
	if s.Compete {
		m.below(parent)
	}
	if slices.ContainsFunc(m.in.Tokens, func(o *Token) bool { return o.Parent == parent.ID }) {
		return nil
	}
	return m.handle(parent, task, m.finish(parent, task))
}

func (m *machine) drop(t *Token) {
	m.in.Tokens = slices.DeleteFunc(m.in.Tokens, func(o *Token) bool { return o == t })
}

// below ends all tokens of the branches of a token's fork, and of forks in them.
func (m *machine) below(t *Token) {
	for {
		i := slices.IndexFunc(m.in.Tokens, func(o *Token) bool { return o.Parent == t.ID })
		if i < 0 {
			return
		}
		child := m.in.Tokens[i]
		m.below(child)
		m.drop(child)
	}
}

func (m *machine) raise(task *flow.Task, s *flow.Raise, vars map[string]any, locals []string) error {
	detail, err := m.text(task.Path+" detail", s.Detail, vars, "")
	if err != nil {
		return err
	}
	typ := s.Error
	if !strings.HasPrefix(typ, raised) {
		typ = raised + typ
	}
	f := faultf(typ, "%s", cut(detail))
	f.personal = s.Detail != nil && m.isPersonal(s.Detail, "", locals)
	return f
}
