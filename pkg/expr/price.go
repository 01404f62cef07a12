package expr

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What the functions that Edition3 brought cost, in units.
const (
	lookupUnits   = 2
	calendarUnits = 20 // finding a local time
	hashUnits     = 10
	phoneUnits    = 200 // reading a phone number takes about 50 µs
	listUnits     = 3   // making a list
	daysPerUnit   = 2   // of a calendar that are walked
	maxWalk       = 400 // days that a calendar walks at most
)

// libraryPrice is what a call of a function that Edition3 brought costs; false: it is no such function. Lists that were joined take a step
// an element for each join.
func (c charger) libraryPrice(function string, args []ref.Val, result ref.Val) (units uint64, ok bool) {
	switch function {
	case "slice", "flatten", "lists.range":
		units = listUnits + (c.visits(args)+elements(result)*c.step())/pairsPerUnit
	case "distinct":
		units = listUnits + pairsPrice(args[0], args[0]) + c.visits(args)/pairsPerUnit
	case "sets.contains", "sets.intersects", "hasAll", "hasOnly", "hasAny", "sets.equivalent", "hasExactly":
		if len(args) == 2 {
			units = listUnits + 2*pairsPrice(args[0], args[1]) + c.visits(args)/pairsPerUnit
		}
	case "@sort", "@sortBy":
		units = listUnits + sortPrice(args[len(args)-1]) + c.visits(args)/pairsPerUnit
	case "@lookup", "@lookup_or":
		units = lookupUnits + read(args)
	case "@open", "@local":
		units = calendarUnits + read(args)
	case "@next_open":
		units = calendarUnits + maxWalk/daysPerUnit + read(args)
	case "@open_between":
		units = calendarUnits + apart(args)/daysPerUnit + read(args)
	case "e164":
		units = phoneUnits + read(args)
	case "email", "bucket":
		units = hashUnits + read(args)
	default:
		return 0, false
	}
	return 1 + units, true
}

// repriced are the overloads of cel-go's libraries of lists and sets that have a cost model there, which would be asked before CallCost is.
var repriced = map[string]string{
	"list_slice": "slice", "list_flatten": "flatten", "list_flatten_int": "flatten", "lists_range": "lists.range", "list_distinct": "distinct",
	"list_sets_contains_list": "sets.contains", "list_sets_intersects_list": "sets.intersects", "list_sets_equivalent_list": "sets.equivalent",
	"list_hasAll_list": "hasAll", "list_hasOnly_list": "hasOnly", "list_hasAny_list": "hasAny", "list_hasExactly_list": "hasExactly",
}

// trackers price those of the overloads that a checked tree calls by libraryPrice.
func (c charger) trackers(tree *ast.AST) []cost.TrackerOption {
	called := map[string]bool{}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind {
			called[e.AsCall().FunctionName()] = true
		}
	}))
	var options []cost.TrackerOption
	for id, function := range repriced {
		if called[function] {
			options = append(options, cost.OverloadTracker(id, func(args []ref.Val, result ref.Val) *uint64 {
				units, _ := c.libraryPrice(function, args, result)
				return &units
			}))
		}
	}
	return options
}

// visits counts the values of lists, each as often as it takes steps to find it.
func (c charger) visits(args []ref.Val) (n uint64) {
	for _, a := range args {
		if _, list := a.(traits.Lister); list {
			n += elements(a) * c.step()
		}
	}
	return n
}

// read is what reading texts costs.
func read(args []ref.Val) (n uint64) {
	for _, a := range args {
		n += textBytes(a)
	}
	return n / bytesPerUnit
}

// apart is how many days lie between the times that open_between is given, at most those that are counted.
func apart(args []ref.Val) uint64 {
	if len(args) < 3 {
		return 0
	}
	a, okA := args[1].(types.Timestamp)
	b, okB := args[2].(types.Timestamp)
	if !okA || !okB {
		return 0
	}
	return min(uint64(b.Sub(a.Time).Abs().Hours()/24), maxWalk)
}
