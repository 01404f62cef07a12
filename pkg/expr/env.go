package expr

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/parser"
)

// ordered is the function that wraps the range of every comprehension. No source can spell it: '@' is no CEL identifier.
const ordered = "@ordered"

// baseEnv is built once: it takes milliseconds and is immutable.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	listT, mapKV := cel.ListType(cel.TypeParamType("T")), cel.MapType(cel.TypeParamType("K"), cel.TypeParamType("V"))
	return cel.NewCustomEnv(
		cel.StdLib(),
		cel.ClearMacros(),
		cel.Macros(orderedMacros()...),
		cel.Function(ordered,
			cel.Overload("ordered_list", []*cel.Type{listT}, listT, cel.UnaryBinding(orderedRange)),
			cel.Overload("ordered_map", []*cel.Type{mapKV}, cel.ListType(cel.TypeParamType("K")), cel.UnaryBinding(orderedRange)),
		),
		cel.CustomTypeAdapter(adapter{types.DefaultTypeAdapter}),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		// Versions are pinned: a newer library must not change what a published rule means.
		// Version 5 of the strings is the first that charges for the length of texts.
		ext.Strings(ext.StringsVersion(5), ext.StringsMaxPrecision(100)),
		ext.Math(ext.MathVersion(3)),
		ext.Encoders(ext.EncodersVersion(0)),
		boundedText(),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(MaxSource),
		cel.ExpressionNodeLimit(10_000),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(3),
		),
	)
})

// envs are the environments with variables, by their names. A program has a handful of them, and making one takes longer than compiling.
var envs sync.Map

// envOf is the base with variables. "event" is a map from string; the others may hold any value.
func envOf(vars []string) (*cel.Env, error) {
	key := strings.Join(vars, "\x00")
	if env, ok := envs.Load(key); ok {
		return env.(*cel.Env), nil
	}
	base, err := baseEnv()
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	opts := make([]cel.EnvOption, 0, len(vars))
	for _, v := range vars {
		t := cel.DynType
		if v == "event" {
			t = cel.MapType(cel.StringType, cel.DynType)
		}
		opts = append(opts, cel.Variable(v, t))
	}
	env, err := base.Extend(opts...)
	if err != nil {
		return nil, fmt.Errorf("extend CEL environment: %w", err)
	}
	envs.Store(key, env)
	return env, nil
}

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
