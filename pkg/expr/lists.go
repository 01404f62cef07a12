package expr

import (
	"math"
	"math/bits"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"
)

// The functions of lists and sets whose time is a product of lengths are bound here, to reckon their price before they begin: an evaluation
// builds lists of 200,000 values, and distinct() of one would take minutes before it is charged. sort is bound here because cel-go's is not
// stable: which of two equal values comes first would depend on the release of Go that sorts.

const pairsPerUnit = 4 // comparisons of two values that are no lists or maps, for one unit

var sortable = []*cel.Type{cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType, cel.DurationType, cel.TimestampType, cel.StringType, cel.BytesType, decimalType}

func boundedLists() []cel.EnvOption {
	t := cel.TypeParamType("T")
	list := cel.ListType(t)
	var sorts, sortsBy []cel.FunctionOpt
	for _, k := range sortable {
		sorts = append(sorts, cel.Overload("stable_sort_"+k.TypeName(), []*cel.Type{cel.ListType(k)}, cel.ListType(k)))
		sortsBy = append(sortsBy, cel.Overload("stable_sort_by_"+k.TypeName(), []*cel.Type{list, cel.ListType(k)}, list))
	}
	pair := func(name, id string, member bool, times uint64, of func(a, b traits.Lister) ref.Val) cel.EnvOption {
		overload := cel.Overload
		if member {
			overload = cel.MemberOverload
		}
		return cel.Function(name, overload(id, []*cel.Type{list, list}, cel.BoolType, cel.BinaryBinding(func(x, y ref.Val) ref.Val {
			a, okA := x.(traits.Lister)
			b, okB := y.(traits.Lister)
			switch {
			case !okA || !okB:
				return types.NoSuchOverloadErr()
			case times*pairsPrice(a, b) > CostLimit: // the charge that follows ends the evaluation
				return types.NewErrFromString(tooExpensive)
			}
			return of(flatten(a), flatten(b))
		})))
	}
	swapped := func(a, b traits.Lister) ref.Val { return containsAll(b, a) }
	return []cel.EnvOption{
		cel.Macros(
			parser.NewReceiverMacro("sort", 0, func(eh parser.ExprHelper, target ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
				return eh.NewCall("@sort", target), nil
			}),
			parser.NewReceiverMacro("sortBy", 2, sortByMacro),
		),
		cel.Function("@sort", append(sorts, cel.SingletonUnaryBinding(func(v ref.Val) ref.Val { return sortBy(v, v) }, traits.ListerType))...),
		cel.Function("@sortBy", append(sortsBy, cel.SingletonBinaryBinding(sortBy, traits.ListerType))...),
		cel.Function("distinct", cel.MemberOverload("list_distinct", []*cel.Type{list}, list, cel.UnaryBinding(distinct))),
		pair("sets.contains", "list_sets_contains_list", false, 1, containsAll),
		pair("sets.intersects", "list_sets_intersects_list", false, 1, intersects),
		pair("sets.equivalent", "list_sets_equivalent_list", false, 2, equivalent),
		pair("hasAll", "list_hasAll_list", true, 1, containsAll),
		pair("hasOnly", "list_hasOnly_list", true, 1, swapped),
		pair("hasAny", "list_hasAny_list", true, 1, intersects),
		pair("hasExactly", "list_hasExactly_list", true, 2, equivalent),
	}
}

// flatten makes a list that was joined of others one whose elements are found in one step.
func flatten(l traits.Lister) traits.Lister {
	if isJoined(l) {
		return flat(l).(traits.Lister)
	}
	return l
}

// pairsPrice is what comparing each value of one list with each of another costs at most.
func pairsPrice(a, b ref.Val) uint64 {
	w, v := weight(a), weight(b)
	if w >= unpayable || v >= unpayable {
		return unpayable / 4
	}
	return (elements(a)*v + elements(b)*w) / (2 * pairsPerUnit)
}

// sortPrice is what sorting by keys costs.
func sortPrice(keys ref.Val) uint64 {
	w := weight(keys)
	if w >= unpayable {
		return unpayable / 4
	}
	return w * uint64(1+bits.Len64(elements(keys))) / pairsPerUnit
}

func containsAll(list, of traits.Lister) ref.Val {
	for it := of.Iterator(); it.HasNext() == types.True; {
		if found := list.Contains(it.Next()); found != types.True {
			return found
		}
	}
	return types.True
}

func intersects(a, b traits.Lister) ref.Val {
	for it := a.Iterator(); it.HasNext() == types.True; {
		if b.Contains(it.Next()) == types.True {
			return types.True
		}
	}
	return types.False
}

func equivalent(a, b traits.Lister) ref.Val {
	if all := containsAll(a, b); all != types.True {
		return all
	}
	return containsAll(b, a)
}

func distinct(v ref.Val) ref.Val {
	list, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if pairsPrice(list, list) > CostLimit { // the charge that follows ends the evaluation
		return types.NewErrFromString(tooExpensive)
	}
	var once []ref.Val
	for it := list.Iterator(); it.HasNext() == types.True; {
		x := it.Next()
		if !slices.ContainsFunc(once, func(y ref.Val) bool { return types.Equal(x, y) == types.True }) {
			once = append(once, x)
		}
	}
	return types.NewRefValList(natives, once)
}

// sortByMacro makes list.sortBy(x, key) a sort of the list by the keys of its values, in the order of the list.
func sortByMacro(eh parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	const input = "@sorted"
	keys, err := parser.MakeMap(eh, eh.NewIdent(input), args)
	if err != nil {
		return nil, err
	}
	// A loop over nothing, which binds a name to the list: it is evaluated once.
	return eh.NewComprehension(eh.NewList(), unused, input, eh.NewCall(ordered, target), eh.NewLiteral(types.False), eh.NewIdent(input),
		eh.NewCall("@sortBy", eh.NewIdent(input), keys)), nil
}

// unused is the loop variable of what is no loop: of cel.bind, and of the macro above.
const unused = "#unused"

const unsortable = "only values of one kind that have an order can be sorted"

// sortBy sorts a list by keys, one a value, and keeps the order of values with equal keys.
func sortBy(v, by ref.Val) ref.Val {
	list, okList := v.(traits.Lister)
	keyed, okKeys := by.(traits.Lister)
	if !okList || !okKeys {
		return types.NoSuchOverloadErr()
	}
	if sortPrice(keyed) > CostLimit { // the charge that follows ends the evaluation
		return types.NewErrFromString(tooExpensive)
	}
	type one struct{ value, key ref.Val }
	all := make([]one, 0, elements(list))
	keys := keyed.Iterator()
	for it := list.Iterator(); it.HasNext() == types.True && keys.HasNext() == types.True; {
		all = append(all, one{it.Next(), keys.Next()})
	}
	for _, o := range all {
		f, double := o.key.(types.Double)
		_, ordered := o.key.(traits.Comparer)
		if o.key.Type() != all[0].key.Type() || double && math.IsNaN(float64(f)) || !ordered && !isDecimal(o.key) {
			return types.NewErrFromString(unsortable)
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return order(a.key, b.key) })
	out := make([]ref.Val, len(all))
	for i, o := range all {
		out[i] = o.value
	}
	return types.NewRefValList(natives, out)
}

func order(a, b ref.Val) int {
	if isDecimal(a) {
		n, _ := compareDecimal(a, b) // both are decimals
		return n
	}
	n, _ := a.(traits.Comparer).Compare(b).(types.Int) // both are of one kind, and no NaN
	return int(n)
}
