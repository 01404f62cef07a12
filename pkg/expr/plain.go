package expr

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// Most expressions of rules read a field, write a literal, or compare the two. Planning, tracking and converting values takes CEL some ten times
// as long as such an expression itself. So these are evaluated here, on the Go values as they are, with the same answer and the same cost. Wherever a
// value is not what a plain expression can be sure of (a field that is missing, a list, a decimal, a text over MaxText), CEL is asked instead: it
// alone knows errors. TestPlain_AnswersAndChargesAsCEL compares both.
type plain interface {
	// eval gives a value and what CEL charges for it; ok is false where CEL must be asked.
	eval(vars map[string]any) (v any, cost uint64, ok bool)
}

// plainOf is a checked tree as a plain expression; nil: it is none.
func plainOf(tree *ast.AST, vars []string) plain {
	if slices.ContainsFunc(vars, func(v string) bool { return strings.Contains(v, ".") }) {
		return nil // a.b may be a variable
	}
	return plainNode(tree.Expr(), vars)
}

func plainNode(e ast.Expr, vars []string) plain {
	switch e.Kind() {
	case ast.LiteralKind:
		return plainLiteral(e)
	case ast.IdentKind, ast.SelectKind:
		f := plainField{test: e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly()}
		for ; e.Kind() == ast.SelectKind; e = e.AsSelect().Operand() {
			if e.AsSelect().IsTestOnly() && len(f.path) > 0 {
				return nil
			}
			f.path = append(f.path, e.AsSelect().FieldName())
		}
		if e.Kind() != ast.IdentKind || !slices.Contains(vars, e.AsIdent()) {
			return nil
		}
		slices.Reverse(f.path)
		f.root = e.AsIdent()
		return f
	case ast.CallKind:
		return plainCall(e.AsCall(), vars)
	}
	return nil
}

func plainLiteral(e ast.Expr) plain {
	switch v := e.AsLiteral().(type) {
	case types.Null:
		return plainValue{}
	case types.Bool:
		return plainValue{bool(v)}
	case types.Int:
		return plainValue{int64(v)}
	case types.Double:
		return plainValue{float64(v)}
	case types.String:
		return plainValue{string(v)}
	}
	return nil
}

func plainCall(call ast.CallExpr, vars []string) plain {
	var args []plain
	for _, a := range call.Args() {
		p := plainNode(a, vars)
		if p == nil || call.IsMemberFunction() {
			return nil
		}
		args = append(args, p)
	}
	switch f := call.FunctionName(); {
	case f == operators.LogicalAnd || f == operators.LogicalOr:
		return plainLogic{args, f == operators.LogicalOr}
	case f == operators.LogicalNot && len(args) == 1:
		return plainNot{args[0]}
	case f == operators.Conditional && len(args) == 3:
		return plainChoice{args[0], args[1], args[2]}
	case decimalEquality[f] && len(args) == 2:
		return plainEqual{args[0], args[1], f == operators.Equals}
	case decimalOrders[f] != nil && len(args) == 2:
		return plainOrder{args[0], args[1], decimalOrders[f]}
	}
	return nil
}

// plainValue is a literal.
type plainValue struct{ v any }

func (p plainValue) eval(map[string]any) (any, uint64, bool) {
	v, ok := plainScalar(p.v)
	return v, 0, ok
}

// plainField is a field of a variable, or the variable itself.
type plainField struct {
	root string
	path []string
	test bool // whether the last of path is there
}

func (p plainField) eval(vars map[string]any) (any, uint64, bool) {
	v, there := vars[p.root]
	if !there {
		return nil, 0, false
	}
	if lazy, is := v.(func() any); is {
		v = lazy()
		vars[p.root] = v
	}
	cost := 1 + uint64(len(p.path))
	for i, name := range p.path {
		fields, is := v.(map[string]any)
		if !is {
			return nil, 0, false
		}
		v, there = fields[name]
		if p.test && i == len(p.path)-1 {
			return there, cost, true
		}
		if !there {
			return nil, 0, false
		}
	}
	v, ok := plainScalar(v)
	return v, cost, ok
}

// plainScalar is a value that means the same to CEL and to Go.
func plainScalar(v any) (any, bool) {
	switch v := v.(type) {
	case nil, bool, int64:
		return v, true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		return v, len(v) <= MaxText
	}
	return nil, false
}

// plainLogic is && or ||: the first operand that decides ends it, and it costs nothing itself.
type plainLogic struct {
	terms []plain
	ends  bool // the value that decides
}

func (p plainLogic) eval(vars map[string]any) (any, uint64, bool) {
	var sum uint64
	for _, t := range p.terms {
		v, cost, ok := t.eval(vars)
		holds, is := v.(bool)
		if !ok || !is {
			return nil, 0, false
		}
		if sum += cost; holds == p.ends {
			return p.ends, sum, true
		}
	}
	return !p.ends, sum, true
}

type plainNot struct{ of plain }

func (p plainNot) eval(vars map[string]any) (any, uint64, bool) {
	v, cost, ok := p.of.eval(vars)
	holds, is := v.(bool)
	return !holds, cost + 1, ok && is
}

// plainChoice is c ? a : b. The field that it chooses is not charged for being read, only for each step to it.
type plainChoice struct{ of, then, otherwise plain }

func (p plainChoice) eval(vars map[string]any) (any, uint64, bool) {
	v, cost, ok := p.of.eval(vars)
	holds, is := v.(bool)
	if !ok || !is {
		return nil, 0, false
	}
	chosen := p.otherwise
	if holds {
		chosen = p.then
	}
	v, more, ok := chosen.eval(vars)
	if _, field := chosen.(plainField); field && ok {
		more--
	}
	return v, cost + more, ok
}

type plainEqual struct {
	a, b plain
	want bool
}

func (p plainEqual) eval(vars map[string]any) (any, uint64, bool) {
	a, costA, okA := p.a.eval(vars)
	if !okA {
		return nil, 0, false
	}
	b, costB, okB := p.b.eval(vars)
	if !okB {
		return nil, 0, false
	}
	same, ok := plainSame(a, b)
	cost := costA + costB + 1
	if x, is := a.(string); is {
		if y, is := b.(string); is && len(x) == len(y) { // as charger.equality
			cost += uint64(len(x)) / bytesPerUnit
		}
	}
	return same == p.want, cost, ok
}

// plainSame reports whether two scalars are equal. Values of different kinds are not, but for numbers.
func plainSame(a, b any) (same, ok bool) {
	switch a := a.(type) {
	case nil:
		return b == nil, true
	case bool:
		b, is := b.(bool)
		return is && a == b, true
	case string:
		b, is := b.(string)
		return is && a == b, true
	}
	switch b.(type) {
	case int64, float64:
		order, ok := plainCompare(a, b)
		return order == 0, ok
	}
	return false, true
}

type plainOrder struct {
	a, b  plain
	holds func(order int) bool
}

func (p plainOrder) eval(vars map[string]any) (any, uint64, bool) {
	a, costA, okA := p.a.eval(vars)
	if !okA {
		return nil, 0, false
	}
	b, costB, okB := p.b.eval(vars)
	if !okB {
		return nil, 0, false
	}
	cost := costA + costB + 1
	if x, is := a.(string); is {
		y, is := b.(string)
		return p.holds(strings.Compare(x, y)), cost + uint64(len(x)+len(y))/bytesPerUnit, is
	}
	order, ok := plainCompare(a, b)
	return p.holds(order), cost, ok
}

// exactly is how far integers and floating-point numbers are the same.
const exactly = 1 << 53

// plainCompare orders two numbers.
func plainCompare(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case int64:
		switch b := b.(type) {
		case int64:
			return cmp.Compare(a, b), true
		case float64:
			return cmp.Compare(float64(a), b), -exactly <= a && a <= exactly
		}
	case float64:
		switch b := b.(type) {
		case int64:
			return cmp.Compare(a, float64(b)), -exactly <= b && b <= exactly
		case float64:
			return cmp.Compare(a, b), true
		}
	}
	return 0, false
}

// runPlain is what Run gives, if the expression is plain and so are the values that it meets.
func (p *Program) runPlain(vars map[string]any) (v any, cost uint64, ok bool) {
	if p.plain == nil {
		return nil, 0, false
	}
	v, cost, ok = p.plain.eval(vars)
	if !ok || cost > CostLimit {
		return nil, 0, false
	}
	cost += BaseCost + 1 // the result is one value
	if text, is := v.(string); is {
		cost += uint64(len(text)) / bytesPerUnit
		ok = utf8.ValidString(text)
	}
	return v, cost, ok
}
