package expr

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
)

// typical bounds what the estimate takes a field to be, where the checker can't tell: a text of this many bytes, a list of this many
// values. Data can be larger; then the budgets of the evaluation decide.
const typical = 100

// sizes implements cost.Estimator.
type sizes struct{}

func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if known := node.ComputedSize(); known != nil {
		return known
	}
	if e := node.Expr(); e != nil && e.Kind() == ast.ListKind {
		n := uint64(len(e.AsList().Elements()))
		return &cost.SizeEstimate{Min: n, Max: n}
	}
	return &cost.SizeEstimate{Min: 0, Max: typical}
}

// EstimateCallCost implements cost.Estimator for the functions that Edition3 brought: as CallCost, for texts and lists of typical size.
func (sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	expected, ok := expected[function]
	if !ok {
		return nil
	}
	return cost.NewCallEstimate(cost.Estimate{Min: expected[0], Max: expected[1]}, nil)
}

// expected are the least and the most that a call costs.
var expected = map[string][2]uint64{
	"@lookup": {1 + lookupUnits, 1 + lookupUnits + 2*typical/bytesPerUnit}, "@lookup_or": {1 + lookupUnits, 1 + lookupUnits + 2*typical/bytesPerUnit},
	"@open": {1 + calendarUnits, 1 + calendarUnits + typical/bytesPerUnit}, "@local": {1 + calendarUnits, 1 + calendarUnits + typical/bytesPerUnit},
	"@next_open":    {1 + calendarUnits + maxWalk/daysPerUnit, 1 + calendarUnits + maxWalk/daysPerUnit + typical/bytesPerUnit},
	"@open_between": {1 + calendarUnits, 1 + calendarUnits + maxWalk/daysPerUnit + typical/bytesPerUnit},
	"bucket":        {1 + hashUnits, 1 + hashUnits + 2*typical/bytesPerUnit},
	"email":         {1 + hashUnits, 1 + hashUnits + typical/bytesPerUnit}, "e164": {1 + phoneUnits, 1 + phoneUnits + typical/bytesPerUnit},
	"@sort": {1, 1 + typical*8/pairsPerUnit}, "@sortBy": {1, 1 + typical*8/pairsPerUnit},
}

// estimate is what CEL expects a checked expression to cost, at least and at most, with fields of typical size.
func estimate(env *cel.Env, checked *cel.Ast, scale uint64) (least, most uint64) {
	e, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return BaseCost, CostLimit // no estimate: any evaluation is still cut at the limit
	}
	return BaseCost + min(e.Min, CostLimit/scale)*scale, BaseCost + min(e.Max, CostLimit/scale)*scale
}

// Estimate is what an evaluation is expected to cost with fields of ordinary size, at least and at most, in units. No evaluation costs
// more than CostLimit.
func (p *Program) Estimate() (least, most uint64) { return p.least, p.most }
