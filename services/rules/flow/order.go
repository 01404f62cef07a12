package flow

import (
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// way is a way on to a task of the list that is being read.
type way struct {
	then  *Then
	line  int
	where string
}

// since is a listen whose buffer begins with a task.
type since struct {
	listen *Listen
	path   string // of its own task
	line   int
}

// resolve checks the ways on between the tasks of a list, and that each task is on one.
func (p *parser) resolve(list []*Task, at place) {
	var names []string
	for _, t := range list {
		names = append(names, t.Name)
	}
	ok := true
	for _, w := range p.ways {
		name := w.then.Task
		if at.branches {
			p.Problem(w.line, rulefile.CodeUnknownTask, "%s is %s; a branch goes on to no other branch: leave it out, or write end to end the workflow", w.where, rulefile.Cut(name))
			ok = false
		} else if !slices.Contains(names, name) {
			hint := "it has " + strings.Join(names, ", ")
			if near := expr.Nearest(name, append(names, "continue", "end")); near != "" {
				hint = "did you mean " + near + "?"
			}
			p.Problem(w.line, rulefile.CodeUnknownTask, "%s is %s, and its list has no such task; %s", w.where, rulefile.Cut(name), hint)
			ok = false
		}
	}
	if at.branches || !ok {
		return // what is wrong is told, and where it would go on is not known
	}
	reached := make([]bool, len(list))
	var visit func(int)
	visit = func(i int) {
		if i < 0 || i >= len(list) || reached[i] {
			return
		}
		reached[i] = true
		for _, next := range ways(list[i]) {
			switch {
			case next.End:
			case next.Task == "":
				visit(i + 1)
			default:
				visit(slices.Index(names, next.Task))
			}
		}
	}
	visit(0)
	for i, t := range list {
		if !reached[i] {
			p.Problem(t.Line, rulefile.CodeUnreachable, "nothing goes on to the task %s; name it in a then, or take it out", t.Path)
		}
	}
}

// ways lists where it can go on after a task.
func ways(t *Task) []Then {
	var out []Then
	if t.If != nil {
		out = append(out, Then{})
	}
	on := true
	switch s := t.Step.(type) {
	case *Raise:
		on = false
	case *Switch:
		for _, c := range s.Cases {
			out = append(out, c.Then)
			on = on && c.When != nil
		}
	case *Wait:
		if s.Late != nil {
			out = append(out, s.Late.Then)
		}
	case *Listen:
		if s.Timeout != nil && s.Timeout.Then != nil {
			out = append(out, *s.Timeout.Then)
		}
	case *Call:
		if s.Timeout != nil && s.Timeout.Then != nil {
			out = append(out, *s.Timeout.Then)
		}
	}
	if on {
		out = append(out, t.Then)
	}
	return out
}

// sinceTasks finds the tasks that listens name: in their own list, in a list around it, or by the whole path.
func (p *parser) sinceTasks() {
	for _, s := range p.sinces {
		name, found := s.listen.Since, ""
		for at := s.path; at != "" && found == ""; {
			i := strings.LastIndexByte(at, '/')
			if at = at[:max(i, 0)]; p.prog.tasks[strings.TrimPrefix(at+"/"+name, "/")] != nil {
				found = strings.TrimPrefix(at+"/"+name, "/")
			}
		}
		if found == "" {
			var names []string
			for path := range p.prog.tasks {
				names = append(names, path)
			}
			slices.Sort(names)
			hint := "write step, start or the name of a task"
			if near := expr.Nearest(name, append(names, "step", "start")); near != "" {
				hint = "did you mean " + near + "?"
			}
			p.Problem(s.line, rulefile.CodeUnknownTask, "%s listen.since is %s, and there is no such task; %s", s.path, rulefile.Cut(name), hint)
			continue
		}
		s.listen.Since = found
	}
}

// unset tells variables that are read and that nothing sets, and bounds how many there are.
func (p *parser) unset() {
	slices.Sort(p.sets)
	p.prog.vars = p.sets
	if len(p.sets) > MaxVars {
		p.Problem(p.prog.line, rulefile.CodeTooLarge, "the workflow sets %d variables, more than %d", len(p.sets), MaxVars)
	}
	told := map[*expr.Program]bool{}
	for _, u := range p.reads {
		if told[u.prog] {
			continue
		}
		told[u.prog] = true
		location := p.Locations[u.prog]
		for _, name := range u.prog.Fields("vars") {
			if _, is := slices.BinarySearch(p.sets, name); is {
				continue
			}
			hint := "set it by set, as, or start.set"
			if near := expr.Nearest(name, p.sets); near != "" {
				hint = "did you mean vars." + near + "?"
			}
			line, column := where(p.Text, u.prog, location, "vars."+name)
			p.ProblemAt(line, column, rulefile.CodeVariableUnset, "%s: nothing sets vars.%s; %s", location.Where, rulefile.Cut(name), hint)
		}
		for _, name := range u.prog.Fields("instance") {
			if !slices.Contains(InstanceFields(), name) {
				p.Problem(location.Line, rulefile.CodeUnknownField, "%s: instance has no field %q; it has %s", location.Where, rulefile.Cut(name), strings.Join(InstanceFields(), ", "))
			}
		}
	}
}

// where is the line and column at which a part of an expression stands first.
func where(text string, prog *expr.Program, location rulefile.Location, part string) (line, column int) {
	before, _, found := strings.Cut(prog.Source(), part)
	if !found {
		return location.Line, 0
	}
	newlines := strings.Count(before, "\n")
	return location.Find(text, prog.Source(), expr.Problem{Line: newlines + 1, Column: len(before) - strings.LastIndexByte(before, '\n')})
}

// InstanceFields lists, sorted, what an expression finds in the variable "instance".
func InstanceFields() []string {
	return []string{"contact", "id", "key", "number", "started", "subject", "version", "workflow", "zone"}
}

// ErrorFields lists, sorted, what an expression finds in a caught error: its type, such as command/failed, the task that failed, and a
// text for people, which may be null.
func ErrorFields() []string { return []string{"detail", "task", "type"} }

// parallel bounds what is under way at once.
func (p *parser) parallel(list []*Task) {
	line := 0
	tokens, listens := load(list, &line)
	if tokens > MaxTokens {
		p.Problem(line, rulefile.CodeTooLarge, "up to %d branches run at once, more than %d; fewer branches, or forks one after the other", tokens, MaxTokens)
	}
	if listens += len(p.prog.Until); listens > MaxListens {
		p.Problem(max(line, p.prog.line), rulefile.CodeTooLarge, "up to %d events are waited for at once, those of until included, more than %d", listens, MaxListens)
	}
}

// load is how many branches and listens the tasks of a list can have at once. line is that of the fork with the most branches.
func load(list []*Task, line *int) (tokens, listens int) {
	tokens = 1
	for _, t := range list {
		n, l := 1, 0
		switch s := t.Step.(type) {
		case *Listen:
			l = len(s.Matches)
		case *Do:
			n, l = load(s.Tasks, line)
		case *For:
			n, l = load(s.Tasks, line)
		case *Try:
			n, l = load(s.Tasks, line)
			more, heard := load(s.Catch, line)
			n, l = max(n, more), max(l, heard)
		case *Fork:
			for _, b := range s.Branches {
				inner, heard := load([]*Task{b}, line)
				n, l = n+inner, l+heard
			}
			if n > tokens {
				*line = t.Line
			}
		}
		tokens, listens = max(tokens, n), max(listens, l)
	}
	return tokens, listens
}
