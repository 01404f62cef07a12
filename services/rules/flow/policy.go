package flow

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Channels over which a person is reached. A channel that no adapter has is a misspelt one, and would leave people without protection.
var channels = []string{"sms", "call", "whatsapp", "email"}

// IsChannel reports whether a policy can name a channel.
func IsChannel(name string) bool { return slices.Contains(channels, name) }

// maxRules bounds the caps and the grants of a policy.
const maxRules = 32

// ParsePolicy reads and compiles the file of a contact policy. The policy is nil when there is nothing to go on with; with problems that are
// no warnings it is for ValidatePolicy alone.
func ParsePolicy(file, text string, o Options) (*Policy, rulefile.Problems) {
	r := policyReader{reader(file, text, o)}
	root, spec := header(r.Reader, "ContactPolicy")
	if root == nil {
		return nil, r.Problems
	}
	p := &Policy{Name: r.Rule, File: file, Basis: map[string]Basis{}, Quiet: map[string]string{}, Pace: map[string]Pace{}, locations: r.Locations, text: text, line: root.Line}
	if spec != nil {
		r.spec(p, spec)
	}
	return p, r.Problems
}

type policyReader struct{ *rulefile.Reader }

func (r policyReader) spec(p *Policy, n *yaml.Node) {
	m := r.Entries(n, "spec", 0, "consent", "quiet_hours", "caps", "pace", "grants")
	if m == nil {
		return
	}
	if len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeNoEffect, "the policy says nothing; add consent, quiet_hours, caps, pace or grants, or take the file out")
	}
	r.each(m["consent"], "consent", func(channel string, v *yaml.Node, where string) {
		if basis := word(r.Reader, v, where, string(OptIn), string(OptOut)); basis != "" {
			p.Basis[channel] = Basis(basis)
		}
	})
	r.each(m["quiet_hours"], "quiet_hours", func(channel string, v *yaml.Node, where string) {
		if name := named(r.Reader, v, where); name != "" {
			p.Quiet[channel] = name
		}
	})
	r.each(m["pace"], "pace", func(channel string, v *yaml.Node, where string) {
		k := r.Entries(v, where, 2, "most", "per")
		pace := Pace{Most: integer(r.Reader, k["most"], where+".most", 1, 1_000_000)}
		pace.Per, _ = length(r.Reader, k["per"], where+".per")
		p.Pace[channel] = pace
	})
	r.list(m["caps"], "caps", func(c *yaml.Node, where string) {
		k := r.Entries(c, where, 3, "channel", "most", "per", "over")
		if k == nil {
			return
		}
		limit := Cap{Most: integer(r.Reader, k["most"], where+".most", 1, 1_000)}
		if name, ok := r.Scalar(k["channel"], where+".channel"); ok {
			limit.Channel = name
			if name != "*" {
				r.channel(name, k["channel"].Line, where+".channel", ", or * for all")
			}
		}
		limit.Per, _ = length(r.Reader, k["per"], where+".per")
		limit.Skip = word(r.Reader, k["over"], where+".over", "defer", "skip") == "skip"
		if slices.ContainsFunc(p.Caps, func(c Cap) bool { return c.Channel == limit.Channel && c.Per == limit.Per }) {
			r.Problem(c.Line, rulefile.CodeDuplicateKey, "caps has two entries of %s in that time; keep one", rulefile.Cut(limit.Channel))
		}
		p.Caps = append(p.Caps, limit)
	})
	r.list(m["grants"], "grants", func(c *yaml.Node, where string) {
		if g, ok := r.grant(c, where); ok {
			p.Grants = append(p.Grants, g)
		}
	})
}

// grant reads consent that an event carries.
func (r policyReader) grant(n *yaml.Node, where string) (Grant, bool) {
	k := r.Entries(n, where, 3, "on", "channel", "basis", "when", "lead")
	if k == nil {
		return Grant{}, false
	}
	g := Grant{On: types(r.Reader, k["on"], where+".on"), line: n.Line}
	r.Variables = heard
	if w := k["when"]; w != nil {
		g.When = r.Expression(w, where+".when", "bool")
	}
	if l := k["lead"]; l != nil {
		g.Lead = r.Expression(l, where+".lead", "string")
	}
	if name, ok := r.Scalar(k["channel"], where+".channel"); ok {
		g.Channel = name
		r.channel(name, k["channel"].Line, where+".channel", "")
	}
	if basis, ok := r.Scalar(k["basis"], where+".basis"); ok {
		g.Basis = strings.TrimSpace(basis)
		if g.Basis == "" || len(g.Basis) > 200 {
			r.Problem(k["basis"].Line, rulefile.CodeEmpty, "%s.basis is what a person would be shown as the reason; write 1 to 200 bytes of text, such as \"box ticked on the web form\"", where)
		}
	}
	return g, true
}

// each reads a map whose keys are channels.
func (r policyReader) each(n *yaml.Node, where string, read func(channel string, v *yaml.Node, where string)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a map from channels, of which there are %s", where, strings.Join(channels, ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if r.channel(name, n.Content[i].Line, where, "") {
			read(name, n.Content[i+1], where+"."+name)
		}
	}
}

func (r policyReader) channel(name string, line int, where, more string) bool {
	if slices.Contains(channels, name) {
		return true
	}
	hint := "there are " + strings.Join(channels, ", ") + more
	if near := expr.Nearest(name, channels); near != "" {
		hint = "did you mean " + near + "?"
	}
	r.Problem(line, rulefile.CodeUnknownName, "%s: no channel %q; %s", where, rulefile.Cut(name), hint)
	return false
}

// list reads a list of maps.
func (r policyReader) list(n *yaml.Node, where string, read func(c *yaml.Node, where string)) {
	switch {
	case n == nil:
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0:
		r.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a list of maps", where)
	case len(n.Content) > maxRules:
		r.Problem(n.Line, rulefile.CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content), maxRules)
	default:
		for _, c := range n.Content {
			read(c, "each entry of "+where)
		}
	}
}
