package expr

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// paths are fields that are known to be there and not null.
type paths map[string]bool

func (p paths) with(more paths) paths {
	if len(more) == 0 {
		return p
	}
	out := paths{}
	maps.Copy(out, p)
	maps.Copy(out, more)
	return out
}

// both are the paths in each of two sets.
func both(a, b paths) paths {
	out := paths{}
	for p := range a {
		if b[p] {
			out[p] = true
		}
	}
	return out
}

// nulls looks for operands that may be null and for fields that may be absent. && and || do not run in order: an error on one side counts
// for nothing when the other decides. So each side is guarded by the other, as data.phone != null guards what stands before it.
type nulls struct {
	*typing
	tree     *ast.AST
	told     map[string]bool
	warnings []Problem
	wrong    []Problem
}

func (w *nulls) problem(e ast.Expr, format string, args ...any) Problem {
	return problemAt(w.tree, e, format, args...)
}

func problemAt(tree *ast.AST, e ast.Expr, format string, args ...any) Problem {
	p := Problem{Message: fmt.Sprintf(format, args...)}
	if at := tree.SourceInfo().GetStartLocation(e.ID()); at.Line() > 0 {
		p.Line, p.Column = at.Line(), at.Column()+1
	}
	return p
}

// walk visits e, knowing what is known.
func (w *nulls) walk(e ast.Expr, known paths) {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		w.walk(s.Operand(), known)
		if pathOf(s.Operand()) != "" || s.Operand().Kind() == ast.CallKind {
			w.unsafe(s.Operand(), known)
		}
		path := pathOf(e)
		if t, ok := w.at(path); path != "" && ok && t.Maybe && !s.IsTestOnly() && !known[path] && !w.told[path] {
			w.told[path] = true
			w.warnings = append(w.warnings, w.problem(e, "%s may be absent, and the rule fails on the event then: test it first, as in has(%s) && …", path, path))
		}
	case ast.CallKind:
		w.call(e, known)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.walk(x, known)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.walk(entry.AsMapEntry().Key(), known)
			w.walk(entry.AsMapEntry().Value(), known)
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			w.walk(f.AsStructField().Value(), known)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, x := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			w.walk(x, known)
		}
	}
}

func (w *nulls) call(e ast.Expr, known paths) {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd, operators.LogicalOr:
		for i, a := range args {
			guards := known
			dead := false
			for j, other := range args {
				if j != i {
					guards = guards.with(w.when(other, name == operators.LogicalAnd, true))
					truth, sure := w.sure(other)
					dead = dead || sure && truth == (name == operators.LogicalOr)
				}
			}
			if !dead {
				w.walk(a, guards)
				w.unsafe(a, guards)
			}
		}
		return
	case operators.Conditional:
		w.walk(args[0], known)
		w.unsafe(args[0], known)
		truth, sure := w.sure(args[0])
		if !sure || truth {
			w.walk(args[1], known.with(w.whenTrue(args[0])))
		}
		if !sure || !truth {
			w.walk(args[2], known.with(w.whenFalse(args[0])))
		}
		return
	case operators.Equals, operators.NotEquals, operators.In, "dyn", "type":
		w.symbols(e)
		for i, a := range args {
			w.walk(a, known)
			if name == operators.In && i == 1 {
				w.unsafe(a, known)
			}
		}
		return
	}
	if name := call.FunctionName(); (name == operators.Divide || name == operators.Modulo) && len(args) == 2 && isZero(args[1]) {
		w.wrong = append(w.wrong, w.problem(e, "division by zero: the expression fails whenever this is calculated"))
	}
	if call.IsMemberFunction() {
		w.walk(call.Target(), known)
		w.unsafe(call.Target(), known)
	}
	for _, a := range args {
		w.walk(a, known)
		w.unsafe(a, known)
	}
}

// isZero tells the literals 0 and 0u. Divided by 0.0, a double is infinite, which can be compared.
func isZero(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && (e.AsLiteral() == types.IntZero || e.AsLiteral() == types.Uint(0))
}

// unnamed stands for the arguments of a call in messages.
const unnamed = "(…)"

// unsafe warns of an operand that may be null where null is an error.
func (w *nulls) unsafe(e ast.Expr, known paths) {
	for _, path := range w.mayBeNull(e, known) {
		if w.told[path] {
			continue
		}
		w.told[path] = true
		if strings.HasSuffix(path, "…)") {
			w.warnings = append(w.warnings, w.problem(e, "%s may be null, and the rule fails on the event then: give it a name and test that, as in cel.bind(x, %s, x == null ? … : x)", path, path))
			continue
		}
		w.warnings = append(w.warnings, w.problem(e, "%s may be null, and the rule fails on the event then: test it first, as in %s != null && … (has() is true of a null)", path, path))
	}
}

// mayBeNull lists the paths whose null the value of e may be.
func (w *nulls) mayBeNull(e ast.Expr, known paths) []string {
	if e.Kind() == ast.CallKind {
		switch call := e.AsCall(); call.FunctionName() {
		case operators.Conditional:
			var out []string
			truth, sure := w.sure(call.Args()[0])
			if !sure || truth {
				out = w.mayBeNull(call.Args()[1], known.with(w.whenTrue(call.Args()[0])))
			}
			if !sure || !truth {
				out = append(out, w.mayBeNull(call.Args()[2], known.with(w.whenFalse(call.Args()[0])))...)
			}
			return out
		case "dyn":
			return w.mayBeNull(call.Args()[0], known)
		case "email", "e164":
			return []string{call.FunctionName() + unnamed}
		default:
			if t, ok := w.results[call.FunctionName()]; ok && t.Nullable {
				return []string{w.spelled(e)}
			}
		}
	}
	path := pathOf(e)
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() || path == "" || known[path] {
		return nil
	}
	if t, ok := w.at(path); ok && t.Nullable {
		return []string{path}
	}
	return nil
}

// sure is the truth of a comparison of texts that are known, such as event.type == "lead.created".
func (w *nulls) sure(e ast.Expr) (truth, ok bool) {
	if e.Kind() != ast.CallKind {
		return false, false
	}
	call := e.AsCall()
	name := call.FunctionName()
	switch {
	case name == operators.LogicalNot:
		truth, ok = w.sure(call.Args()[0])
		return !truth, ok
	case name == operators.LogicalAnd || name == operators.LogicalOr:
		decisive, all := name == operators.LogicalOr, true
		for _, a := range call.Args() {
			truth, ok := w.sure(a)
			if ok && truth == decisive {
				return truth, true
			}
			all = all && ok
		}
		return !decisive, all
	case name != operators.Equals && name != operators.NotEquals:
		return false, false
	}
	for i, a := range call.Args() {
		t, found := w.at(pathOf(a))
		other := call.Args()[1-i]
		if !found || t.Known == "" || other.Kind() != ast.LiteralKind {
			continue
		}
		text, isText := other.AsLiteral().(types.String)
		return (isText && string(text) == t.Known) == (name == operators.Equals), true
	}
	return false, false
}

// whenTrue are the paths that are there and not null if e is true.
func (w *nulls) whenTrue(e ast.Expr) paths { return w.when(e, true, false) }

// whenFalse are those if e is false.
func (w *nulls) whenFalse(e ast.Expr) paths { return w.when(e, false, false) }

// when are the paths that are there and not null if e has a truth. With tested, they are only those whose null gives e the other truth, and
// not an error: what guards the other side of && and ||.
func (w *nulls) when(e ast.Expr, truth, tested bool) paths {
	if path := pathOf(e); path != "" {
		if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
			if t, ok := w.at(path); truth && ok && !t.Nullable {
				return paths{path: true}
			}
			return nil
		}
		if tested {
			return nil
		}
		return paths{path: true} // it is a boolean, then
	}
	if e.Kind() != ast.CallKind {
		return nil
	}
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.LogicalNot:
		return w.when(args[0], !truth, tested)
	case operators.LogicalAnd, operators.LogicalOr:
		var out paths
		for i, a := range args {
			one := w.when(a, truth, tested)
			switch {
			case i == 0:
				out = one
			case (name == operators.LogicalAnd) == truth: // all of them are so
				out = one.with(out)
			default: // one of them is
				out = both(out, one)
			}
		}
		return out
	case operators.Equals, operators.NotEquals:
		out := paths{}
		for i, a := range args {
			other := args[1-i]
			if path := pathOf(a); path != "" && other.Kind() == ast.LiteralKind {
				_, null := other.AsLiteral().(types.Null)
				if ((name == operators.Equals) == truth) != null {
					out[path] = true // equal to something, or not equal to null
				}
			}
		}
		return out
	case operators.Conditional, operators.In, "dyn", "type":
		return nil
	}
	if tested {
		return nil
	}
	// Any other call fails on a null: if it gave a result, there was none.
	out := paths{}
	operands := args
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, args...)
	}
	for _, a := range operands {
		if path := pathOf(a); path != "" && (a.Kind() != ast.SelectKind || !a.AsSelect().IsTestOnly()) {
			out[path] = true
		}
	}
	return out
}

// symbols refuses a comparison with a text that the field can't be.
func (w *nulls) symbols(e ast.Expr) {
	args := e.AsCall().Args()
	if len(args) != 2 {
		return
	}
	for i, a := range args {
		t, ok := w.typeOf(a)
		if !ok || t.Symbols == nil {
			continue
		}
		texts := []ast.Expr{args[1-i]}
		if texts[0].Kind() == ast.ListKind {
			texts = texts[0].AsList().Elements()
		}
		for _, x := range texts {
			if x.Kind() != ast.LiteralKind {
				continue
			}
			if s, ok := x.AsLiteral().(types.String); ok && !slices.Contains(t.Symbols, string(s)) {
				hint := "it is one of " + strings.Join(t.Symbols, ", ")
				if near := Nearest(string(s), t.Symbols); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				w.wrong = append(w.wrong, w.problem(x, "%s is never %q; %s", w.spelled(a), clip(string(s)), hint))
			}
		}
	}
}
