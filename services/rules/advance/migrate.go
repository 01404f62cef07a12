package advance

import (
	"fmt"
	"slices"

	"github.com/neuronx/engine/services/rules/flow"
)

// Migratable says why an instance that runs by one text of its workflow can't go on by another; empty: it can. It is pure, and asks nothing that
// changes, so that what is counted before is what happens then, unless the instance moves meanwhile.
//
// Each task at which a token rests must stand in the new text under the same path, as the same kind of task, inside the same kinds of tasks. So must
// tasks whose compensation is kept, and listens that have remembered an event: what was promised to them is not dropped in silence. The key is kept, so
// both texts must take it from events alike: what is about the instance may not find it by another expression. Nothing of the new text is entered
// by this: tokens rest as they did, with the timers that are armed.
func Migratable(from, to *flow.Program, in Instance) string {
	if a, b := from.Start.Key, to.Start.Key; a == nil || b == nil || !a.Same(b) {
		return "start.key is another expression in the new text: events may give another key, and not find it"
	}
	for _, t := range in.Tokens {
		if why := t.fits(from, to); why != "" {
			return why
		}
	}
	for _, s := range in.Slots {
		if s.Filled && !s.fits(from, to) {
			return s.Task + " has remembered an event, and is no listen for the same events in the new text"
		}
	}
	for _, u := range in.Undo {
		if why := moved(from.Task(u.Task), to.Task(u.Task), u.Task); why != "" {
			return "its compensation is kept: " + why
		}
		if len(undoOf(to.Task(u.Task))) == 0 {
			return "its compensation is kept, and " + u.Task + " has no undo in the new text"
		}
		if a, b := emits(from.Task(u.Task)), emits(to.Task(u.Task)); a != b {
			return fmt.Sprintf("its compensation is kept: %s emitted %s, and emits %s in the new text", u.Task, a, b)
		}
	}
	return ""
}

// migrate lets the instance go on by the text of m.p. It opens nothing and arms nothing: what a listen of the new text would have remembered since an
// earlier task is not known. A listen that the new text lacks remembers no more.
func (m *machine) migrate() (string, error) {
	if m.on.From == nil || m.on.Bundle == 0 {
		return "", fmt.Errorf("instance %s is to go on by another text, and it is not said which", m.in.ID)
	}
	if m.on.Bundle == m.in.Bundle {
		return SameVersion, nil
	}
	if Migratable(m.on.From, m.p, m.in) != "" {
		return NotMigratable, nil
	}
	m.in.Slots = slices.DeleteFunc(m.in.Slots, func(s *Slot) bool { return !s.fits(m.on.From, m.p) })
	m.in.Bundle = m.on.Bundle
	return "", nil
}

// fits says why a token can't rest in another text as it does; empty: it can.
func (t *Token) fits(from, to *flow.Program) string {
	was, is := from.Task(t.Task), to.Task(t.Task)
	if why := moved(was, is, t.Task); why != "" {
		return why
	}
	if next := t.Next; next != nil && next.Task != "" && !slices.ContainsFunc(is.List, func(o *flow.Task) bool { return o.Name == next.Task }) {
		return fmt.Sprintf("it goes on with %s after %s, which the new text does not have there", next.Task, t.Task)
	}
	switch t.Rest {
	case AtCall, AtDeferral:
		if a, b := emits(was), emits(is); a != b {
			return fmt.Sprintf("%s waits for its %s, and emits %s in the new text", t.Task, a, b)
		}
	case AtListen:
		a, b := was.Step.(*flow.Listen), is.Step.(*flow.Listen)
		switch {
		case t.Timer != nil && b.Timeout == nil:
			return t.Task + " has a timeout armed, and none in the new text"
		case len(t.Heard) > 0 && (a.To != b.To || !slices.EqualFunc(a.Matches, b.Matches, sameTypes)):
			return t.Task + " has heard some of its events, and listens for others in the new text"
		}
	}
	return ""
}

// fits reports whether what a slot remembers is what its listen waits for in another text.
func (s *Slot) fits(from, to *flow.Program) bool {
	was, is := from.Task(s.Task), to.Task(s.Task)
	if was == nil || is == nil {
		return false
	}
	a, listened := was.Step.(*flow.Listen)
	b, listens := is.Step.(*flow.Listen)
	return listened && listens && s.Match < len(a.Matches) && s.Match < len(b.Matches) && sameTypes(a.Matches[s.Match], b.Matches[s.Match])
}

func sameTypes(a, b flow.Match) bool { return slices.Equal(a.On, b.On) }

// emits is the type that a task emits; empty: it emits nothing.
func emits(t *flow.Task) string {
	switch s := t.Step.(type) {
	case *flow.Emit:
		return s.Type
	case *flow.Call:
		return s.Emit.Type
	}
	return ""
}

// moved says how the place of a task differs between two texts; empty: it does not.
func moved(was, is *flow.Task, path string) string {
	switch {
	case is == nil:
		return "the new text has no task " + path
	case was == nil:
		return "the text that it runs by has no task " + path
	case kindOf(was) != kindOf(is):
		return fmt.Sprintf("%s is %s, and %s in the new text", path, kindOf(was), kindOf(is))
	case !slices.Equal(inside(was), inside(is)):
		return path + " stands in other tasks in the new text"
	}
	return ""
}

// inside lists in what a task stands, innermost first. The tasks of a try and those of its catch have paths that are alike.
func inside(t *flow.Task) (out []string) {
	for ; t.Parent != nil; t = t.Parent {
		kind := kindOf(t.Parent)
		if try, is := t.Parent.Step.(*flow.Try); is && slices.Contains(try.Catch, t) {
			kind += " (its catch)"
		}
		out = append(out, kind)
	}
	return out
}

// kindOf names what a task does, as its file has it.
func kindOf(t *flow.Task) string {
	switch t.Step.(type) {
	case *flow.Emit:
		return "emit"
	case *flow.Call:
		return "call"
	case *flow.Wait:
		return "wait"
	case *flow.Listen:
		return "listen"
	case *flow.Switch:
		return "switch"
	case *flow.Set:
		return "set"
	case *flow.Do:
		return "do"
	case *flow.For:
		return "for"
	case *flow.Fork:
		return "fork"
	case *flow.Try:
		return "try"
	case *flow.Raise:
		return "raise"
	case *flow.Assign:
		return "assign"
	}
	return "unknown"
}
