package simulate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Coverage is what tests have seen of one rule.
type Coverage struct {
	Rule   string `json:"rule"`
	File   string `json:"file"`
	Fired  int    `json:"fired"`  // events that it answered
	Held   bool   `json:"held"`   // its condition was true once
	Denied bool   `json:"denied"` // its condition was false once; a rule without one is never denied
	Always bool   `json:"always"` // it has no condition
	Failed int    `json:"failed"` // events that it failed on
}

// Whole reports whether tests have seen the rule fire, and its condition both ways.
func (c *Coverage) Whole() bool { return c.Fired > 0 && (c.Always || c.Denied) }

// Missing says in words what no test has seen; empty: nothing is missing.
func (c *Coverage) Missing() string {
	switch {
	case c.Fired == 0 && c.Denied:
		return "its condition was never true"
	case c.Fired == 0:
		return "no test fires it"
	case !c.Whole():
		return "its condition was never false"
	}
	return ""
}

// FlowCoverage is what tests have seen of one workflow.
type FlowCoverage struct {
	Workflow string         `json:"workflow"`
	File     string         `json:"file"`
	Started  int            `json:"started"` // instances
	Tasks    []TaskCoverage `json:"tasks"`   // in the order of the file
}

// TaskCoverage counts the activations in which a task ran, and in which it failed.
type TaskCoverage struct {
	Task   string `json:"task"`
	Ran    int    `json:"ran"`
	Failed int    `json:"failed"`
}

// Whole reports whether tests have seen every task run.
func (c *FlowCoverage) Whole() bool { return c.Missing() == "" }

// Missing says in words what no test has seen; empty: nothing is missing.
func (c *FlowCoverage) Missing() string {
	if c.Started == 0 {
		return "no test starts it"
	}
	var never []string
	for _, t := range c.Tasks {
		if t.Ran == 0 {
			never = append(never, t.Task)
		}
	}
	if len(never) == 0 {
		return ""
	}
	return "never ran: " + strings.Join(never, ", ")
}

// cover collects what tests see.
type cover struct {
	flows  []FlowCoverage
	seen   map[string]bool // instances, by test
	test   int
	rules  []Coverage
	byName map[string]int
}

func newCover(files []ruleset.File) (*cover, error) {
	set, problems := ruleset.Compile(files)
	if set == nil {
		return nil, problems.Err()
	}
	c := &cover{byName: map[string]int{}, seen: map[string]bool{}}
	for _, p := range set.Workflows {
		f := FlowCoverage{Workflow: p.Name, File: p.File}
		for _, path := range p.Tasks() {
			f.Tasks = append(f.Tasks, TaskCoverage{Task: path})
		}
		c.flows = append(c.flows, f)
	}
	for i, r := range set.Rules {
		c.rules = append(c.rules, Coverage{Rule: r.Name, File: r.File, Always: r.When == nil})
		c.byName[r.Name] = i
	}
	return c, nil
}

func (c *cover) note(runs []rules.SandboxRun, failures []failure) {
	for _, run := range runs {
		i, known := c.byName[run.Rule]
		if !known {
			continue
		}
		r := &c.rules[i]
		if !run.Fired {
			r.Denied = true
			continue
		}
		r.Fired++
		r.Held = !r.Always
	}
	for _, f := range failures {
		if i, known := c.byName[f.Rule]; known {
			c.rules[i].Failed++
		}
	}
}

func (c *cover) noteFlows(visits []workflows.Visit) {
	for _, v := range visits {
		i := slices.IndexFunc(c.flows, func(f FlowCoverage) bool { return f.Workflow == v.Workflow })
		if i < 0 {
			continue
		}
		f := &c.flows[i]
		if id := fmt.Sprint(c.test, v.Instance); !c.seen[id] {
			c.seen[id] = true
			f.Started++
		}
		count := func(path string, add func(t *TaskCoverage)) {
			for j := range f.Tasks {
				if f.Tasks[j].Task == path {
					add(&f.Tasks[j])
				}
			}
		}
		for _, path := range v.Ran {
			count(path, func(t *TaskCoverage) { t.Ran++ })
		}
		for _, x := range v.Failed {
			count(x.Task, func(t *TaskCoverage) { t.Failed++ })
		}
	}
}

func (c *cover) list() []Coverage { return append([]Coverage{}, c.rules...) }
