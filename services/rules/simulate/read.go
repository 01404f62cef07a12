package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Codes of problems besides those of rulefile.
const (
	codeInvalidValue = "invalid_value" // a time, a duration or data that can't be
	codeUnknownRule  = "unknown_rule"  // a rule that the bundle has not
)

// Read reads tests, and checks their events against the schemas. The names are those of all tests, in the order of the files; tests are
// nil when there are problems. The error is one of the registry. inForce are the rules of the bundle, by name.
func Read(ctx context.Context, files []ruleset.File, inForce []string, reg rules.Registry) ([]Test, rulefile.Problems, error) {
	var tests []Test
	var problems rulefile.Problems
	names := map[string]string{}
	for _, f := range files {
		r := &reader{Reader: &rulefile.Reader{File: f.Name, Text: f.Text}, ctx: ctx, registry: reg, inForce: inForce, schemas: map[string]*schema{}}
		t := r.test()
		if r.err != nil {
			return nil, nil, r.err
		}
		if first, twice := names[t.Name]; twice && t.Name != "" {
			r.Problem(t.Line, rulefile.CodeDuplicateRule, "the file %s has a test of the name %s already; rename one", first, t.Name)
		}
		names[t.Name] = f.Name
		problems = append(problems, r.Problems...)
		tests = append(tests, t)
	}
	if problems.Err() != nil {
		return nil, problems.Sorted(), nil
	}
	return tests, nil, nil
}

// reader reads one file.
type reader struct {
	*rulefile.Reader
	ctx      context.Context
	registry rules.Registry
	inForce  []string
	schemas  map[string]*schema // of types that were looked up; nil: no schema has the type
	clock    time.Time          // as far as it is read
	err      error              // of the registry; the first
}

type schema struct {
	id   int32
	avro *avro.Schema
}

func (r *reader) test() Test {
	t := Test{File: r.File}
	root := r.Document([]byte(r.Text))
	if root == nil {
		return t
	}
	t.Line = root.Line
	top := r.Entries(root, "the file", 4, "apiVersion", "kind", "metadata", "spec")
	if v, ok := r.Scalar(top["apiVersion"], "apiVersion"); ok && v != "neuronx/v1" {
		r.Problem(top["apiVersion"].Line, rulefile.CodeWrongVersion, "apiVersion is %q; this engine reads neuronx/v1", rulefile.Cut(v))
	}
	if v, ok := r.Scalar(top["kind"], "kind"); ok && v != ruleset.KindTest {
		r.Problem(top["kind"].Line, rulefile.CodeWrongVersion, "kind is %q; a test has kind %s", rulefile.Cut(v), ruleset.KindTest)
	}
	if m := top["metadata"]; m != nil {
		meta := r.Entries(m, "metadata", 1, "name")
		if v, ok := r.Scalar(meta["name"], "metadata.name"); ok {
			t.Name, r.Rule = v, v
			if !rulefile.ValidName(v) {
				r.Problem(meta["name"].Line, rulefile.CodeInvalidName, "the name %q is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(v))
			}
		}
	}
	if top["spec"] != nil {
		r.spec(&t, top["spec"])
	}
	return t
}

func (r *reader) spec(t *Test, n *yaml.Node) {
	spec := r.Entries(n, "spec", 2, "start", "steps", "given", "rules")
	if names, ok := r.Texts(spec["rules"], "rules", MaxRules); ok {
		for i, name := range names {
			if !slices.Contains(r.inForce, name) {
				r.Problem(spec["rules"].Content[i].Line, codeUnknownRule, "no rule has the name %q%s", rulefile.Cut(name), near(name, r.inForce))
			}
			if slices.Index(names, name) != i {
				r.Problem(spec["rules"].Content[i].Line, rulefile.CodeDuplicateKey, "the rule %s stands twice in rules; keep one", rulefile.Cut(name))
			}
		}
		t.Rules = names
	}
	t.Start, _ = r.time(spec["start"], "start")
	r.clock = t.Start
	for _, c := range r.list(spec["given"], "given", MaxGiven) {
		if e := r.event(c, "each entry of given"); e != nil {
			t.Given = append(t.Given, *e)
		}
	}
	checks := false
	for _, c := range r.list(spec["steps"], "steps", MaxSteps) {
		s := r.step(c)
		checks = checks || s.Expects || len(s.States) > 0 || len(s.Instances) > 0
		t.Steps = append(t.Steps, s)
	}
	if len(t.Steps) > 0 && !checks {
		r.Problem(spec["steps"].Line, rulefile.CodeNoEffect, "no step says what is expected: the test can't fail; add expect, state or instance")
	}
}

// list reads a list; one that is left out has no entries, an empty one is a problem.
func (r *reader) list(n *yaml.Node, where string, most int) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind != yaml.SequenceNode:
		r.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a list", where)
		return nil
	case len(n.Content) == 0:
		r.Problem(n.Line, rulefile.CodeEmpty, "%s is an empty list; leave it out or name at least one", where)
	case len(n.Content) > most:
		r.Problem(n.Line, rulefile.CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content), most)
		return nil
	}
	return n.Content
}

// actions are the keys of a step that make something happen.
var actions = []string{"event", "outcome", "advance", "advance_to"}

func (r *reader) step(n *yaml.Node) Step {
	s := Step{Line: n.Line}
	m := r.Entries(n, "each entry of steps", 0, "event", "outcome", "advance", "advance_to", "expect", "state", "instance")
	var does []string
	for _, a := range actions {
		if m[a] != nil {
			does = append(does, a)
		}
	}
	switch {
	case len(does) > 1:
		r.Problem(m[does[1]].Line, rulefile.CodeWrongKind, "a step has one of %s, and this one has %s; write two steps", strings.Join(actions, ", "), strings.Join(does, " and "))
	case len(does) == 0 && m["expect"] != nil:
		r.Problem(m["expect"].Line, rulefile.CodeMissingKey, "nothing happens in this step, so nothing can be expected of it; add one of %s", strings.Join(actions, ", "))
	case len(does) == 0 && m["state"] == nil && m["instance"] == nil && n.Kind == yaml.MappingNode:
		r.Problem(n.Line, rulefile.CodeEmpty, "the step does nothing; add one of %s, or state or instance", strings.Join(actions, ", "))
	}
	if e := m["event"]; e != nil {
		s.Event = r.event(e, "event")
	}
	if o := m["outcome"]; o != nil {
		s.Outcome = r.outcome(o)
	}
	r.moves(m, &s)
	if e := m["expect"]; e != nil {
		s.Expects = true
		if e.Kind != yaml.SequenceNode || len(e.Content) > 0 { // an empty list expects nothing
			for _, c := range r.list(e, "expect", MaxExpect) {
				s.Expect = append(s.Expect, r.expected(c))
			}
		}
	}
	switch st := m["state"]; {
	case st == nil:
	case st.Kind == yaml.SequenceNode:
		for _, c := range r.list(st, "state", MaxExpect) {
			s.States = append(s.States, r.state(c))
		}
	default:
		s.States = append(s.States, r.state(st))
	}
	s.Instances = r.instances(m["instance"])
	return s
}

// moves reads advance and advance_to. The clock never stands still or goes back.
func (r *reader) moves(m map[string]*yaml.Node, s *Step) {
	if n := m["advance"]; n != nil {
		if text, ok := r.Scalar(n, "advance"); ok {
			d, err := parseDuration(text)
			if err != nil {
				r.Problem(n.Line, rulefile.CodeDuration, "advance: %v", err)
			}
			s.Advance = d
			r.clock = r.clock.Add(d)
		}
	}
	if n := m["advance_to"]; n != nil {
		to, ok := r.time(n, "advance_to")
		if ok && !to.After(r.clock) {
			r.Problem(n.Line, codeInvalidValue, "advance_to is %s, and the clock stands at %s already; it only goes forward", n.Value, event.FormatTime(r.clock))
			ok = false
		}
		if ok {
			s.To, r.clock = to, to
		}
	}
	if r.clock.After(latest) {
		r.Problem(s.Line, codeInvalidValue, "the clock would be after %s, where the log's time ends", event.FormatTime(latest))
		r.clock = latest
	}
}

// Bounds of the times that positions of the log can stand for.
var (
	earliest = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2199, 12, 31, 0, 0, 0, 0, time.UTC)
)

func (r *reader) time(n *yaml.Node, where string) (time.Time, bool) {
	if n == nil {
		return time.Time{}, false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
		r.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a time with its zone, as in 2026-03-06T17:28:00-05:00", where)
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		r.Problem(n.Line, codeInvalidValue, "%s is %q and must be a time with its zone, as in 2026-03-06T17:28:00-05:00 or 2026-03-06T22:28:00Z", where, rulefile.Cut(n.Value))
		return time.Time{}, false
	}
	if t = t.UTC().Truncate(time.Microsecond); t.Before(earliest) || t.After(latest) {
		r.Problem(n.Line, codeInvalidValue, "%s is %s and must lie between 1970-01-02 and 2199-12-31", where, rulefile.Cut(n.Value))
		return time.Time{}, false
	}
	return t, true
}

// parseDuration reads how much time passes: a day is 24 hours, and a month has no length.
func parseDuration(s string) (time.Duration, error) {
	p, err := calendar.ParseDuration(s)
	if err != nil {
		return 0, err
	}
	d := p.Elapsed + time.Duration(p.Days)*24*time.Hour // each at most a hundred years
	switch {
	case p.Months > 0:
		return 0, fmt.Errorf("duration %s has months or years, which are not all equally long; use advance_to", s)
	case d%time.Millisecond != 0:
		return 0, fmt.Errorf("duration %s has a part of a millisecond, and the log has none", s)
	case d == 0:
		return 0, errors.New("no time passes; leave the step out")
	case d > maxAdvance:
		return 0, fmt.Errorf("that is more than %d days; use several steps, or advance_to", maxAdvance/(24*time.Hour))
	}
	return d, nil
}

// find looks the schema of a type up; nil: none has it, and that is told.
func (r *reader) find(n *yaml.Node, typ string) *schema {
	if s, asked := r.schemas[typ]; asked && s != nil {
		return s
	}
	id, a, err := r.registry.ByType(r.ctx, typ)
	switch {
	case errors.Is(err, ruleset.ErrUnknown):
		r.Problem(n.Line, rulefile.CodeUnknownType, "no schema has the type %s%s", rulefile.Cut(typ), near(typ, r.types()))
		return nil
	case err != nil:
		if r.err == nil {
			r.err = fmt.Errorf("find the schema of %s: %w", typ, err)
		}
		return nil
	}
	r.schemas[typ] = &schema{id, a}
	return r.schemas[typ]
}

func (r *reader) types() []string {
	all, ok := r.registry.(interface {
		Types(context.Context) ([]string, error)
	})
	if !ok {
		return nil
	}
	types, err := all.Types(r.ctx)
	if err != nil {
		return nil // only for the suggestion
	}
	return types
}

// near is a suggestion, as the end of a sentence.
func near(name string, known []string) string {
	if n := expr.Nearest(name, known); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}
