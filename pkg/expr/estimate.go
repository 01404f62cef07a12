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

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
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
