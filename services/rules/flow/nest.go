package flow

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// taken are names that no loop variable and no caught error may have: what expressions see, words of CEL, and its types and namespaces.
var taken = strings.Fields("event data vars instance now state as break const continue else false for function if import in let loop package " +
	"namespace null return true var void while int uint double bool string bytes list map null_type type dyn decimal timestamp duration " +
	"lists math strings sets base64 cel optional google net")

// local reads the name of a variable that only some tasks see.
func (p *parser) local(n *yaml.Node, where string) string {
	name := p.variable(n, where)
	switch {
	case slices.Contains(taken, name):
		p.Problem(n.Line, rulefile.CodeInvalidName, "%s is %s, which is a word or variable of expressions already; choose another", where, name)
		return ""
	case slices.Contains(p.scope, name):
		p.Problem(n.Line, rulefile.CodeDuplicateKey, "%s is %s, which an outer task has already; choose another", where, name)
		return ""
	}
	return name
}

// with adds names to what expressions see while f reads.
func (p *parser) with(f func(), names ...string) {
	outer := p.scope
	for _, name := range names {
		if name != "" {
			p.scope = append(slices.Clone(p.scope), name)
		}
	}
	f()
	p.scope = outer
}

// loop reads a for with its while and do.
func (p *parser) loop(t *Task, m map[string]*yaml.Node, at place) *For {
	where := t.Path + " for"
	k := p.Entries(m["for"], where, 2, "each", "in", "at")
	f := &For{Each: p.local(k["each"], where+".each"), At: p.local(k["at"], where+".at")}
	if f.At != "" && f.At == f.Each {
		p.Problem(k["at"].Line, rulefile.CodeDuplicateKey, "%s.each and at are both %s; rename one", where, f.At)
		f.At = ""
	}
	f.In = p.step(k["in"], where+".in", "")
	if f.In != nil {
		p.rounds(f.In, k["in"].Line, where)
	}
	if m["do"] == nil {
		p.Problem(t.Line, rulefile.CodeMissingKey, "the task %s needs the key %q alongside for", t.Path, "do")
		return f
	}
	p.with(func() {
		f.While = p.step(m["while"], t.Path+" while", "bool")
		f.Tasks = p.list(m["do"], at.inside(t, t.Path+" do"))
	}, f.Each, f.At)
	return f
}

// rounds checks the list of a loop, where it is known before a run.
func (p *parser) rounds(in *expr.Program, line int, where string) {
	if t := in.ResultType(); !strings.HasPrefix(t, "list") && t != "dyn" {
		p.Problem(line, rulefile.CodeNotAssignable, "%s.in gives %s and must give a list, as in [1, 2, 3]", where, t)
		return
	}
	for _, variable := range p.Variables {
		if in.Reads(variable) {
			return
		}
	}
	v, err := in.Eval(nil)
	if list, ok := v.([]any); err == nil && ok && len(list) > MaxRounds {
		p.Problem(line, rulefile.CodeTooLarge, "%s.in has %d values, more than %d", where, len(list), MaxRounds)
	}
}

// fork reads branches that run side by side.
func (p *parser) fork(t *Task, n *yaml.Node, at place) *Fork {
	where := t.Path + " fork"
	m := p.Entries(n, where, 1, "branches", "compete")
	f := &Fork{}
	if c := m["compete"]; c != nil {
		if c.Kind != yaml.ScalarNode || c.Tag != "!!bool" {
			p.Problem(c.Line, rulefile.CodeWrongKind, "%s.compete must be true or false", where)
		}
		f.Compete = c.Value == "true"
	}
	b := m["branches"]
	if b == nil {
		return f
	}
	if b.Kind == yaml.SequenceNode && len(b.Content) > MaxBranches {
		p.Problem(b.Line, rulefile.CodeTooLarge, "%s has %d branches, more than %d", where, len(b.Content), MaxBranches)
		return f
	}
	inside := at.inside(t, where+".branches")
	inside.branches = true
	f.Branches = p.list(b, inside)
	return f
}

// try reads tasks whose errors are caught.
func (p *parser) try(t *Task, n, catch *yaml.Node, at place) *Try {
	y := &Try{As: "error"}
	y.Tasks = p.list(n, at.inside(t, t.Path+" try"))
	if catch == nil {
		p.Problem(t.Line, rulefile.CodeMissingKey, "the task %s needs the key %q alongside try", t.Path, "catch")
		return y
	}
	where := t.Path + " catch"
	m := p.Entries(catch, where, 1, "do", "errors", "when", "as", "retry")
	if m == nil {
		return y
	}
	if errors, ok := p.Texts(m["errors"], where+".errors", 16); ok {
		y.Errors = errors
		for i, pattern := range errors {
			p.pattern(pattern, m["errors"].Content[i].Line, where)
		}
	}
	if a := m["as"]; a != nil {
		if name := p.local(a, where+".as"); name != "" {
			y.As = name
		}
	} else if slices.Contains(p.scope, y.As) {
		p.Problem(catch.Line, rulefile.CodeDuplicateKey, "%s is in another catch, whose error has the name error already; give this one a name by as", where)
	}
	if y.As == "error" {
		p.with(func() { y.When = p.step(m["when"], where+".when", "bool") }, y.As)
	} else {
		p.with(func() { y.When = p.step(m["when"], where+".when", "bool") }, "error", y.As)
	}
	if r := m["retry"]; r != nil {
		y.Retry = p.retry(r, where+".retry")
	}
	if d := m["do"]; d != nil {
		inside := at.inside(t, where+".do")
		inside.besides = y.Tasks // their paths are alike
		p.with(func() { y.Catch = p.list(d, inside) }, y.As)
	}
	return y
}

// Errors that can be caught, and whether a code follows behind a slash.
var errorKinds = map[string]bool{"expression": true, "data": false, "command": true, "timeout": false, "limit": false, "no_capacity": false, "raised": true}

func (p *parser) pattern(s string, line int, where string) {
	kind, code, coded := strings.Cut(s, "/")
	takes, known := errorKinds[kind]
	switch {
	case s == "*":
	case !known:
		hint := ""
		if near := expr.Nearest(kind, []string{"command", "data", "expression", "limit", "no_capacity", "raised", "timeout"}); near != "" {
			if errorKinds[near] {
				near += "/*"
			}
			hint = "; did you mean " + near + "?"
		}
		p.Problem(line, rulefile.CodeUnknownName, "%s.errors: there is no error %q; there are expression/*, data, command/*, timeout, limit, no_capacity and raised/*%s", where, rulefile.Cut(s), hint)
	case coded && !takes:
		p.Problem(line, rulefile.CodeUnknownName, "%s.errors: %s has nothing behind a slash; write %s", where, kind, kind)
	case takes && !coded:
		p.Problem(line, rulefile.CodeUnknownName, "%s.errors: %s has a code behind a slash; write %s/* for all of them", where, kind, kind)
	case coded && code != "*" && !errorCode(code):
		p.Problem(line, rulefile.CodeInvalidName, "%s.errors: the code of %q is not 1 to 63 of a-z, 0-9 and _, and no *", where, rulefile.Cut(s))
	}
}

func errorCode(s string) bool { return rulefile.ValidKey(s) }

func (p *parser) retry(n *yaml.Node, where string) *Retry {
	m := p.Entries(n, where, 2, "attempts", "delay", "backoff", "longest")
	r := &Retry{Attempts: integer(p.Reader, m["attempts"], where+".attempts", 1, 20)}
	r.Delay, _ = p.timer(m["delay"], where+".delay")
	r.Backoff = p.word(m["backoff"], where+".backoff", "constant", "exponential") == "exponential"
	if l := m["longest"]; l != nil {
		r.Longest, _ = p.timer(l, where+".longest")
		if !r.Backoff {
			p.Problem(l.Line, rulefile.CodeNoEffect, "%s.longest bounds delays that grow; write backoff: exponential, or leave it out", where)
		}
	}
	p.waits(n.Line, where)
	return r
}

// waits refuses what takes time where nothing may.
func (p *parser) waits(line int, where string) {
	if p.quick != "" {
		p.Problem(line, rulefile.CodeWaits, "%s waits, and the tasks of %s may not: the instance has ended when they run; emit an event on which another workflow starts", where, p.quick)
	}
}
