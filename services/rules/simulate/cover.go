package simulate

import (
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
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

// cover collects what tests see.
type cover struct {
	rules  []Coverage
	byName map[string]int
}

func newCover(files []ruleset.File) (*cover, error) {
	set, problems := ruleset.Compile(files)
	if set == nil {
		return nil, problems.Err()
	}
	c := &cover{byName: map[string]int{}}
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

func (c *cover) list() []Coverage { return append([]Coverage{}, c.rules...) }
