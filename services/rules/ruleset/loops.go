package ruleset

import (
	"fmt"
	"slices"
	"strings"

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
	for _, group := range components(next) {
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

// components gives the strongly connected components of a graph (Tarjan, 1972), without recursion: a chain of rules may be as long
// as a bundle.
func components(next [][]int) [][]int {
	n := len(next)
	order, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	var out [][]int
	count := 0
	type frame struct{ v, edge int }
	for root := range n {
		if order[root] != 0 {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.edge == 0 {
				count++
				order[f.v], low[f.v] = count, count
				stack, on[f.v] = append(stack, f.v), true
			}
			descended := false
			for f.edge < len(next[f.v]) {
				w := next[f.v][f.edge]
				f.edge++
				if order[w] == 0 {
					frames, descended = append(frames, frame{w, 0}), true
					break
				} else if on[w] {
					low[f.v] = min(low[f.v], order[w])
				}
			}
			if descended {
				continue
			}
			v := f.v
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				p := frames[len(frames)-1].v
				low[p] = min(low[p], low[v])
			}
			if low[v] == order[v] {
				var group []int
				for {
					w := stack[len(stack)-1]
					stack, on[w] = stack[:len(stack)-1], false
					group = append(group, w)
					if w == v {
						break
					}
				}
				out = append(out, group)
			}
		}
	}
	return out
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
