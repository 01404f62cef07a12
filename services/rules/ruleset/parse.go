package ruleset

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// File is one text of a bundle.
type File struct {
	Name string // within the bundle, such as qualify.yaml
	Text string
}

// parseFile reads one file of a bundle that may have left more expressions. The rule is nil when there is nothing to go on with.
func parseFile(f File, edition expr.Edition, left *int) (*Rule, Problems) {
	r := &reader{file: f.Name, left: left, edition: edition, text: f.Text, locations: map[*expr.Program]location{}}
	root := r.document([]byte(f.Text))
	if root == nil {
		return nil, r.problems
	}
	top := r.entries(root, "the file", 4, "apiVersion", "kind", "metadata", "spec")
	if v, ok := r.scalar(top["apiVersion"], "apiVersion"); ok && v != "neuronx/v1" {
		r.problem(top["apiVersion"].Line, CodeWrongVersion, "apiVersion is %q; this engine reads neuronx/v1", v)
	}
	if v, ok := r.scalar(top["kind"], "kind"); ok && v != "Rule" {
		r.problem(top["kind"].Line, CodeWrongVersion, "kind is %q; a rule file has kind Rule", v)
	}
	rule := &Rule{File: f.Name, line: root.Line, locations: r.locations}
	if m := top["metadata"]; m != nil {
		meta := r.entries(m, "metadata", 1, "name")
		if v, ok := r.scalar(meta["name"], "metadata.name"); ok {
			if !validName(v) {
				r.problem(meta["name"].Line, CodeInvalidName, "the name %q is not 1 to 63 of a-z, 0-9 and single hyphens", cut(v))
			}
			rule.Name, r.rule = v, v
		}
	}
	if s := top["spec"]; s != nil {
		r.spec(rule, s)
	}
	return rule, r.problems
}

func (r *reader) spec(rule *Rule, n *yaml.Node) {
	spec := r.entries(n, "spec", 1, "on", "origins", "when", "emit", "set")
	if types, ok := r.texts(spec["on"], "on", MaxTriggers); ok {
		rule.On = r.triggers(spec["on"], types)
	}
	rule.Origins = []event.Origin{event.OriginLive}
	if names, ok := r.texts(spec["origins"], "origins", 5); ok {
		rule.Origins = nil
		for i, name := range names {
			if o := event.Origin(name); !o.Valid() || o == event.OriginEcho {
				r.problem(spec["origins"].Content[i].Line, CodeUnknownOrigin, "no origin %q; there are live, import, backfill and redrive", cut(name))
			} else {
				rule.Origins = append(rule.Origins, o)
			}
		}
	}
	if spec["when"] != nil {
		rule.When = r.expression(spec["when"], "when", "bool")
	}
	if e := spec["emit"]; e != nil {
		r.emits(rule, e)
	}
	if s := spec["set"]; s != nil {
		rule.Set = r.assignments(s, "set", MaxSet)
	}
	if spec["emit"] == nil && spec["set"] == nil && len(spec) > 0 {
		r.problem(n.Line, CodeNoEffect, "the rule does nothing; add emit or set")
	}
}

func (r *reader) triggers(n *yaml.Node, types []string) []string {
	for i, t := range types {
		line := n.Content[i].Line
		switch {
		case !event.ValidType(t):
			r.problem(line, CodeUnknownType, "%q is not an event type such as lead.created", cut(t))
		case strings.HasPrefix(t, "engine."):
			r.problem(line, CodeReservedTrigger, "no rule may listen to %s: engine.* tells about rules, and a rule on it could feed itself", t)
		case slices.Index(types, t) != i:
			r.problem(line, CodeDuplicateKey, "%s stands twice in on; keep one", t)
		}
	}
	return types
}

func (r *reader) emits(rule *Rule, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, CodeWrongKind, "emit must be a list of maps with type and data")
		return
	}
	if len(n.Content) == 0 {
		r.problem(n.Line, CodeEmpty, "emit is an empty list; leave it out or name an event")
	}
	if len(n.Content) > MaxEmit {
		r.problem(n.Line, CodeTooLarge, "emit has %d entries, more than %d", len(n.Content), MaxEmit)
		return
	}
	for _, c := range n.Content {
		m := r.entries(c, "each entry of emit", 2, "type", "data", "subject")
		e := Emit{line: c.Line}
		if t, ok := r.scalar(m["type"], "type"); ok {
			e.Type = t
			if !event.ValidType(t) {
				r.problem(m["type"].Line, CodeUnknownType, "%q is not an event type such as lead.qualified", cut(t))
			} else if event.Reserved(t) && !mayEmit(t) {
				r.problem(m["type"].Line, CodeReservedEmit, "a rule may not emit %s; of the reserved types only crm.*.requested are for rules", t)
			}
		}
		if m["subject"] != nil {
			e.Subject = r.expression(m["subject"], "subject", "string")
		}
		if m["data"] != nil {
			r.broken = nil
			e.Data = r.assignments(m["data"], "data", MaxFields)
			e.broken = r.broken
		}
		rule.Emit = append(rule.Emit, e)
	}
}

// mayEmit tells the reserved types that are commands for an adapter, which is what rules are for.
func mayEmit(typ string) bool {
	return strings.HasPrefix(typ, "crm.") && strings.HasSuffix(typ, ".requested")
}

func (r *reader) assignments(n *yaml.Node, where string, most int) []Assignment {
	if n.Kind != yaml.MappingNode {
		r.problem(n.Line, CodeWrongKind, "%s must be a map from names to expressions", where)
		return nil
	}
	if len(n.Content)/2 > most {
		r.problem(n.Line, CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content)/2, most)
		return nil
	}
	if len(n.Content) == 0 {
		r.problem(n.Line, CodeEmpty, "%s is an empty map; name at least one key", where)
	}
	var out []Assignment
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || !keyPattern.MatchString(k.Value) {
			r.problem(k.Line, CodeInvalidName, "the key %q of %s is not 1 to 63 of a-z, 0-9 and _, a letter first", cut(k.Value), where)
			continue
		}
		if p := r.expression(v, where+"."+k.Value, ""); p != nil {
			out = append(out, Assignment{k.Value, p, k.Line})
		} else {
			r.broken = append(r.broken, k.Value)
		}
	}
	slices.SortFunc(out, func(a, b Assignment) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// expression compiles a scalar. want is the type that the result must have, if it is known before a run.
func (r *reader) expression(n *yaml.Node, where, want string) *expr.Program {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!timestamp" || n.Tag == "!!binary" {
		r.problem(n.Line, CodeWrongKind, "%s must be one CEL expression; write a literal time as timestamp('2026-01-31T00:00:00Z')", where)
		return nil
	}
	// Counted before it is compiled: half a megabyte holds fifty thousand expressions, which take long to compile and do not fit in memory.
	if *r.left--; *r.left < 0 {
		if *r.left == -1 {
			r.problem(n.Line, CodeTooLarge, "the bundle has more than %d expressions; fewer rules or fields", MaxExpressions)
		}
		return nil
	}
	at := location{where, n.Line, n.Column}
	p, err := expr.CompileIn(r.edition, n.Value, variables...)
	if ce := (*expr.CompileError)(nil); errors.As(err, &ce) {
		for _, problem := range ce.Problems {
			hint := ""
			if strings.HasPrefix(problem.Message, "undeclared reference") {
				hint = "; expressions see event, data and state, and a literal text needs quotes of its own, as in '\"hot\"'"
			}
			line, column := at.find(r.text, n.Value, problem)
			r.problemAt(line, column, CodeInvalidExpression, "%s: %s%s", where, problem.Message, hint)
		}
		return nil
	} else if err != nil {
		r.problem(n.Line, CodeInvalidExpression, "%s: %v", where, err)
		return nil
	}
	if t := p.ResultType(); want != "" && t != want && t != "dyn" {
		r.problem(n.Line, CodeNotAssignable, "%s gives %s and must give %s", where, t, want)
	}
	r.locations[p] = at
	for _, f := range p.Fields("event") {
		if !slices.Contains(expr.EventFields(), f) {
			r.problem(n.Line, CodeUnknownField, "%s: event has no field %q; it has %s", where, f, strings.Join(expr.EventFields(), ", "))
		}
	}
	return p
}

// cut keeps hostile names out of terminals.
func cut(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
