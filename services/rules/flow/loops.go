package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/graph"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Derives is as much of a rule as Loops needs: what it hears and what it derives.
type Derives struct {
	Name    string
	On      []string
	Origins []event.Origin
	Emits   []string
}

// node is a workflow or a rule. The events of a workflow have the origin of what started it, and live after a timer.
type node struct {
	Derives
	workflow *Program // nil: a rule
}

// Loops finds workflows that lead back to their own start, by their events, by the outcomes of their commands, by what is told of their
// end, or through rules. Hops do not cut such a circle: they end at a timer. It is an error unless each workflow of it says loops: allowed;
// then the engine's bound on starts alone holds it. Circles of rules alone are not told here.
func Loops(programs []*Program, rules []Derives) rulefile.Problems {
	nodes := make([]node, 0, len(programs)+len(rules))
	for _, p := range programs {
		nodes = append(nodes, node{Derives{p.Name, p.Start.On, p.Start.Origins, p.Emits()}, p})
	}
	for _, r := range rules {
		nodes = append(nodes, node{Derives: r})
	}
	var ps rulefile.Problems
	for _, group := range circles(nodes) {
		var names []string
		var unsaid []*Program
		workflows := 0
		for _, i := range group {
			names = append(names, nodes[i].Name)
			if p := nodes[i].workflow; p != nil {
				workflows++
				if !p.Loops {
					unsaid = append(unsaid, p)
				}
			}
		}
		if workflows == 0 {
			continue
		}
		for _, p := range unsaid {
			ps = append(ps, rulefile.Problem{File: p.File, Line: p.line, Rule: p.Name, Code: rulefile.CodeLoop, Message: circle(p.Name, names)})
		}
	}
	slices.SortFunc(ps, func(a, b rulefile.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Rule, b.Rule))
	})
	return ps
}

// circles are the groups of nodes that lead back to themselves, each sorted.
func circles(nodes []node) [][]int {
	next := make([][]int, len(nodes))
	for i, from := range nodes {
		for j, to := range nodes {
			if from.leadsTo(to) {
				next[i] = append(next[i], j)
			}
		}
	}
	return slices.DeleteFunc(graph.Components(next), func(group []int) bool {
		slices.Sort(group)
		return len(group) == 1 && !slices.Contains(next[group[0]], group[0])
	})
}

// Circles finds, for each workflow that can lead back to its own start, the workflows of its circle, itself included, sorted. older are texts by
// which instances still run: they are started by nothing, and what they emit counts as emitted by the workflow of their name.
func Circles(programs, older []*Program, rules []Derives) map[string][]string {
	var nodes []node
	for _, p := range programs {
		emits := p.Emits()
		for _, o := range older {
			if o.Name == p.Name {
				emits = append(emits, o.Emits()...)
			}
		}
		nodes = append(nodes, node{Derives{p.Name, p.Start.On, p.Start.Origins, emits}, p})
	}
	for _, r := range rules {
		nodes = append(nodes, node{Derives: r})
	}
	out := map[string][]string{}
	for _, group := range circles(nodes) {
		var names []string
		for _, i := range group {
			if nodes[i].workflow != nil {
				names = append(names, nodes[i].Name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			out[name] = names
		}
	}
	return out
}

func circle(name string, names []string) string {
	const end = "; take out what starts it again, or write loops: allowed if a condition ends it"
	if len(names) == 1 {
		return fmt.Sprintf("the workflow %s can start itself again without end%s", name, end)
	}
	return fmt.Sprintf("the workflow %s can start itself again without end, by way of %s%s", name,
		strings.Join(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == name }), ", "), end)
}

func (from node) leadsTo(to node) bool {
	if !slices.ContainsFunc(from.Emits, func(typ string) bool { return slices.Contains(to.On, typ) }) {
		return false
	}
	return from.workflow != nil && slices.Contains(to.Origins, event.OriginLive) ||
		slices.ContainsFunc(from.Origins, func(o event.Origin) bool { return slices.Contains(to.Origins, o) })
}

// Emits lists the types of events that a workflow can bring about: its own, the outcomes of its commands, and what is told of its end.
func (p *Program) Emits() []string {
	out := []string{"workflow.completed", "workflow.cancelled", "workflow.faulted"}
	var add func(e *Emit)
	add = func(e *Emit) {
		out = append(out, e.Type)
		if base, command := strings.CutSuffix(e.Type, ".requested"); command {
			out = append(out, base+".succeeded", base+".failed")
		}
		for _, u := range e.Undo {
			add(u)
		}
	}
	walk(p, func(t *Task) {
		if e := emitOf(t); e != nil {
			add(e)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}
