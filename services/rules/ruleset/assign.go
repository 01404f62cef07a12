package ruleset

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
	"github.com/neuronx/engine/services/rules/window"
)

// Limits of windows: what they keep of a subject is written at each event that they count.
const (
	MaxRuleWindows = 4
	MaxWindows     = 16 // of a bundle
)

// Assign has a rule give its key to a member of a pool.
type Assign struct {
	Pool   string
	As     string        // variable that takes the member
	Except *expr.Program // members that are not picked; nil: all may be
	Or     *expr.Program // the member when nobody is eligible; nil: the rule fails then

	line int
}

// Window counts events about a subject.
type Window struct {
	Name     string
	On       []string
	When     *expr.Program // which of them count, over event and data; nil: all
	Over     time.Duration
	Distinct *expr.Program // whose different values are counted; nil: none
	Def      string        // see window.Def

	line int
}

// Counting is a window of a rule that counts events of a type.
type Counting struct {
	Rule   *Rule
	Window *Window
}

// Key is what the window's counts are kept under.
func (c Counting) Key() string { return c.Rule.Name + "/" + c.Window.Name }

// Counting lists the windows that count events of a type, by rule and name.
func (s *Set) Counting(typ string) []Counting { return s.counting[typ] }

// Window finds a window by its key; nil: the set has none.
func (s *Set) Window(key string) *Window { return s.windows[key] }

// Assigns reports whether a rule of the set assigns from a pool.
func (s *Set) Assigns() bool {
	return slices.ContainsFunc(s.Rules, func(r *Rule) bool { return r.Assign != nil })
}

// count enters the windows of the set's rules, which are sorted.
func (s *Set) count() rulefile.Problems {
	for _, r := range s.Rules {
		for i := range r.Windows {
			if s.windows == nil {
				s.windows, s.counting = map[string]*Window{}, map[string][]Counting{}
			}
			c := Counting{r, &r.Windows[i]}
			s.windows[c.Key()] = c.Window
			for _, typ := range c.Window.On {
				s.counting[typ] = append(s.counting[typ], c)
			}
		}
	}
	if len(s.windows) > MaxWindows {
		return rulefile.Problems{{File: "the bundle", Code: rulefile.CodeTooLarge, Message: fmt.Sprintf("the rules have %d windows, more than %d", len(s.windows), MaxWindows)}}
	}
	return nil
}

// assignsOrCounts reports whether a file of a rule has a key that came with assignSemantics.
func assignsOrCounts(root *yaml.Node) bool {
	for _, key := range []string{"assign", "windows"} {
		if under(under(root, "spec"), key) != nil {
			return true
		}
	}
	return false
}

// under is the value of a key of a map; nil: there is none.
func under(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// assign reads what a rule assigns. Expressions that are read after it see the member.
func (r parser) assign(rule *Rule, n, key *yaml.Node) {
	if key != nil {
		if n == nil {
			r.Problem(key.Line, rulefile.CodeNoEffect, "key says to what assign gives a member, and the rule has no assign; leave it out")
		}
		rule.Key = r.Expression(key, "key", "string")
	}
	if n == nil {
		return
	}
	m := r.Entries(n, "assign", 2, "pool", "as", "except", "or")
	a := &Assign{line: n.Line}
	if v, ok := r.Scalar(m["pool"], "assign.pool"); ok {
		if !rulefile.ValidName(v) {
			r.Problem(m["pool"].Line, rulefile.CodeInvalidName, "assign.pool is %q, and the name of a Lookup is 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(v))
		}
		a.Pool = v
	}
	if v, ok := r.Scalar(m["as"], "assign.as"); ok {
		if !rulefile.ValidKey(v) {
			r.Problem(m["as"].Line, rulefile.CodeInvalidName, "assign.as is %q, and a variable is 1 to 63 of a-z, 0-9 and _, a letter first", rulefile.Cut(v))
		}
		a.As = v
	}
	if e := m["except"]; e != nil {
		if a.Except = r.Expression(e, "assign.except", ""); a.Except != nil && !isList(a.Except.ResultType()) {
			r.Problem(e.Line, rulefile.CodeNotAssignable, "assign.except gives %s and must give a list of members, as in 'has(state.owner) ? [state.owner] : []'", a.Except.ResultType())
		}
	}
	if m["or"] != nil {
		a.Or = r.Expression(m["or"], "assign.or", "string")
	}
	rule.Assign = a
	r.Variables = append(slices.Clone(r.Variables), "vars")
}

func isList(typ string) bool { return typ == "dyn" || len(typ) >= 4 && typ[:4] == "list" }

// windows reads what a rule counts. Expressions that are read after it see the counts.
func (r parser) windows(rule *Rule, n *yaml.Node) {
	if n == nil {
		return
	}
	switch {
	case n.Kind != yaml.MappingNode:
		r.Problem(n.Line, rulefile.CodeWrongKind, "windows must be a map from names to what they count, as in calls: {on: [activity.recorded], over: P7D}")
		return
	case len(n.Content) == 0:
		r.Problem(n.Line, rulefile.CodeEmpty, "windows is an empty map; leave it out or name a window")
	case len(n.Content)/2 > MaxRuleWindows:
		r.Problem(n.Line, rulefile.CodeTooLarge, "windows has %d entries, more than %d", len(n.Content)/2, MaxRuleWindows)
		return
	}
	sees := r.Variables
	r.Variables = variables[:2] // state is what rules make of events, and a window counts events
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || !rulefile.ValidKey(name.Value) {
			r.Problem(name.Line, rulefile.CodeInvalidName, "the name %q of a window is not 1 to 63 of a-z, 0-9 and _, a letter first", rulefile.Cut(name.Value))
			continue
		}
		rule.Windows = append(rule.Windows, r.window(name, v))
	}
	r.Variables = append(slices.Clone(sees), "windows")
	slices.SortFunc(rule.Windows, func(a, b Window) int { return cmp.Compare(a.Name, b.Name) })
}

func (r parser) window(name, n *yaml.Node) Window {
	where := "windows." + name.Value
	w := Window{Name: name.Value, line: name.Line}
	m := r.Entries(n, where, 2, "on", "over", "when", "distinct")
	texts := []string{w.Name}
	if types, ok := r.Texts(m["on"], where+".on", MaxTriggers); ok {
		w.On = r.triggers(m["on"], types)
		texts = append(texts, w.On...)
	}
	if m["when"] != nil {
		w.When = r.Expression(m["when"], where+".when", "bool")
	}
	if m["distinct"] != nil {
		w.Distinct = r.Expression(m["distinct"], where+".distinct", "")
	}
	for _, p := range []*expr.Program{w.When, w.Distinct} {
		source := ""
		if p != nil {
			source = p.Source()
		}
		texts = append(texts, source)
	}
	w.Over = r.over(m["over"], where+".over")
	w.Def = window.Def(w.Over, texts...)
	return w
}

// over reads the length of a window.
func (r parser) over(n *yaml.Node, where string) time.Duration {
	text, ok := r.Scalar(n, where)
	if !ok {
		return 0
	}
	d, err := calendar.ParseDuration(text)
	over := d.Elapsed + time.Duration(d.Days)*24*time.Hour
	switch {
	case err != nil:
		r.Problem(n.Line, rulefile.CodeDuration, "%s: %v", where, err)
	case d.Months != 0:
		r.Problem(n.Line, rulefile.CodeDuration, "%s is %s, and months are not equally long; write days, as in P30D", where, text)
	case over < window.Shortest || over > window.Longest:
		r.Problem(n.Line, rulefile.CodeDuration, "%s is %s and must be PT1M to P%dD", where, text, window.Longest/(24*time.Hour))
	default:
		return over
	}
	return 0
}

// programs are the expressions of a window.
func (w *Window) programs() (out []*expr.Program) {
	for _, p := range []*expr.Program{w.When, w.Distinct} {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// seen are the types of what expressions of a rule see besides event, data and state.
func (r *Rule) seen(vars map[string]expr.Type) {
	if r.Assign != nil {
		vars["vars"] = expr.Type{Kind: expr.Object, Name: "vars", Fields: map[string]expr.Type{r.Assign.As: {Kind: expr.Text}}}
	}
	if len(r.Windows) == 0 {
		return
	}
	all := expr.Type{Kind: expr.Object, Name: "windows", Fields: map[string]expr.Type{}}
	for i := range r.Windows {
		w := &r.Windows[i]
		one := expr.Type{Kind: expr.Object, Name: "windows." + w.Name, Fields: map[string]expr.Type{"count": {Kind: expr.Int}, "rate": {Kind: expr.Double}}}
		if w.Distinct != nil {
			one.Fields["distinct"] = expr.Type{Kind: expr.Int}
		}
		all.Fields[w.Name] = one
	}
	vars["windows"] = all
}

// pool checks that the pool of assign is one.
func (v *validator) pool() {
	a := v.rule.Assign
	if a == nil || a.Pool == "" || v.reference == nil || slices.Contains(v.pools, a.Pool) {
		return
	}
	hint := "it has no pool; add one to a file of the kind Lookup, as in pool: {}"
	if near := expr.Nearest(a.Pool, v.pools); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(v.pools) > 0 {
		hint = "it has " + strings.Join(v.pools, ", ")
	}
	v.Problem(a.line, rulefile.CodeUnknownName, "assign.pool: the bundle has no pool %s; %s", rulefile.Cut(a.Pool), hint)
}

// windows checks the expressions of windows against each type of event that they count.
func (v *validator) windows(ctx context.Context) error {
	for i := range v.rule.Windows {
		w := &v.rule.Windows[i]
		records, err := v.heard(ctx, w.On, w.line, "windows."+w.Name+".on")
		if err != nil {
			return err
		}
		if len(records) == 0 || len(records) < len(w.On) {
			continue
		}
		for _, typ := range w.On {
			vars := map[string]expr.Type{"data": typecheck.Data(typ, records), "event": typecheck.Event(typ, w.On)}
			v.reference.Declare(vars)
			proven, err := v.Check(w.When, vars, nil, true, typ)
			if err != nil {
				return err
			}
			if _, err := v.Check(w.Distinct, vars, proven, false, typ); err != nil {
				return err
			}
		}
		v.Tell(w.On)
		if w.When != nil {
			v.Gives(w.When, "bool")
		}
	}
	return nil
}

// pools are the names of the lookups that are pools, sorted.
func (s *Set) pools() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Lookups)) {
		if s.Lookups[name].Pool != nil {
			out = append(out, name)
		}
	}
	return out
}

// claimWarnings names rules whose claims the pool's release and follow never find: a rule without a key claims for the event's subject, such as
// lead/42, and a pool that looks for data.lead_id looks for 42. Then nothing is ever released, and in the end the pool has no room.
func claimWarnings(set *Set) (ps rulefile.Problems) {
	for _, r := range set.Rules {
		if r.Assign == nil || r.Key != nil && strings.TrimSpace(r.Key.Source()) != "event.subject" {
			continue
		}
		l := set.Lookup(r.Assign.Pool)
		if l == nil || l.Pool == nil {
			continue
		}
		of := map[string]*expr.Program{}
		if l.Pool.Release != nil {
			of["release"] = l.Pool.Release.Key
		}
		if l.Pool.Follow != nil {
			of["follow"] = l.Pool.Follow.Key
		}
		for _, what := range slices.Sorted(maps.Keys(of)) {
			key := of[what]
			if key == nil || key.Reads("event") || strings.Contains(key.Source(), "/") { // it gives a subject
				continue
			}
			ps = append(ps, rulefile.Problem{File: r.File, Line: r.Assign.line, Rule: r.Name, Code: rulefile.CodeClaim, Warning: true, Message: fmt.Sprintf(
				"assign: without a key the member gets the event's subject, such as lead/42, and %s of the pool %s looks for %s, which is never that: the claim stays; write key: %s",
				what, r.Assign.Pool, rulefile.Cut(key.Source()), rulefile.Cut(key.Source()))})
			break
		}
	}
	return ps
}

// texts warns of a key or a member that may be null.
func (v *validator) texts() {
	ps := []*expr.Program{v.rule.Key}
	if v.rule.Assign != nil {
		ps = append(ps, v.rule.Assign.Or)
	}
	for _, p := range ps {
		if p == nil {
			continue
		}
		for _, path := range v.MayBe(p) {
			v.Warn(v.Locations[p].Line, rulefile.CodeNullable, "%s must be a text and %s may be null: %s; test it first, or give another value, as in %s == null ? … : %s",
				v.Locations[p].Where, path, v.Fails, path, path)
		}
	}
}
