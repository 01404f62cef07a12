package expr

import (
	"math"
	"reflect"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What calls cost. CEL's own model knows the length of a text only where the checker knows the overload, and a field of an event has no
// type before it is read: data.company.size() cost one unit at any length. So every call whose time grows with its arguments is charged
// here, by the name of its function, from the values that it was given. One unit stands for 100 to 500 ns, and for at most 10 µs with the
// largest values that an event can hold: CostLimit units take well below a second (TestCharges_BoundTheTimeOfEveryFunction).
const (
	bytesPerUnit    = 10  // bytes of text or bytes that a call reads or writes for one unit
	zoneUnits       = 500 // looking up a time zone by name reads a file
	decimalUnits    = 4   // an operand that is a decimal: up to 400 digits are multiplied or divided
	literalsPerUnit = 64  // see scaleOf
	unpayable       = math.MaxUint64 / 4
)

// charger prices the calls of one program. It implements cost.ActualCostEstimator.
type charger struct {
	// joins is the number of + in the source. Lists that were joined stay joined: each element is found through as many steps.
	joins   uint64
	library bool // the program may call what Edition3 brought
}

// CallCost implements cost.ActualCostEstimator.
func (c charger) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	units := uint64(1)
	if c.library {
		if price, ok := c.libraryPrice(function, args, result); ok {
			return &price
		}
	}
	switch function {
	case weighed:
		units = uint64(result.(types.Uint))
	case operators.Equals, operators.NotEquals:
		if len(args) == 2 {
			units += c.equality(args[0], args[1])
		}
	case operators.In:
		if len(args) == 2 {
			units += c.membership(args[0], args[1])
		}
	case ordered:
		units += c.ordering(args)
	case "@matches":
		if text, pattern, ok := twoTexts(args); ok {
			units += matchPrice(patternOf(pattern), text, pattern)
		}
	case "math.@min", "math.@max":
		for _, a := range args {
			units += elements(a) * c.step()
		}
	case "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds":
		if len(args) > 1 {
			units += zoneUnits + textBytes(args[1])
		}
	default:
		var read uint64
		for _, a := range args {
			read += textBytes(a)
			if _, list := a.(traits.Lister); list {
				units += c.joins / 8 // the length of a joined list, or one of its elements
			}
		}
		units += max(read, textBytes(result)) / bytesPerUnit
	}
	for _, a := range args {
		if isDecimal(a) {
			units += decimalUnits
		}
	}
	return &units
}

// step is what one element of a list costs to visit.
func (c charger) step() uint64 { return 1 + c.joins/8 }

func (c charger) equality(a, b ref.Val) uint64 {
	_, listA := a.(traits.Lister)
	_, listB := b.(traits.Lister)
	_, mapA := a.(traits.Mapper)
	_, mapB := b.(traits.Mapper)
	switch {
	case (listA && listB) || (mapA && mapB):
		if elements(a) != elements(b) {
			return 1
		}
		return (weight(a) + weight(b)) * c.step()
	default: // texts of different lengths are unequal at once
		if x, y := textBytes(a), textBytes(b); x == y {
			return x / bytesPerUnit
		}
		return 0
	}
}

// membership is the price of x in list: one comparison an element.
func (c charger) membership(x, in ref.Val) uint64 {
	if _, isMap := in.(traits.Mapper); isMap {
		return textBytes(x) / bytesPerUnit
	}
	each := c.step() + textBytes(x)/bytesPerUnit
	switch x.(type) {
	case traits.Lister, traits.Mapper:
		return weight(in) * each
	}
	return elements(in) * each
}

// ordering is the price of the range of a comprehension: nothing for a list, a sort for the keys of a map.
func (c charger) ordering(args []ref.Val) uint64 {
	if len(args) != 1 {
		return 0
	}
	n := elements(args[0])
	if _, isMap := args[0].(traits.Mapper); isMap {
		return n * 8
	}
	if isJoined(args[0]) {
		return n * c.step()
	}
	return 0
}

func twoTexts(args []ref.Val) (a, b string, ok bool) {
	if len(args) != 2 {
		return "", "", false
	}
	x, okX := args[0].(types.String)
	y, okY := args[1].(types.String)
	return string(x), string(y), okX && okY
}

// textBytes is the length of a text or of bytes; 0 for anything else.
func textBytes(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	}
	return 0
}

func elements(v ref.Val) uint64 {
	if s, ok := v.(traits.Sizer); ok {
		if n, ok := s.Size().(types.Int); ok && n > 0 {
			return uint64(n)
		}
	}
	return 0
}

// weight counts the values in a value, and its bytes of text by bytesPerUnit. It stops at what no evaluation can pay.
func weight(v ref.Val) uint64 {
	w := weigher{left: 2 * CostLimit}
	w.add(v)
	if w.left <= 0 {
		return unpayable
	}
	return uint64(2*CostLimit - w.left)
}

type weigher struct{ left int64 }

func (w *weigher) add(v ref.Val) {
	w.left -= 1 + int64(textBytes(v))/bytesPerUnit
	if w.left <= 0 {
		return
	}
	switch v := v.(type) {
	case traits.Mapper:
		for it := v.Iterator(); w.left > 0 && it.HasNext() == types.True; {
			k := it.Next()
			w.add(k)
			w.add(v.Get(k))
		}
	case traits.Lister:
		for it := v.Iterator(); w.left > 0 && it.HasNext() == types.True; {
			w.add(it.Next())
		}
	}
}

// joinedType is the type that + gives for two lists, which cel-go does not export.
var joinedType = reflect.TypeOf(types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{types.True}).(traits.Adder).
	Add(types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{types.True})))

func isJoined(v ref.Val) bool { return reflect.TypeOf(v) == joinedType }

// flat copies a joined list, so that a loop finds each element in one step.
func flat(l traits.Lister) ref.Val {
	var all []ref.Val
	for it := l.Iterator(); it.HasNext() == types.True; {
		all = append(all, it.Next())
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

// joins counts the + of a checked tree.
func joins(tree *ast.AST) (n uint64) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Add {
			n++
		}
	}))
	return n
}

// scaleOf is what a unit of a program counts for. CEL charges a literal list or map the same at any length, and a loop makes it again
// each time around; a program whose loops hold long literals pays for them by a smaller limit.
func scaleOf(tree *ast.AST) uint64 {
	var longest uint64
	inLoop := func(e ast.Expr) {
		switch e.Kind() {
		case ast.ListKind:
			longest = max(longest, uint64(len(e.AsList().Elements())))
		case ast.MapKind:
			longest = max(longest, 4*uint64(len(e.AsMap().Entries())))
		}
	}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			ast.PreOrderVisit(e.AsComprehension().LoopStep(), ast.NewExprVisitor(inLoop))
			ast.PreOrderVisit(e.AsComprehension().LoopCondition(), ast.NewExprVisitor(inLoop))
		}
	}))
	return 1 + longest/literalsPerUnit
}
