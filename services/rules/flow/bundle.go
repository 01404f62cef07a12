package flow

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Expressions counts the expressions of a workflow.
func (p *Program) Expressions() int { return len(p.locations) }

// Tasks lists the paths of all tasks, in the order of the file.
func (p *Program) Tasks() []string {
	var out []string
	walk(p, func(t *Task) { out = append(out, t.Path) })
	return out
}

// Pools lists the pools that a workflow assigns from, sorted.
func (p *Program) Pools() []string {
	var out []string
	walk(p, func(t *Task) {
		if a, is := t.Step.(*Assign); is {
			out = append(out, a.Pool)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// Costly tells expressions that may cost more than one may: then the task fails on such an event.
func (p *Program) Costly() rulefile.Problems { return costly(p.locations, p.File, p.Name) }

// Costly tells expressions that may cost more than one may.
func (p *Policy) Costly() rulefile.Problems { return costly(p.locations, p.File, p.Name) }

func costly(locations map[*expr.Program]rulefile.Location, file, name string) (ps rulefile.Problems) {
	for prog, at := range locations {
		if _, most := prog.Estimate(); most >= expr.CostLimit {
			ps = append(ps, rulefile.Problem{File: file, Line: at.Line, Rule: name, Code: rulefile.CodeCostly, Warning: true,
				Message: fmt.Sprintf("%s may cost more than the %d units that an expression may, and fails then; shorter loops", at.Where, expr.CostLimit)})
		}
	}
	slices.SortFunc(ps, func(a, b rulefile.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}
