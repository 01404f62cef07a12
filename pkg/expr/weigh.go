package expr

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Lists and maps hold what is in them by reference: [a, a, a] takes three words whatever a is, and a + a takes none. So a source of a few
// hundred bytes builds values of 10^9 elements for a handful of units, and the first call that walks one (a comparison, a loop, a
// conversion, the text of an error) takes minutes or all of the memory before it is charged. Therefore no such value comes into being:
// every list, map and message is weighed where it is built, with what is in it counted as often as it is reached.
const (
	maxWeight     = 2 * CostLimit // values within a value that an expression builds, and textPerValue bytes of text count as one
	textPerValue  = 100           // bytes
	freeWeight    = 1_000         // values that weigh nothing: what ordinary rules build
	weighsPerUnit = 64            // values beyond freeWeight for one unit
	weighed       = "@weighed"    // the call that weighing is charged as; its result is its price
)

// sizer counts the values within a value. cel-go keeps the count in lists and maps that it made, so that weighing a value built of
// others takes one step for each of those.
var sizer = types.NewSizeCalculator(types.SizeCalculatorMaxDepth(2*maxWeight), types.SizeCalculatorMaxTraversal(2*maxWeight),
	types.SizeCalculatorStringUnitLength(textPerValue))

// weigh is a decorator of the plan: it puts a scale around whatever builds a list, a map or a message.
func weigh(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := i.(type) {
	case interpreter.InterpretableConstructor:
		if t := node.Type(); t != types.ListType && t != types.MapType {
			// Building a message copies all that it is given.
			given := node.InitVals()
			for n := range given {
				given[n] = scales{InterpretableV2: given[n], copied: true}
			}
		}
		return scales{InterpretableV2: i}, nil
	case interpreter.InterpretableCall:
		if node.Function() == operators.Add {
			return scales{InterpretableV2: i}, nil
		}
	case interpreter.InterpretableAttribute, interpreter.InterpretableConst:
	default:
		// Comprehensions, which have no exported type; anything else that comes here passes values on that were weighed.
		return scales{InterpretableV2: i}, nil
	}
	return i, nil
}

// scales evaluate a node, and charge for the weight of what it gives before anything can read it.
type scales struct {
	interpreter.InterpretableV2
	copied bool // the value will be copied: all of it is charged
}

// Exec implements interpreter.InterpretableV2.
func (s scales) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := s.InterpretableV2.Exec(frame)
	switch v.(type) {
	case traits.MutableLister, traits.MutableMapper: // what a loop collects is weighed at its end
		return v
	case traits.Lister, traits.Mapper:
	default:
		if !s.copied {
			return v
		}
	}
	if units := s.price(v); units > 0 {
		if costs := frame.CostTracker(); costs != nil {
			costs.EvalUnary(frame, s.ID(), weighing{}, v, types.Uint(units)) // over the limit it panics, which ends the evaluation
		}
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (s scales) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, s.Exec)
}

func (s scales) price(v ref.Val) uint64 {
	if n := textBytes(v); n > 0 { // only what is copied
		return n / bytesPerUnit
	}
	w := uint64(sizer.AggregateSize(v))
	switch {
	case w > maxWeight:
		return unpayable
	case s.copied:
		return w
	case w > freeWeight:
		return (w - freeWeight) / weighsPerUnit
	}
	return 0
}

// weighing is the call that the scales charge as.
type weighing struct{}

func (weighing) Function() string   { return weighed }
func (weighing) OverloadID() string { return weighed }
