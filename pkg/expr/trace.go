package expr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// Bounds of a Trace.
const (
	maxTraceParts = 16
	maxTraceReads = 32
)

// Trace says what a condition came to, part by part, for a person who asks why it held or not.
type Trace struct {
	Parts []TracePart // the operands of && and ||, in the order of the source; the whole where it has neither
	Reads []TraceRead // in the order of the source, each once
	Cut   int         // parts and values that are left out, because there are too many
}

// TracePart is an operand of && or ||. Each is evaluated, also where the value of the whole did not depend on it.
type TracePart struct {
	Source string
	Result any   // of it; nil if Err is not
	Err    error // *EvalError
}

// TraceRead is a value that a condition reads: a field of a variable, or what a comparison computed from some.
type TraceRead struct {
	Source string
	Value  any
	Absent bool       // there is no such field
	Err    error      // *EvalError: it can't be computed
	From   [][]string // what it was made of: names of a variable and of fields in it, such as data, address, city
}

// Trace evaluates a program again, by its parts. It takes longer than Run, and is bounded as many runs are. Values inside of loops are left out: a loop
// has as many as rounds. The error is of the context.
func (p *Program) Trace(ctx context.Context, vars map[string]any) (Trace, error) {
	env, err := envOf(p.edition, p.vars)
	if err != nil {
		return Trace{}, err
	}
	if env, err = env.Extend(cel.EnableMacroCallTracking()); err != nil {
		return Trace{}, fmt.Errorf("trace an expression: %w", err)
	}
	checked, issues := check(env, p.source, nil)
	if issues.Err() != nil {
		return Trace{}, fmt.Errorf("trace an expression: %w", issues.Err())
	}
	t := tracer{ctx: ctx, of: p, vars: vars, info: checked.NativeRep().SourceInfo()}
	root := checked.NativeRep().Expr()
	t.split(root)
	t.visit(root, nil)
	return t.out, ctx.Err()
}

type tracer struct {
	ctx  context.Context
	of   *Program
	vars map[string]any
	info *ast.SourceInfo
	out  Trace
	only bool // which values are read is asked, and not what they are
}

// split lists the operands of && and ||.
func (t *tracer) split(e ast.Expr) {
	if e.Kind() == ast.CallKind {
		if call := e.AsCall(); call.FunctionName() == operators.LogicalAnd || call.FunctionName() == operators.LogicalOr {
			for _, a := range call.Args() {
				t.split(a)
			}
			return
		}
	}
	if len(t.out.Parts) == maxTraceParts {
		t.out.Cut++
		return
	}
	part := TracePart{Source: t.text(e)}
	part.Result, part.Err = t.run(part.Source)
	t.out.Parts = append(t.out.Parts, part)
}

// text is a part of the source, as CEL writes it.
func (t *tracer) text(e ast.Expr) string {
	text, err := cel.ExprToString(e, t.info)
	if err != nil {
		return "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

// run evaluates a part by itself.
func (t *tracer) run(source string) (any, error) {
	p, err := CompileIn(t.of.edition, source, t.of.vars...)
	if err != nil {
		return nil, &EvalError{CodeFailed, "the part can't be evaluated by itself"}
	}
	v, _, err := p.Run(t.ctx, t.vars)
	return v, err
}

var comparisons = []string{operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In}

// visit lists what is read. bound are variables of loops, which hide nothing and are no values of the whole.
func (t *tracer) visit(e ast.Expr, bound []string) {
	if path := t.path(e, bound); path != nil {
		t.read(path)
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		t.visit(e.AsSelect().Operand(), bound)
	case ast.CallKind:
		call := e.AsCall()
		for _, a := range call.Args() {
			if slices.Contains(comparisons, call.FunctionName()) && a.Kind() == ast.CallKind && len(bound) == 0 && !t.only && t.path(a, bound) == nil {
				t.computed(a)
			}
			t.visit(a, bound)
		}
		if call.IsMemberFunction() {
			t.visit(call.Target(), bound)
		}
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			t.visit(x, bound)
		}
	case ast.MapKind:
		for _, x := range e.AsMap().Entries() {
			t.visit(x.AsMapEntry().Key(), bound)
			t.visit(x.AsMapEntry().Value(), bound)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		t.visit(c.IterRange(), bound)
		t.visit(c.AccuInit(), bound)
		inner := append(slices.Clone(bound), c.IterVar(), c.AccuVar())
		if c.HasIterVar2() {
			inner = append(inner, c.IterVar2())
		}
		for _, x := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
			t.visit(x, inner)
		}
	}
}

// path is what is selected of a variable, with or without brackets; nil for everything else.
func (t *tracer) path(e ast.Expr, bound []string) []string {
	switch e.Kind() {
	case ast.IdentKind:
		if name := e.AsIdent(); slices.Contains(t.of.vars, name) && !slices.Contains(bound, name) {
			return []string{name}
		}
	case ast.SelectKind:
		if of := t.path(e.AsSelect().Operand(), bound); of != nil {
			return append(of, e.AsSelect().FieldName())
		}
	case ast.CallKind:
		if call := e.AsCall(); call.FunctionName() == "dyn" && len(call.Args()) == 1 {
			return t.path(call.Args()[0], bound)
		}
		if operand, field, ok := literalIndex(e); ok {
			if of := t.path(operand, bound); of != nil {
				return append(of, field)
			}
		}
	}
	return nil
}

func (t *tracer) add(r TraceRead) {
	if slices.ContainsFunc(t.out.Reads, func(o TraceRead) bool { return o.Source == r.Source }) {
		return
	}
	if len(t.out.Reads) == maxTraceReads {
		t.out.Cut++
		return
	}
	t.out.Reads = append(t.out.Reads, r)
}

// read takes a value from the variables, as it is.
func (t *tracer) read(path []string) {
	r := TraceRead{Source: strings.Join(path, "."), From: [][]string{path}}
	r.Value = t.vars
	for _, name := range path {
		fields, is := r.Value.(map[string]any)
		v, there := fields[name]
		if !is || !there {
			r.Value, r.Absent = nil, true
			break
		}
		r.Value = v
	}
	t.add(r)
}

// computed evaluates one side of a comparison, unless it depends on nothing.
func (t *tracer) computed(e ast.Expr) {
	of := &tracer{of: t.of, only: true}
	of.visit(e, nil)
	r := TraceRead{Source: t.text(e)}
	for _, x := range of.out.Reads {
		r.From = append(r.From, x.From...)
	}
	if len(r.From) == 0 {
		return
	}
	if of.out.Cut > 0 { // what it reads is not known in full
		for _, name := range t.of.vars {
			r.From = append(r.From, []string{name})
		}
	}
	r.Value, r.Err = t.run(r.Source)
	t.add(r)
}
