package expr

import (
	"fmt"
	"sort"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"
)

// ordered is the function that wraps the range of every comprehension. No source can spell it: '@' is no CEL identifier.
const ordered = "@ordered"

// orderedMacros are CEL's own comprehensions over an ordered range. Without this, `m.map(k, k)` over a map would follow Go's
// random map order, and two evaluations of one rule over one event would differ.
func orderedMacros() []cel.Macro {
	over := func(make func(parser.ExprHelper, ast.Expr, []ast.Expr) (ast.Expr, *common.Error)) parser.MacroExpander {
		return func(eh parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
			return make(eh, eh.NewCall(ordered, target), args)
		}
	}
	return []cel.Macro{
		parser.NewGlobalMacro("has", 1, parser.MakeHas),
		parser.NewReceiverMacro("all", 2, over(parser.MakeAll)),
		parser.NewReceiverMacro("exists", 2, over(parser.MakeExists)),
		parser.NewReceiverMacro("exists_one", 2, over(parser.MakeExistsOne)),
		parser.NewReceiverMacro("map", 2, over(parser.MakeMap)),
		parser.NewReceiverMacro("map", 3, over(parser.MakeMap)),
		parser.NewReceiverMacro("filter", 2, over(parser.MakeFilter)),
		bounded("replace", 2), bounded("replace", 3), bounded("split", 1), bounded("split", 2), bounded("join", 0), bounded("join", 1),
		bounded("format", 1), bounded("indexOf", 1), bounded("indexOf", 2), bounded("lastIndexOf", 1), bounded("lastIndexOf", 2),
		parser.NewReceiverMacro("matches", 1, func(eh parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
			return matchMacro(eh, target, args[0])
		}),
		parser.NewGlobalMacro("matches", 2, func(eh parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
			return matchMacro(eh, args[0], args[1])
		}),
	}
}

// orderedRange answers a list as it is, and the keys of a map in order: by kind, then by value.
func orderedRange(v ref.Val) ref.Val {
	m, isMap := v.(traits.Mapper)
	if !isMap {
		if l, isList := v.(traits.Lister); isList {
			if isJoined(v) {
				return flat(l)
			}
			return v
		}
		return types.MaybeNoSuchOverloadErr(v)
	}
	var keys []ref.Val
	for it := m.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	sort.Slice(keys, func(i, j int) bool { return keyLess(keys[i], keys[j]) })
	return types.NewRefValList(types.DefaultTypeAdapter, keys)
}

func keyLess(a, b ref.Val) bool {
	if a.Type() != b.Type() {
		return a.Type().TypeName() < b.Type().TypeName()
	}
	if c, ok := a.(traits.Comparer); ok {
		return c.Compare(b) == types.IntNegOne
	}
	return fmt.Sprint(a.Value()) < fmt.Sprint(b.Value())
}
