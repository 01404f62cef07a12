package expr

import (
	"regexp"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
)

// mixed is what the checker says of a decimal that is compared for equality with a number of another kind. CEL's equality takes two values
// of one type and lets no overload be added to that, though the evaluation here knows better (equals).
var mixed = regexp.MustCompile(`^found no matching overload for '_[=!]=_' applied to '\((?:(?:wrapper\()?decimal\)?, (?:wrapper\()?(?:int|uint|double)\)?|(?:wrapper\()?(?:int|uint|double)\)?, (?:wrapper\()?decimal\)?)\)'$`)

// check parses and checks a source; before is called with what was parsed and may change it. A decimal may equal any number: where the
// checker refuses that, its left side is made dyn, and all is checked again.
func check(env *cel.Env, src string, before func(*ast.AST)) (*cel.Ast, *cel.Issues) {
	parse := func() (*cel.Ast, *cel.Issues) {
		parsed, issues := env.Parse(src)
		if issues.Err() == nil && before != nil {
			before(parsed.NativeRep())
		}
		return parsed, issues
	}
	parsed, issues := parse()
	if issues.Err() != nil {
		return nil, issues
	}
	checked, issues := env.Check(parsed)
	at := map[int64]bool{}
	for _, e := range issues.Errors() {
		if mixed.MatchString(e.Message) {
			at[e.ExprID] = true
		}
	}
	if len(at) == 0 {
		return checked, issues
	}
	if parsed, issues = parse(); issues.Err() != nil {
		return nil, issues
	}
	anyNumber(parsed.NativeRep(), at)
	return env.Check(parsed)
}

// anyNumber makes the left sides of calls dyn.
func anyNumber(tree *ast.AST, calls map[int64]bool) {
	next := ast.MaxID(tree)
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && calls[e.ID()] && len(e.AsCall().Args()) == 2 {
			left, right := e.AsCall().Args()[0], e.AsCall().Args()[1]
			next++
			e.SetKindCase(factory.NewCall(e.ID(), e.AsCall().FunctionName(), factory.NewCall(next, overloads.TypeConvertDyn, left), right))
		}
	}))
}
