package expr

import (
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"
)

// The cost of a call is added up when the call is over. For functions whose result can be much larger than their arguments that is
// too late: s.replace("", s) over 100 kB asks for 10 GB at once, which ends the process. So these calls are turned, while parsing, into
// calls of functions that reckon the size of the result first.

// bounded replaces a call of a text function by its bounded namesake, which no source can spell.
func bounded(name string, args int) cel.Macro {
	return parser.NewReceiverMacro(name, args, func(eh parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		if name == "format" {
			return nil, eh.NewError(target.ID(), "format is not available; join texts by +, as in 'score ' + string(data.score)")
		}
		return eh.NewCall("@"+name, append([]ast.Expr{target}, args...)...), nil
	})
}

func boundedText() cel.EnvOption {
	text, number, texts := cel.StringType, cel.IntType, cel.ListType(cel.StringType)
	options := []cel.EnvOption{
		cel.Function("@replace",
			cel.Overload("bounded_replace", []*cel.Type{text, text, text}, text, cel.FunctionBinding(replace)),
			cel.Overload("bounded_replace_n", []*cel.Type{text, text, text, number}, text, cel.FunctionBinding(replace))),
		cel.Function("@split",
			cel.Overload("bounded_split", []*cel.Type{text, text}, texts, cel.FunctionBinding(split)),
			cel.Overload("bounded_split_n", []*cel.Type{text, text, number}, texts, cel.FunctionBinding(split))),
		cel.Function("@join",
			cel.Overload("bounded_join", []*cel.Type{texts}, text, cel.FunctionBinding(join)),
			cel.Overload("bounded_join_with", []*cel.Type{texts, text}, text, cel.FunctionBinding(join))),
		cel.Function("@matches",
			cel.Overload("bounded_matches", []*cel.Type{text, text}, cel.BoolType, cel.BinaryBinding(matches))),
		cel.Function("@indexOf",
			cel.Overload("linear_index_of", []*cel.Type{text, text}, number, cel.FunctionBinding(indexOf)),
			cel.Overload("linear_index_of_from", []*cel.Type{text, text, number}, number, cel.FunctionBinding(indexOf))),
		cel.Function("@lastIndexOf",
			cel.Overload("linear_last_index_of", []*cel.Type{text, text}, number, cel.FunctionBinding(lastIndexOf)),
			cel.Overload("linear_last_index_of_from", []*cel.Type{text, text, number}, number, cel.FunctionBinding(lastIndexOf))),
	}
	// What a call costs: reading its first argument, and writing its result.
	for _, id := range []string{"bounded_replace", "bounded_replace_n", "bounded_split", "bounded_split_n", "bounded_join", "bounded_join_with",
		"base64_encode_bytes", "base64_decode_string"} {
		options = append(options, cel.CostModel(cost.Overload(id,
			cost.EvalCost(cost.Sum(cost.Const(cost.CallCost), cost.StringScan(cost.Length(cost.Arg(0))), cost.StringScan(cost.Length(cost.Result())))))))
	}
	return func(e *cel.Env) (*cel.Env, error) {
		var err error
		for _, o := range options {
			if e, err = o(e); err != nil {
				return nil, err
			}
		}
		return e, nil
	}
}

// tooLarge is the message of a result over its bound; evalError knows it.
const tooLarge = "the result of a text function is too large"

// limit reads an optional count: absent or negative is all.
func limit(args []ref.Val, i int) int {
	if len(args) <= i {
		return -1
	}
	if n := args[i].(types.Int); n >= 0 && n < 1<<30 {
		return int(n)
	}
	return -1
}

func replace(args ...ref.Val) ref.Val {
	s, old, by := string(args[0].(types.String)), string(args[1].(types.String)), string(args[2].(types.String))
	n := strings.Count(s, old)
	most := limit(args, 3)
	if most >= 0 {
		n = min(n, most)
	}
	if len(s)+n*(len(by)-len(old)) > MaxResultBytes {
		return types.NewErrFromString(tooLarge)
	}
	return types.String(strings.Replace(s, old, by, most))
}

func split(args ...ref.Val) ref.Val {
	s, sep := string(args[0].(types.String)), string(args[1].(types.String))
	most := limit(args, 2)
	n := strings.Count(s, sep) + 1
	if sep == "" {
		n = utf8.RuneCountInString(s)
	}
	if most >= 0 {
		n = min(n, most)
	}
	if n > MaxResultNodes {
		return types.NewErrFromString(tooLarge)
	}
	return types.DefaultTypeAdapter.NativeToValue(strings.SplitN(s, sep, most))
}

func join(args ...ref.Val) ref.Val {
	sep := ""
	if len(args) > 1 {
		sep = string(args[1].(types.String))
	}
	var b strings.Builder
	first := true
	for it := args[0].(traits.Lister).Iterator(); it.HasNext() == types.True; {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		if !first {
			b.WriteString(sep)
		}
		first = false
		if b.Len()+len(sep)+len(s) > MaxResultBytes {
			return types.NewErrFromString(tooLarge)
		}
		b.WriteString(string(s))
	}
	return types.String(b.String())
}
