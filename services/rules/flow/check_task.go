package flow

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

func asCompileError(err error, to **expr.CompileError) bool { return errors.As(err, to) }

// emitOf is the event that a task derives; nil: it derives none.
func emitOf(t *Task) *Emit {
	switch s := t.Step.(type) {
	case *Emit:
		return s
	case *Call:
		return &s.Emit
	}
	return nil
}

// walk calls f for each task of a workflow, in the order of the file but for the named ends, which come last.
func walk(p *Program, f func(*Task)) {
	walkList(p.Do, f)
	walkList(p.Finally, f)
	for _, u := range p.Until {
		walkList(u.Do, f)
	}
}

func walkList(list []*Task, f func(*Task)) {
	for _, t := range list {
		f(t)
		switch s := t.Step.(type) {
		case *Do:
			walkList(s.Tasks, f)
		case *For:
			walkList(s.Tasks, f)
		case *Fork:
			walkList(s.Branches, f)
		case *Try:
			walkList(s.Tasks, f)
			walkList(s.Catch, f)
		}
	}
}

// variables finds out what is known of the types of variables: those that every setter of one agrees on. A variable that may be null may be
// absent, because null takes one away.
func (c *checker) variables() error {
	types := map[string]expr.Type{}
	for _, name := range c.p.vars {
		types[name] = expr.Type{}
	}
	c.vars = expr.Type{Kind: expr.Object, Name: "vars", Lacks: "nothing sets it", Fields: types}
	seen, absent := map[string]expr.Type{}, map[string]bool{}
	note := func(name string, t expr.Type, null bool) {
		absent[name] = absent[name] || null
		t.Nullable = false
		if before, there := seen[name]; there && (before.Kind != t.Kind || t.Kind == expr.Object) {
			t = expr.Type{}
		}
		seen[name] = t
	}
	// Nothing is told here: the types of variables are not known yet.
	scratch := typecheck.Checker{Edition: c.Edition, Locations: c.p.locations, Left: c.Left}
	all := func(as []rulefile.Assignment, vars map[string]expr.Type, proven []string) error {
		for _, a := range as {
			if _, err := scratch.Check(a.Expr, vars, proven, false, ""); err != nil {
				return err
			}
			for _, result := range scratch.Results(a.Expr) {
				note(a.Key, typeOf(result), len(scratch.MayBe(a.Expr)) > 0 || isNull(result))
			}
		}
		return nil
	}
	for _, a := range c.p.Start.Set {
		for _, result := range c.Results(a.Expr) {
			note(a.Key, typeOf(result), len(c.MayBe(a.Expr)) > 0 || isNull(result))
		}
	}
	var failed error
	walk(c.p, func(t *Task) {
		switch s := t.Step.(type) {
		case *Set:
			vars := c.sees(task...)
			for _, name := range slices.Concat(localsOf(t), []string{"error"}) {
				vars[name] = expr.Type{}
			}
			failed = errors.Join(failed, all(s.Vars, vars, nil))
		case *Listen:
			failed = errors.Join(failed, c.listened(s, all))
		case *Call:
			if s.As != "" {
				note(s.As, expr.Type{}, false)
			}
		case *Assign:
			if s.As != "" {
				note(s.As, expr.Type{Kind: expr.Text}, false)
			}
		}
	})
	for name := range types {
		t := seen[name]
		t.Maybe = absent[name]
		types[name] = t
	}
	return failed
}

// listened finds out what the variables that a listen sets are, on each of the events that it waits for.
func (c *checker) listened(s *Listen, all func([]rulefile.Assignment, map[string]expr.Type, []string) error) error {
	for _, m := range s.Matches {
		for _, typ := range m.On {
			rec, err := c.schemas.Find(c.ctx, typ)
			if err != nil {
				return err
			}
			if rec == nil {
				continue // that it is unknown is told
			}
			vars := c.sees("vars", "instance", "now")
			vars["data"], vars["event"] = rec.Object(typ), typecheck.Event(typ, m.On)
			scratch := typecheck.Checker{Edition: c.Edition, Locations: c.p.locations, Left: c.Left}
			proven, err := scratch.Check(m.When, vars, nil, true, typ)
			if err != nil {
				return err
			}
			if err := all(s.Set, vars, proven); err != nil {
				return err
			}
		}
	}
	return nil
}

// localsOf lists the variables that tasks around one give it.
func localsOf(t *Task) (names []string) {
	for ; t.Parent != nil; t = t.Parent {
		switch s := t.Parent.Step.(type) {
		case *For:
			names = append(names, s.Each, s.At)
		case *Try:
			names = append(names, s.As)
		}
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}

func isNull(result string) bool { return result == "null_type" || result == "null" }

// typeOf is as much of a type of the checker as holds for a variable, which is kept as JSON is.
func typeOf(result string) expr.Type {
	inner, nullable := strings.CutPrefix(result, "wrapper(")
	inner = strings.TrimSuffix(inner, ")")
	t := expr.Type{Nullable: nullable}
	switch inner {
	case "bool":
		t.Kind = expr.Bool
	case "int":
		t.Kind = expr.Int
	case "double":
		t.Kind = expr.Double
	case "string":
		t.Kind = expr.Text
	case "decimal":
		t.Kind = expr.Amount
	case "timestamp", "google.protobuf.Timestamp":
		t.Kind = expr.Time
	}
	return t
}

// tasks checks a list of tasks.
func (c *checker) tasks(list []*Task, proven []string) error {
	for _, t := range list {
		if err := c.task(t, proven); err != nil {
			return err
		}
	}
	return nil
}

// task checks one task. Proven are paths that conditions of tasks around it proved.
func (c *checker) task(t *Task, proven []string) error {
	more, err := c.expression(t.If, "bool", proven)
	if err != nil {
		return err
	}
	holds := slices.Concat(proven, more)
	switch s := t.Step.(type) {
	case *Emit:
		return c.emit(s, holds)
	case *Call:
		return c.call(t, s, holds)
	case *Wait:
		c.calendar(s.Counting, t.Line, t.Path+" wait.counting")
		c.calendar(s.In, t.Line, t.Path+" wait.in")
		_, err = c.expression(s.Until, "google.protobuf.Timestamp", holds)
	case *Listen:
		c.deadline(s.Timeout, t)
		for _, m := range s.Matches {
			if err := c.match(m, s.Set, t.Path+" listen"); err != nil {
				return err
			}
		}
	case *Switch:
		for _, k := range s.Cases {
			if _, err := c.expression(k.When, "bool", holds); err != nil {
				return err
			}
		}
	case *Set:
		err = c.assignments(s.Vars, holds)
	case *Do:
		err = c.tasks(s.Tasks, holds)
	case *For:
		err = c.loop(s, holds)
	case *Fork:
		err = c.tasks(s.Branches, holds)
	case *Try:
		err = c.try(s, holds)
	case *Raise:
		_, err = c.expression(s.Detail, "string", holds)
	case *Assign:
		c.named(s.Pool, c.names.Pools, "pool", t.Line, t.Path+" assign.pool")
		if _, err = c.expression(s.Except, "", holds); err == nil {
			_, err = c.expression(s.Or, "string", holds)
		}
	}
	return err
}

// expression checks an expression of a task, and answers what it proves where it is a condition.
func (c *checker) expression(p *expr.Program, want string, proven []string) ([]string, error) {
	if p == nil {
		return nil, nil
	}
	vars := c.sees(task...)
	maps.Copy(vars, c.locals)
	holds, err := c.Check(p, vars, proven, want == "bool", "")
	if err != nil {
		return nil, err
	}
	c.Tell([]string{""})
	c.gives(wanted{p: p, want: want})
	return holds, nil
}

func (c *checker) assignments(as []rulefile.Assignment, proven []string) error {
	for _, a := range as {
		if _, err := c.expression(a.Expr, "", proven); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) emit(e *Emit, proven []string) error {
	if _, err := c.expression(e.Subject, "string", proven); err != nil {
		return err
	}
	if err := c.assignments(e.Data, proven); err != nil {
		return err
	}
	if e.Type == "" {
		return nil
	}
	rec, err := c.schemas.Find(c.ctx, e.Type)
	if err != nil {
		return err
	}
	if rec == nil {
		c.Problem(e.line, rulefile.CodeUnknownType, "emit: no schema has the type %s; %s", rulefile.Cut(e.Type), c.schemas.Hint(c.ctx, e.Type))
		return nil
	}
	if rec.Reach != "" && e.Channel == nil && !slices.Contains(e.broken, rec.Reach) {
		c.Problem(e.line, rulefile.CodeReaches, "%s reaches a person by its schema, and this build does not know that it does; run a build whose schemas are as new as those of the registry", e.Type)
	}
	command := strings.HasSuffix(e.Type, ".requested")
	c.Fields(e.Type, e.line, e.Data, e.broken, rec, func(f *typecheck.Field) bool {
		return command && filled(f.Name, rec.Reach != "")
	})
	for _, u := range e.Undo {
		if err := c.emit(u, proven); err != nil {
			return err
		}
	}
	return nil
}

// filled tells the fields of a command that the engine fills where the file gives none.
func filled(field string, reaching bool) bool {
	switch field {
	case "instance_id", "message_id", "task_id", "call_id":
		return true
	case "lead_id", "not_after", "consent_basis", "purpose":
		return reaching
	}
	return false
}

// call checks a command, and that its outcome is told.
func (c *checker) call(t *Task, s *Call, proven []string) error {
	c.deadline(s.Timeout, t)
	if err := c.emit(&s.Emit, proven); err != nil {
		return err
	}
	base, is := strings.CutSuffix(s.Emit.Type, ".requested")
	if !is {
		return nil
	}
	if rec, err := c.schemas.Find(c.ctx, s.Emit.Type); err != nil || rec == nil {
		return err // that it is unknown is told
	}
	for _, outcome := range []string{base + ".succeeded", base + ".failed"} {
		rec, err := c.schemas.Find(c.ctx, outcome)
		if err != nil {
			return err
		}
		if rec == nil {
			c.Problem(s.Emit.line, rulefile.CodeUnknownType, "%s call: no schema has the outcome %s, so it would only time out; emit %s without waiting", t.Path, outcome, s.Emit.Type)
		}
	}
	return nil
}

func (c *checker) deadline(d *Deadline, t *Task) {
	if d != nil {
		c.calendar(d.In, t.Line, t.Path+" timeout.in")
	}
}

// local makes variables known to what f checks.
func (c *checker) local(types map[string]expr.Type, f func() error) error {
	outer := c.locals
	c.locals = maps.Clone(outer)
	for name, t := range types {
		if name != "" {
			c.locals[name] = t
		}
	}
	err := f()
	c.locals = outer
	return err
}

func (c *checker) loop(s *For, proven []string) error {
	if _, err := c.expression(s.In, "", proven); err != nil {
		return err
	}
	each := expr.Type{}
	if s.In != nil {
		for _, result := range c.Results(s.In) {
			if elem, is := strings.CutPrefix(result, "list("); is {
				each = typeOf(strings.TrimSuffix(elem, ")"))
			} else if result != "dyn" {
				c.Problem(c.Locations[s.In].Line, rulefile.CodeNotAssignable, "%s gives %s and must give a list", c.Locations[s.In].Where, typecheck.Describe(result))
			}
		}
	}
	return c.local(map[string]expr.Type{s.Each: each, s.At: {Kind: expr.Int}}, func() error {
		if _, err := c.expression(s.While, "bool", proven); err != nil {
			return err
		}
		return c.tasks(s.Tasks, proven)
	})
}

func (c *checker) try(s *Try, proven []string) error {
	if err := c.tasks(s.Tasks, proven); err != nil {
		return err
	}
	err := c.local(map[string]expr.Type{"error": errorType(), s.As: errorType()}, func() error {
		_, err := c.expression(s.When, "bool", proven)
		return err
	})
	if err != nil {
		return err
	}
	return c.local(map[string]expr.Type{s.As: errorType()}, func() error { return c.tasks(s.Catch, proven) })
}
