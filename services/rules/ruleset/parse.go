package ruleset

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// File is one text of a bundle.
type File struct {
	Name string // within the bundle, such as qualify.yaml
	Text string
}

// parseFile reads a rule's file of a bundle of a version of semantics that may have left more expressions. The rule is nil when there is nothing to go on with.
func parseFile(f File, semantics int64, left *int) (*Rule, rulefile.Problems) {
	r := parser{&rulefile.Reader{File: f.Name, Left: left, Edition: editionOf(semantics), Text: f.Text, Variables: variables, Locations: map[*expr.Program]rulefile.Location{}}, semantics >= assignSemantics}
	root := r.Document([]byte(f.Text))
	if root == nil {
		return nil, r.Problems
	}
	top := r.Entries(root, "the file", 4, "apiVersion", "kind", "metadata", "spec")
	if v, ok := r.Scalar(top["apiVersion"], "apiVersion"); ok && v != "neuronx/v1" {
		r.Problem(top["apiVersion"].Line, rulefile.CodeWrongVersion, "apiVersion is %q; this engine reads neuronx/v1", v)
	}
	if v, ok := r.Scalar(top["kind"], "kind"); ok && v != KindRule {
		r.Problem(top["kind"].Line, rulefile.CodeWrongVersion, "kind is %q; %s", v, kindHint(semantics))
	}
	rule := &Rule{File: f.Name, line: root.Line, locations: r.Locations}
	if m := top["metadata"]; m != nil {
		meta := r.Entries(m, "metadata", 1, "name")
		if v, ok := r.Scalar(meta["name"], "metadata.name"); ok {
			if !rulefile.ValidName(v) {
				r.Problem(meta["name"].Line, rulefile.CodeInvalidName, "the name %q is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(v))
			}
			rule.Name, r.Rule = v, v
		}
	}
	if s := top["spec"]; s != nil {
		r.spec(rule, s)
	}
	return rule, r.Problems
}

// before7 are the keys of a rule before assignSemantics.
var before7 = []string{"on", "origins", "when", "emit", "set"}

// parser reads a rule.
type parser struct {
	*rulefile.Reader
	assigns bool // it may assign and count
}

func (r parser) spec(rule *Rule, n *yaml.Node) {
	var spec map[string]*yaml.Node
	if r.assigns {
		spec = r.Entries(n, "spec", 1, "on", "origins", "when", "emit", "set", "key", "assign", "windows")
	} else {
		spec = r.Entries(n, "spec", 1, before7...)
	}
	if types, ok := r.Texts(spec["on"], "on", MaxTriggers); ok {
		rule.On = r.triggers(spec["on"], types)
	}
	rule.Origins = []event.Origin{event.OriginLive}
	if names, ok := r.Texts(spec["origins"], "origins", 5); ok {
		rule.Origins = nil
		for i, name := range names {
			if o := event.Origin(name); !o.Valid() || o == event.OriginEcho {
				r.Problem(spec["origins"].Content[i].Line, rulefile.CodeUnknownOrigin, "no origin %q; there are live, import, backfill and redrive", rulefile.Cut(name))
			} else {
				rule.Origins = append(rule.Origins, o)
			}
		}
	}
	r.windows(rule, spec["windows"])
	if spec["when"] != nil {
		rule.When = r.Expression(spec["when"], "when", "bool")
	}
	r.assign(rule, spec["assign"], spec["key"])
	if e := spec["emit"]; e != nil {
		r.emits(rule, e)
	}
	if s := spec["set"]; s != nil {
		rule.Set = r.Assignments(s, "set", MaxSet)
	}
	if spec["emit"] == nil && spec["set"] == nil && len(spec) > 0 {
		r.Problem(n.Line, rulefile.CodeNoEffect, "the rule does nothing; add emit or set")
	}
}

func (r parser) triggers(n *yaml.Node, types []string) []string {
	for i, t := range types {
		line := n.Content[i].Line
		switch {
		case !event.ValidType(t):
			r.Problem(line, rulefile.CodeUnknownType, "%q is not an event type such as lead.created", rulefile.Cut(t))
		case strings.HasPrefix(t, "engine."):
			r.Problem(line, rulefile.CodeReservedTrigger, "no rule may listen to %s: engine.* tells about rules, and a rule on it could feed itself", t)
		case slices.Index(types, t) != i:
			r.Problem(line, rulefile.CodeDuplicateKey, "%s stands twice in on; keep one", t)
		}
	}
	return types
}

func (r parser) emits(rule *Rule, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.Problem(n.Line, rulefile.CodeWrongKind, "emit must be a list of maps with type and data")
		return
	}
	if len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeEmpty, "emit is an empty list; leave it out or name an event")
	}
	if len(n.Content) > MaxEmit {
		r.Problem(n.Line, rulefile.CodeTooLarge, "emit has %d entries, more than %d", len(n.Content), MaxEmit)
		return
	}
	for _, c := range n.Content {
		m := r.Entries(c, "each entry of emit", 2, "type", "data", "subject")
		e := Emit{line: c.Line}
		if t, ok := r.Scalar(m["type"], "type"); ok {
			e.Type = t
			if !event.ValidType(t) {
				r.Problem(m["type"].Line, rulefile.CodeUnknownType, "%q is not an event type such as lead.qualified", rulefile.Cut(t))
			} else if neverEmitted(t) {
				r.Problem(m["type"].Line, rulefile.CodeReservedEmit, reservedEmit, t)
			}
		}
		if m["subject"] != nil {
			e.Subject = r.Expression(m["subject"], "subject", "string")
		}
		if m["data"] != nil {
			r.Broken = nil
			e.Data = r.Assignments(m["data"], "data", MaxFields)
			e.broken = r.Broken
		}
		rule.Emit = append(rule.Emit, e)
	}
}

const reservedEmit = "a rule may not emit %s; of the reserved types only crm.*.requested are for rules"

// mayEmit tells the reserved types that are commands for an adapter, which is what rules are for.
func mayEmit(typ string) bool {
	return strings.HasPrefix(typ, "crm.") && strings.HasSuffix(typ, ".requested")
}

// neverEmitted tells the reserved types that no bundle was ever published with. Others were reserved since: a bundle that was published
// before and emits one goes on with all its rules, and Validate refuses a new one.
func neverEmitted(typ string) bool {
	domain, _, _ := strings.Cut(typ, ".")
	switch domain {
	case "crm":
		return strings.HasSuffix(typ, ".succeeded") || strings.HasSuffix(typ, ".failed")
	case "subject", "workflow":
		return false
	}
	return event.Reserved(typ)
}

// unheard tells types that no rule may hear: what it derived would feed what they tell about. Of the lifecycle of instances there are the
// ends. A bundle that was published before these types were reserved goes on.
func unheard(typ string) bool {
	switch typ {
	case "workflow.completed", "workflow.cancelled", "workflow.faulted":
		return false
	}
	return strings.HasPrefix(typ, "workflow.") || strings.HasPrefix(typ, "timer.")
}

// kindHint says which kinds a file may have.
func kindHint(semantics int64) string {
	if semantics < 5 {
		return "a rule file has kind Rule"
	}
	kinds := kinds5
	if semantics >= flowSemantics {
		kinds = kinds6
	}
	return "a file of a bundle has kind " + strings.Join(kinds[:len(kinds)-1], ", ") + " or " + kinds[len(kinds)-1]
}
