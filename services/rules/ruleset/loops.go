package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules/graph"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// loops warns of rules that can trigger each other round in a circle. It is a warning, because conditions may end the circle, and
// because the engine cuts it after 16 hops anyway.
func loops(set *Set) rulefile.Problems {
	index := map[*Rule]int{}
	for i, r := range set.Rules {
		index[r] = i
	}
	next := make([][]int, len(set.Rules))
	for i, r := range set.Rules {
		for _, e := range r.Emit {
			for _, t := range set.byType[e.Type] {
				// Derived events have the origin of their cause.
				if slices.ContainsFunc(r.Origins, t.FiresOn) {
					next[i] = append(next[i], index[t])
				}
			}
		}
		slices.Sort(next[i])
		next[i] = slices.Compact(next[i])
	}
	var ps rulefile.Problems
	for _, group := range graph.Components(next) {
		if len(group) == 1 && !slices.Contains(next[group[0]], group[0]) {
			continue
		}
		slices.Sort(group)
		names := make([]string, len(group))
		for i, n := range group {
			names[i] = set.Rules[n].Name
		}
		first := set.Rules[group[0]]
		ps = append(ps, rulefile.Problem{File: first.File, Line: first.line, Rule: first.Name, Code: rulefile.CodeLoop, Warning: true,
			Message: fmt.Sprintf("the rules %s can trigger each other without end; make sure that a condition ends it, or it is cut after 16 hops and the rule is tripped", strings.Join(names, ", "))})
	}
	return ps
}

// stateWarnings names state that is read and never set, and keys that two rules set.
func stateWarnings(set *Set) rulefile.Problems {
	setBy := map[string]string{}
	var ps rulefile.Problems
	for _, r := range set.Rules {
		for _, a := range r.Set {
			if other := setBy[a.Key]; other != "" {
				ps = append(ps, rulefile.Problem{File: r.File, Line: a.Line, Rule: r.Name, Code: rulefile.CodeStateShared, Warning: true,
					Message: fmt.Sprintf("the rule %s sets %s too; when both fire on one event, the rule whose name sorts last wins", other, a.Key)})
			}
			setBy[a.Key] = r.Name
		}
	}
	for _, r := range set.Rules {
		for _, p := range r.programs() {
			for _, f := range p.Fields("state") {
				if setBy[f] == "" {
					ps = append(ps, rulefile.Problem{File: r.File, Line: r.line, Rule: r.Name, Code: rulefile.CodeStateUnset, Warning: true,
						Message: fmt.Sprintf("state.%s is read but no rule of the bundle sets it", f)})
				}
			}
		}
	}
	return ps
}
