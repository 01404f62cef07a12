package typecheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Checker checks one file and collects its problems.
type Checker struct {
	File      string
	Rule      string // its name
	Text      string
	Edition   expr.Edition
	Locations map[*expr.Program]rulefile.Location
	Fails     string // what happens where a value is wrong, such as "the rule fails on the event then"
	Left      *int   // checks that may still be made, counted down; below zero, Check finds nothing, and the caller must refuse the file. nil: any number
	Problems  rulefile.Problems

	typed map[*expr.Program][]expr.Typed // what was found on each type of event; empty where the check could not be made
	found map[rulefile.Problem][]string  // the types of events that a problem was found on
}

// Problem notes a problem.
func (c *Checker) Problem(line int, code, format string, args ...any) {
	c.Problems = append(c.Problems, rulefile.Problem{File: c.File, Line: line, Rule: c.Rule, Code: code, Message: fmt.Sprintf(format, args...)})
}

// Warn notes a warning.
func (c *Checker) Warn(line int, code, format string, args ...any) {
	c.Problems = append(c.Problems, rulefile.Problem{File: c.File, Line: line, Rule: c.Rule, Code: code, Message: fmt.Sprintf(format, args...), Warning: true})
}

// Check checks one expression with the types of its variables, on one type of event. Proven are paths that are known to be there and not
// null, and truth says that it is a condition; the answer is what it proves when it is true. Tell then tells what was found.
func (c *Checker) Check(p *expr.Program, vars map[string]expr.Type, proven []string, truth bool, typ string) ([]string, error) {
	if p == nil {
		return nil, nil
	}
	location := c.Locations[p]
	if c.Left != nil {
		if *c.Left--; *c.Left < 0 {
			return nil, nil
		}
	}
	tell := func(problem expr.Problem, code string, warning bool) {
		line, column := location.Find(c.Text, p.Source(), problem)
		told := rulefile.Problem{File: c.File, Line: line, Column: column, Rule: c.Rule, Code: code, Warning: warning, Message: location.Where + ": " + problem.Message}
		if c.found == nil {
			c.found = map[rulefile.Problem][]string{}
		}
		c.found[told] = append(c.found[told], typ)
	}
	typed, err := expr.CheckTypes(c.Edition, p.Source(), vars, proven, truth)
	var wrong *expr.CompileError
	switch {
	case errors.As(err, &wrong):
		for _, problem := range wrong.Problems {
			tell(problem, codeOf(problem.Message), false)
		}
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("check %s of %s: %w", location.Where, c.Rule, err)
	}
	for _, w := range typed.Warnings {
		tell(w, rulefile.CodeNullable, true)
	}
	if why := constant(p, vars); why != "" {
		tell(expr.Problem{Message: "it fails whatever the event holds: " + why}, rulefile.CodeInvalidExpression, false)
	}
	if c.typed == nil {
		c.typed = map[*expr.Program][]expr.Typed{}
	}
	c.typed[p] = append(c.typed[p], typed)
	return typed.Proven, nil
}

// Tell tells what Check found since the last time, each problem once. On are all types of events that were checked: a problem that some of
// them do not have names those that do.
func (c *Checker) Tell(on []string) {
	for p, types := range c.found {
		if len(types) < len(on) {
			p.Message += " (on " + strings.Join(types, ", ") + ")"
		}
		c.Problems = append(c.Problems, p)
	}
	c.found = nil
}

// Gives tells an expression that gives another type than it must, where only the types of the events showed that.
func (c *Checker) Gives(p *expr.Program, want string) {
	for _, t := range c.Results(p) {
		if inner := strings.TrimSuffix(strings.TrimPrefix(t, "wrapper("), ")"); want != "" && inner != want && t != "dyn" && p.ResultType() == "dyn" {
			c.Problem(c.Locations[p].Line, rulefile.CodeNotAssignable, "%s gives %s and must give %s", c.Locations[p].Where, Describe(t), Describe(want))
			return
		}
	}
}

// constant tells why an expression that reads none of its variables but lookups and calendars fails; "" when it does not, or reads one.
func constant(p *expr.Program, vars map[string]expr.Type) string {
	fixed := expr.Fixed(vars)
	for variable := range vars {
		if _, same := fixed[variable]; !same && p.Reads(variable) {
			return ""
		}
	}
	if p.ReadsReference() && len(fixed) == 0 {
		return "" // what it finds is not known
	}
	_, err := p.Eval(fixed)
	var failed *expr.EvalError
	if !errors.As(err, &failed) || failed.Code == expr.CodeDeadline || failed.Code == expr.CodeCost {
		return "" // a slow machine says nothing about the expression, and costs are told where the budgets are
	}
	return failed.Error()
}

func codeOf(message string) string {
	switch {
	case strings.Contains(message, "division by zero"):
		return rulefile.CodeInvalidExpression
	case strings.Contains(message, Unset):
		return rulefile.CodeStateUnset
	case strings.HasPrefix(message, "there is no "):
		return rulefile.CodeUnknownName
	case strings.Contains(message, " has no such field"), strings.Contains(message, " has no such column"):
		return rulefile.CodeUnknownField
	}
	return rulefile.CodeTypeMismatch
}

// Unset is what is wrong with a key of state that an object of it lacks (expr.Type.Lacks).
const Unset = "no rule of the bundle sets it"

// Fields checks the data of a derived event, which stands in a line, against the record of its type. Broken are fields whose expressions do
// not compile; filled says which fields the engine fills, and nil stands for none.
func (c *Checker) Fields(typ string, line int, data []rulefile.Assignment, broken []string, rec *Record, filled func(*Field) bool) {
	given := map[string]bool{}
	for _, name := range broken {
		given[name] = true // what is wrong with it is told already
	}
	for _, a := range data {
		given[a.Key] = true
		f := rec.Field(a.Key)
		if f == nil {
			hint := "it has " + strings.Join(rec.Names(), ", ")
			if near := expr.Nearest(a.Key, rec.Names()); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			c.Problem(a.Line, rulefile.CodeUnknownField, "%s has no field %q; %s", typ, a.Key, hint)
			continue
		}
		c.takes(typ, a, f)
	}
	for i := range rec.Fields {
		if f := &rec.Fields[i]; !given[f.Name] && f.Required() && (filled == nil || !filled(f)) {
			c.Problem(line, rulefile.CodeMissingField, "%s needs the field %q (%s)", typ, f.Name, f.Describe())
		}
	}
}

// takes checks whether a field can hold what its expression gives.
func (c *Checker) takes(typ string, a rulefile.Assignment, f *Field) {
	for _, t := range c.Results(a.Expr) {
		if !f.Takes(t) {
			c.Problem(a.Line, rulefile.CodeNotAssignable, "%s.%s is %s and can't take %s", typ, a.Key, f.Describe(), Describe(t))
			break
		}
	}
	if slices.Contains(f.kinds, "decimal") && slices.Contains(c.Results(a.Expr), "string") && (a.Expr.Reads("data") || a.Expr.Reads("vars")) {
		c.Warn(a.Line, rulefile.CodeNotAssignable,
			"%s.%s is a decimal and is given a text, which fails when it has too many digits; give the number, which is rounded, as in data.value * 1.1", typ, a.Key)
	}
	if f.Nullable() {
		return
	}
	for _, path := range c.MayBe(a.Expr) {
		c.Warn(a.Line, rulefile.CodeNullable, "%s.%s must not be null and %s may be: %s; give another value, as in %s == null ? … : %s", typ, a.Key, path, c.Fails, path, path)
	}
}

// Subject warns of the subject of a derived event that may be null.
func (c *Checker) Subject(typ string, p *expr.Program) {
	if p == nil {
		return
	}
	for _, path := range c.MayBe(p) {
		c.Warn(c.Locations[p].Line, rulefile.CodeNullable,
			"the subject of %s must be a text and %s may be null: %s; test it first, or give another value, as in %s == null ? … : %s", typ, path, c.Fails, path, path)
	}
}

// Results are the types that an expression gives, on each type of event that was checked.
func (c *Checker) Results(p *expr.Program) []string {
	var out []string
	for _, t := range c.typed[p] {
		if !slices.Contains(out, t.Result) {
			out = append(out, t.Result)
		}
	}
	if out == nil {
		out = []string{p.ResultType()}
	}
	return out
}

// MayBe lists the paths whose null the expression may give.
func (c *Checker) MayBe(p *expr.Program) []string {
	var out []string
	for _, t := range c.typed[p] {
		for _, path := range t.MayBe {
			if !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	return out
}
