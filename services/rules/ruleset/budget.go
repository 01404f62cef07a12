package ruleset

import (
	"fmt"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// cost is what a rule is expected to cost on an event whose fields have ordinary sizes: at least, when its condition does not hold, and
// at most.
func (r *Rule) cost() (least, most uint64) {
	if r.When != nil {
		least, _ = r.When.Estimate()
	}
	for _, p := range r.programs() {
		l, m := p.Estimate()
		most += m
		if r.When == nil {
			least += l
		}
	}
	outputs := uint64(len(r.Emit)) * OutputCost
	if r.When == nil {
		least += outputs
	}
	return least, most + outputs
}

// budgets tells what can't fit an event's budgets, as an error, and what may not, as a warning.
func budgets(set *Set) rulefile.Problems {
	var ps rulefile.Problems
	for _, r := range set.Rules {
		for _, p := range r.programs() {
			if _, most := p.Estimate(); most >= expr.CostLimit {
				ps = append(ps, rulefile.Problem{File: r.File, Line: r.line, Rule: r.Name, Code: rulefile.CodeCostly, Warning: true,
					Message: fmt.Sprintf("an expression of rule %s may cost more than the %d units that one may: then the rule fails on that event; shorter loops in %q",
						r.Name, expr.CostLimit, rulefile.Cut(p.Source()))})
				break
			}
		}
		switch least, most := r.cost(); {
		case least > RuleCost:
			ps = append(ps, rulefile.Problem{File: r.File, Line: r.line, Rule: r.Name, Code: rulefile.CodeCostly,
				Message: fmt.Sprintf("the rule costs at least %d units on every event, more than the %d that a rule may; split it", least, RuleCost)})
		case most > RuleCost:
			ps = append(ps, rulefile.Problem{File: r.File, Line: r.line, Rule: r.Name, Code: rulefile.CodeCostly, Warning: true,
				Message: fmt.Sprintf("the rule may cost %d units on an event, and is cut at %d: then it fails as over_budget; split it", most, RuleCost)})
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(set.byType)) {
		var least, most uint64
		for _, r := range set.byType[typ] {
			l, m := r.cost()
			least, most = least+l, most+m
		}
		switch {
		case least > EventCost:
			ps = append(ps, rulefile.Problem{File: "the bundle", Code: rulefile.CodeCostly, Message: fmt.Sprintf(
				"the %d rules on %s cost at least %d units on every event, more than the %d that an event may: the last ones by name would never run; fewer or cheaper rules",
				len(set.byType[typ]), typ, least, EventCost)})
		case most > EventCost:
			ps = append(ps, rulefile.Problem{File: "the bundle", Code: rulefile.CodeCostly, Warning: true, Message: fmt.Sprintf(
				"the %d rules on %s may cost %d units on an event, and are cut at %d: then the last ones by name fail as over_budget; fewer or cheaper rules",
				len(set.byType[typ]), typ, most, EventCost)})
		}
	}
	return ps
}
