package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// maxMismatches bounds what is told of one test: what goes wrong first is mostly the reason for the rest.
const maxMismatches = 20

// Result is how one test ended.
type Result struct {
	Test       string        `json:"test"`
	File       string        `json:"file"`
	Passed     bool          `json:"passed"`
	Took       time.Duration `json:"took_ns"` // of the machine, not of the clock in the test
	Mismatches []Mismatch    `json:"mismatches"`
}

// Report is how all tests ended, and what they covered.
type Report struct {
	Tests []Result   `json:"tests"`
	Rules []Coverage `json:"rules"` // by name

	Workflows []FlowCoverage `json:"workflows,omitempty"` // by name
}

// Failed counts the tests that failed.
func (r Report) Failed() (n int) {
	for _, t := range r.Tests {
		if !t.Passed {
			n++
		}
	}
	return n
}

// Run runs tests over the rules of a bundle that was validated. The error is one of the machine: a registry that does not answer, a context
// that ends, an evaluation that takes seconds.
func Run(ctx context.Context, tests []Test, files []ruleset.File, reg rules.Registry) (Report, error) {
	report := Report{Tests: []Result{}, Rules: []Coverage{}}
	seen, err := newCover(files)
	if err != nil {
		return report, err
	}
	sets, all := &rules.Compiled{}, newBundle(files)
	for i := range tests {
		begun := time.Now()
		r := run{test: &tests[i], cover: seen, result: Result{Test: tests[i].Name, File: tests[i].File, Mismatches: []Mismatch{}}}
		seen.test = i
		err := r.run(ctx, all.chosen(tests[i].Rules), reg, sets)
		if err != nil {
			return report, fmt.Errorf("test %s: %w", tests[i].Name, err)
		}
		r.result.Passed, r.result.Took = len(r.result.Mismatches) == 0, time.Since(begun)
		report.Tests = append(report.Tests, r.result)
	}
	report.Rules, report.Workflows = seen.list(), seen.flows
	return report, nil
}

// bundle is the files of rules, and which of them are what a test can leave out.
type bundle struct {
	files []ruleset.File
	names []string // of the rules; empty: the file is no rule, and other files may need it
}

func newBundle(files []ruleset.File) bundle {
	b := bundle{files: files, names: make([]string, len(files))}
	for i, f := range files {
		if kind, _ := ruleset.Kind(f); kind == "Rule" { // what can't be read is told when it is compiled
			b.names[i] = ruleset.RuleName(f)
		}
	}
	return b
}

// chosen are the files of the rules that a test names, and those that are no rules; all where it names none.
func (b bundle) chosen(names []string) []ruleset.File {
	if len(names) == 0 {
		return b.files
	}
	var out []ruleset.File
	for i, f := range b.files {
		if b.names[i] == "" || slices.Contains(names, b.names[i]) {
			out = append(out, f)
		}
	}
	return out
}

// run is one test.
type run struct {
	test     *Test
	cover    *cover
	sandbox  *sandbox
	expected map[string]bool // rules whose failure was expected
	result   Result
}

func (r *run) run(ctx context.Context, files []ruleset.File, reg rules.Registry, sets *rules.Compiled) (err error) {
	if r.sandbox, err = newSandbox(ctx, files, r.test.Start, reg, sets); err != nil {
		return err
	}
	r.expected = map[string]bool{}
	for i := range r.test.Given {
		g := &r.test.Given[i]
		c, err := r.sandbox.send(ctx, g)
		m := Mismatch{Line: g.Line, Step: fmt.Sprintf("given %d", i+1), Action: title(g.Type, g.Subject)}
		if goOn, err := r.note(ctx, m, c, nil, false, err); err != nil || !goOn {
			return err
		}
	}
	for i := range r.test.Steps {
		if goOn, err := r.step(ctx, i); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// step does one step and compares; false: nothing sensible can follow.
func (r *run) step(ctx context.Context, i int) (goOn bool, err error) {
	s := &r.test.Steps[i]
	m := Mismatch{Line: s.Line, Step: fmt.Sprintf("step %d", i+1)}
	var c came
	switch {
	case s.Event != nil:
		m.Action = title(s.Event.Type, s.Event.Subject)
		c, err = r.sandbox.send(ctx, s.Event)
	case s.Outcome != nil:
		m.Action = s.Outcome.Type()
		c, err = r.sandbox.answer(ctx, s.Outcome)
	case s.Advance > 0:
		c, err = r.sandbox.moveTo(ctx, r.sandbox.now.Add(s.Advance))
		m.Action = "the clock moves to " + event.FormatTime(r.sandbox.now)
	case !s.To.IsZero():
		c, err = r.sandbox.moveTo(ctx, s.To)
		m.Action = "the clock moves to " + event.FormatTime(r.sandbox.now)
	default:
		m.Action = "state"
	}
	if goOn, err = r.note(ctx, m, c, s.Expect, s.Expects, err); err != nil || !goOn {
		return false, err
	}
	for _, st := range s.States {
		fields := compare("", st.values, map[string]any(r.sandbox.rules.State(st.Subject)))
		if len(fields) > 0 {
			m.Line, m.Differences = st.Line, []Difference{{Kind: KindState, Subject: st.Subject, Fields: fields}}
			r.add(m)
		}
	}
	for i := range s.Instances {
		d, differs, err := s.Instances[i].compared(ctx, r.sandbox)
		if err != nil {
			return false, err
		}
		if differs {
			m.Line, m.Differences = s.Instances[i].Line, []Difference{d}
			r.add(m)
		}
	}
	return len(r.result.Mismatches) < maxMismatches, nil
}

// note compares what came of a step with what is expected.
func (r *run) note(ctx context.Context, m Mismatch, c came, expect []Expected, compared bool, err error) (goOn bool, _ error) {
	r.cover.note(c.runs, c.failures)
	r.cover.noteFlows(c.visits)
	if undone := (*stepError)(nil); errors.As(err, &undone) {
		m.Differences = []Difference{{Kind: KindError, Detail: undone.why}}
		r.add(m)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	got := make([]arrived, 0, len(c.events))
	for i := range c.events {
		e := &c.events[i]
		data, err := r.sandbox.rules.Decode(ctx, e)
		if err != nil {
			return false, err
		}
		if strings.HasPrefix(e.Type, "workflow.") && !slices.ContainsFunc(expect, func(x Expected) bool { return x.Type == e.Type }) {
			m.Differences = append(m.Differences, troubles(e.Type, data)...)
			continue
		}
		got = append(got, arrived{event: e, data: data})
	}
	pairs := align(expect, got)
	for _, p := range pairs {
		if p.want != nil && p.got != nil && p.got.event.Type == typeFailed {
			r.expected[p.got.failed()] = true
		}
	}
	for _, p := range pairs {
		d, differs := p.difference()
		// The failure itself says more than the event about it. A storm is told even where nothing is compared.
		if failed := p.want == nil && p.got.event.Type == typeFailed; !differs || failed && !r.expected[p.got.failed()] {
			continue
		}
		if compared || p.got != nil && p.got.event.Type == typeStorm {
			m.Differences = append(m.Differences, d)
		}
	}
	for _, f := range c.failures {
		if !r.expected[f.Rule] {
			m.Differences = append(m.Differences, Difference{Kind: KindFailed, Rule: f.Rule, Detail: f.Code + ": " + f.Detail})
		}
	}
	if len(m.Differences) > 0 {
		r.add(m)
	}
	return len(r.result.Mismatches) < maxMismatches, nil
}

func (r *run) add(m Mismatch) { r.result.Mismatches = append(r.result.Mismatches, m) }
