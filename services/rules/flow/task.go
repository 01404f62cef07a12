package flow

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// place is where a list of tasks stands.
type place struct {
	where    string // in messages
	prefix   string // of the paths of its tasks
	depth    int
	branches bool    // the tasks are branches of a fork
	besides  []*Task // tasks whose names are taken too
}

// inside is the place of a list in a task.
func (at place) inside(t *Task, where string) place {
	return place{where: where, prefix: t.Path + "/", depth: at.depth + 1}
}

// stepKeys are the keys that say what a task does, and with each the keys that may stand alongside it.
var stepKeys = []struct {
	key       string
	alongside []string
}{
	{"emit", nil},
	{"call", []string{"with", "as", "timeout", "subject", "undo", "on_suppressed"}},
	{"wait", nil},
	{"listen", []string{"timeout"}},
	{"switch", nil},
	{"set", nil},
	{"for", []string{"while", "do"}},
	{"do", nil},
	{"fork", nil},
	{"try", []string{"catch"}},
	{"raise", nil},
	{"assign", nil},
}

func stepNames() []string {
	var out []string
	for _, s := range stepKeys {
		out = append(out, s.key)
	}
	return out
}

// list reads a list of tasks, each a map of one name.
func (p *parser) list(n *yaml.Node, at place) []*Task {
	switch {
	case n.Kind != yaml.SequenceNode:
		p.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a list of tasks, as in [pause: {wait: {for: P1D}}]", at.where)
		return nil
	case len(n.Content) == 0:
		p.Problem(n.Line, rulefile.CodeEmpty, "%s is an empty list; name at least one task", at.where)
		return nil
	case at.depth >= MaxDepth:
		p.Problem(n.Line, rulefile.CodeTooLarge, "%s: tasks are nested more than %d deep; put what is inside into a workflow of its own, which an event starts", at.where, MaxDepth)
		return nil
	}
	outer := p.ways
	p.ways = nil
	var list []*Task
	for _, c := range n.Content {
		if c.Kind != yaml.MappingNode || len(c.Content) != 2 {
			p.Problem(c.Line, rulefile.CodeWrongKind, "each entry of %s is one name and its task, as in - pause: {wait: {for: P1D}}", at.where)
			continue
		}
		if p.tasks++; p.tasks > MaxTasks {
			if p.tasks == MaxTasks+1 {
				p.Problem(c.Line, rulefile.CodeTooLarge, "the workflow has more than %d tasks; let an event start another one", MaxTasks)
			}
			break
		}
		name, line := c.Content[0].Value, c.Content[0].Line
		p.name(name, line, slices.Concat(at.besides, list), at)
		if t := p.task(name, line, c.Content[1], at); t != nil {
			list = append(list, t)
		}
	}
	p.resolve(list, at)
	p.ways = outer
	return list
}

// name checks the name of a task against those that stand before it in its list.
func (p *parser) name(name string, line int, before []*Task, at place) {
	if !rulefile.ValidName(name) {
		p.Problem(line, rulefile.CodeInvalidName, "the name %q of a task is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(name))
		return
	}
	switch {
	case slices.Contains([]string{"continue", "end", "exit", "step", "start"}, name):
		p.Problem(line, rulefile.CodeInvalidName, "no task may have the name %s, which then and since have for something else; choose another", name)
	case at.prefix == "" && slices.Contains([]string{"until", "finally"}, name):
		p.Problem(line, rulefile.CodeInvalidName, "no task of do may have the name %s, which is where the paths of other tasks begin; choose another", name)
	}
	if i := slices.IndexFunc(before, func(t *Task) bool { return t.Name == name }); i >= 0 {
		p.Problem(line, rulefile.CodeDuplicateKey, "a task of the name %s stands already in line %d; rename one", name, before[i].Line)
	}
}

// task reads one task; nil when it is no map.
func (p *parser) task(name string, line int, n *yaml.Node, at place) *Task {
	t := &Task{Name: name, Path: at.prefix + rulefile.Cut(name), Line: line}
	if n.Kind != yaml.MappingNode {
		p.Problem(n.Line, rulefile.CodeWrongKind, "the task %s must be a map with one of %s", t.Path, strings.Join(stepNames(), ", "))
		return nil
	}
	step, known := p.what(t, n)
	m := p.Entries(n, "the task "+t.Path, 0, known...)
	t.If = p.step(m["if"], t.Path+" if", "bool")
	p.then(m["then"], t.Path+" then", &t.Then)
	if step == "" {
		return t
	}
	v, where := m[step], t.Path+" "+step
	switch step {
	case "emit":
		t.Step = p.emit(v, where)
	case "call":
		t.Step = p.call(m, t.Path)
	case "wait":
		t.Step = p.wait(v, where)
	case "listen":
		t.Step = p.listen(v, m["timeout"], t.Path)
	case "switch":
		t.Step = p.cases(v, where)
	case "set":
		vars := p.assignments(v, where, MaxVars, slices.Concat(task, p.scope)...)
		p.setAll(vars)
		t.Step = &Set{Vars: vars}
	case "for":
		t.Step = p.loop(t, m, at)
	case "do":
		t.Step = &Do{Tasks: p.list(v, at.inside(t, where))}
	case "fork":
		t.Step = p.fork(t, v, at)
	case "try":
		t.Step = p.try(t, v, m["catch"], at)
	case "raise":
		t.Step = p.raise(v, where)
	case "assign":
		t.Step = p.assign(v, where)
	}
	return t
}

// what finds the one key that says what a task does, and the keys that it may have.
func (p *parser) what(t *Task, n *yaml.Node) (step string, known []string) {
	var found []string
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i].Value; slices.Contains(stepNames(), key) {
			found = append(found, key)
		}
	}
	if slices.Contains(found, "for") {
		found = slices.DeleteFunc(found, func(s string) bool { return s == "do" }) // of the loop
	}
	known = []string{"if", "then"}
	switch len(found) {
	case 1:
		for _, s := range stepKeys {
			if s.key == found[0] {
				known = append(append(known, s.key), s.alongside...)
			}
		}
		return found[0], known
	case 0:
		hint := ""
		for i := 0; i < len(n.Content); i += 2 {
			if key := n.Content[i].Value; key == "run" {
				hint = "; there is no run: emit an event on which the other workflow starts"
			} else if near := expr.Nearest(key, stepNames()); near != "" && key != "if" && key != "then" {
				hint = "; did you mean " + near + "?"
			}
		}
		p.Problem(t.Line, rulefile.CodeStep, "the task %s does nothing; give it one of %s%s", t.Path, strings.Join(stepNames(), ", "), hint)
	default:
		p.Problem(t.Line, rulefile.CodeStep, "the task %s does %s; make a task of each", t.Path, strings.Join(found, " and "))
	}
	for _, s := range stepKeys {
		known = append(append(known, s.key), s.alongside...)
	}
	for i := 0; len(found) == 0 && i < len(n.Content); i += 2 {
		known = append(known, n.Content[i].Value) // that it is no step is told
	}
	return "", known
}

// then reads where it goes on.
func (p *parser) then(n *yaml.Node, where string, to *Then) {
	v, ok := p.Scalar(n, where)
	switch {
	case !ok, v == "continue":
	case v == "end":
		to.End = true
	case v == "exit":
		p.Problem(n.Line, rulefile.CodeUnknownTask, "%s is exit; write end to end the workflow, continue to go on, or the name of a task of the same list", where)
	default:
		to.Task = v
		p.ways = append(p.ways, way{to, n.Line, where})
	}
}

// cases reads a switch.
func (p *parser) cases(n *yaml.Node, where string) *Switch {
	s := &Switch{}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a list of cases, as in [vip: {when: vars.vip, then: call}, default: {then: end}]", where)
		return s
	}
	if len(n.Content) > MaxCases {
		p.Problem(n.Line, rulefile.CodeTooLarge, "%s has %d cases, more than %d", where, len(n.Content), MaxCases)
		return s
	}
	s.Cases = make([]Case, 0, len(n.Content)) // ways point into it
	open := 0                                 // line of the default
	for _, c := range n.Content {
		if c.Kind != yaml.MappingNode || len(c.Content) != 2 {
			p.Problem(c.Line, rulefile.CodeWrongKind, "each entry of %s is one name and its case, as in - vip: {when: vars.vip, then: call}", where)
			continue
		}
		name, line := c.Content[0].Value, c.Content[0].Line
		if !rulefile.ValidName(name) {
			p.Problem(line, rulefile.CodeInvalidName, "the name %q of a case is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(name))
			continue
		}
		if i := slices.IndexFunc(s.Cases, func(c Case) bool { return c.Name == name }); i >= 0 {
			p.Problem(line, rulefile.CodeDuplicateKey, "a case of the name %s stands already in line %d; rename one", name, s.Cases[i].line)
		}
		if open > 0 {
			p.Problem(line, rulefile.CodeUnreachable, "the case %s stands behind the default of line %d, which has no when, and is never reached; put the default last", name, open)
		}
		m := p.Entries(c.Content[1], where+"."+name, 1, "then", "when")
		s.Cases = append(s.Cases, Case{Name: name, line: line})
		k := &s.Cases[len(s.Cases)-1]
		k.When = p.step(m["when"], where+"."+name+".when", "bool")
		p.then(m["then"], where+"."+name+".then", &k.Then)
		switch {
		case m["when"] == nil && m != nil && open == 0:
			open = line
		case m["when"] != nil && name == "default":
			p.Problem(line, rulefile.CodeNoEffect, "%s.default has a when; leave the when out, or give the case another name", where)
		}
	}
	return s
}

// raise reads an error of the file's own.
func (p *parser) raise(n *yaml.Node, where string) *Raise {
	m := p.Entries(n, where, 1, "error", "detail")
	r := &Raise{}
	if v, ok := p.Scalar(m["error"], where+".error"); ok {
		if own, is := strings.CutPrefix(v, "raised/"); !is || !errorCode(own) {
			p.Problem(m["error"].Line, rulefile.CodeInvalidName, "%s.error is %q; an error of a file's own is raised/ and 1 to 63 of a-z, 0-9 and _, as in raised/no_phone", where, rulefile.Cut(v))
		}
		r.Error = v
	}
	r.Detail = p.step(m["detail"], where+".detail", "string")
	return r
}

// assign reads the pick of a member of a pool.
func (p *parser) assign(n *yaml.Node, where string) *Assign {
	m := p.Entries(n, where, 2, "pool", "as", "except", "or")
	a := &Assign{Pool: named(p.Reader, m["pool"], where+".pool"), As: p.variable(m["as"], where+".as")}
	a.Except = p.step(m["except"], where+".except", "")
	if a.Except != nil && !strings.HasPrefix(a.Except.ResultType(), "list") && a.Except.ResultType() != "dyn" {
		p.Problem(m["except"].Line, rulefile.CodeNotAssignable, "%s.except gives %s and must give a list of members, as in '[vars.owner]'", where, a.Except.ResultType())
	}
	a.Or = p.step(m["or"], where+".or", "string")
	if a.As != "" {
		p.set(a.As)
	}
	return a
}
