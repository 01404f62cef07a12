package ruleset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/tables"
)

// KindRule is the kind of rules. Before semantics 5 there is no other.
const KindRule = "Rule"

// Kinds that came with workflows.
const (
	KindWorkflow = "Workflow"
	KindPolicy   = "ContactPolicy"
)

var (
	kinds5 = []string{KindRule, tables.KindLookup, tables.KindCalendar}
	kinds6 = append(slices.Clone(kinds5), KindWorkflow, KindPolicy)
)

// SemanticsOf is the version of semantics that a bundle is published under: 7 for one whose rules assign or count, or with more than 500 files; 6 for
// one that has workflows or a contact policy; 5 for one that has lookups or calendars, or that calls functions which came with them; 4 for all others. So what a bundle derives does not change because a
// newer build publishes it, and an older build can go on with it.
func SemanticsOf(files []File) int64 {
	if len(bounds(assignSemantics, files)) > 0 {
		return plainSemantics
	}
	if len(files) > fewFiles {
		return assignSemantics
	}
	least := int64(plainSemantics)
	for _, f := range files {
		if strings.HasSuffix(f.Name, tables.Suffix) {
			continue // it belongs to a lookup
		}
		r := rulefile.Reader{File: f.Name, Text: f.Text}
		root := r.Document([]byte(f.Text))
		if root == nil {
			continue
		}
		switch k := rulefile.Kind(root); {
		case k == KindWorkflow || k == KindPolicy:
			least = max(least, flowSemantics)
		case k == KindRule && assignsOrCounts(root):
			return assignSemantics
		case k != KindRule && slices.Contains(kinds5, k) || least < tableSemantics && needs(root) >= expr.Edition3:
			least = max(least, tableSemantics)
		}
	}
	return least
}

// needs is the edition that the expressions in a file need. Every text in it is asked: what is no expression calls nothing.
func needs(n *yaml.Node) expr.Edition {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "(") {
		return expr.Needs(n.Value)
	}
	most := expr.Edition2
	for _, c := range n.Content {
		most = max(most, needs(c))
	}
	return most
}

// assembled is what the files of a bundle hold.
type assembled struct {
	set              *Set    // nil: there are problems that are no warnings
	rules            []*Rule // all that could be read, with names that stand twice
	flows            []*flow.Program
	policy           *flow.Policy
	calendars, pools []string // names, sorted
	refer            *expr.Reference
	problems         rulefile.Problems
}

// part is what one file holds: a rule, a lookup, a calendar, a workflow or a contact policy; none, if it can't be read.
type part struct {
	name, noun string
	workflow   *flow.Program
	policy     *flow.Policy
	rule       *Rule
	lookup     *tables.Lookup
	calendar   *calendar.Calendar
}

// reach is what flow.Options.Reach is.
type reach func(eventType string) string

// assemble reads and compiles the files of a bundle, which are sorted and within bounds. between is called before each file and may be nil.
func assemble(files []File, semantics int64, between func(), reaches reach) assembled {
	b := bundleReader{semantics: semantics, reaches: reaches, left: rulefile.MaxExpressions, texts: map[string]string{}, named: map[string]bool{}}
	for _, f := range files {
		b.texts[f.Name] = f.Text
	}
	set := &Set{Hash: Hash(files), Semantics: semantics, byType: map[string][]*Rule{}, emits: map[string][]string{}, sets: map[string]bool{}, Lookups: map[string]*tables.Lookup{}, Calendars: map[string]*calendar.Calendar{}}
	var all assembled
	names, nouns := map[string]string{}, map[string]string{}
	for _, f := range files {
		if b.isTable(f.Name) {
			continue
		}
		if between != nil {
			between()
		}
		p, problems := b.file(f)
		all.problems = append(all.problems, problems...)
		if p.rule != nil {
			all.rules = append(all.rules, p.rule)
		}
		if p.workflow != nil {
			all.flows = append(all.flows, p.workflow)
		}
		if p.policy != nil {
			if all.policy != nil {
				all.problems = append(all.problems, rulefile.Problem{File: f.Name, Rule: p.name, Code: rulefile.CodeDuplicateRule,
					Message: fmt.Sprintf("the file %s is a contact policy already, and a bundle has one, because caps hold over all workflows; put both into one file", all.policy.File)})
			} else {
				all.policy = p.policy
			}
		}
		if p.name == "" {
			continue
		}
		if other, twice := names[p.name]; twice {
			all.problems = append(all.problems, rulefile.Problem{File: f.Name, Rule: p.name, Code: rulefile.CodeDuplicateRule,
				Message: fmt.Sprintf("the file %s has a %s of the name %s already; rename one", other, nouns[p.name], p.name)})
			continue
		}
		names[p.name], nouns[p.name] = f.Name, p.noun
		switch {
		case p.rule != nil:
			set.Rules = append(set.Rules, p.rule)
		case p.lookup != nil:
			set.Lookups[p.name] = p.lookup
		case p.calendar != nil:
			set.Calendars[p.name] = p.calendar
		case p.workflow != nil:
			set.Workflows = append(set.Workflows, p.workflow)
		case p.policy != nil:
			set.Policy = p.policy
		}
	}
	all.problems = append(all.problems, b.unnamed(files)...)
	if !b.broken {
		for _, name := range slices.Sorted(maps.Keys(set.Lookups)) {
			all.problems = append(all.problems, set.Lookups[name].CheckPool(set.Calendars)...)
		}
	}
	all.calendars = slices.Sorted(maps.Keys(set.Calendars))
	all.pools = set.pools()
	if semantics >= 5 {
		set.reference = referenceOf(set)
		if !b.broken {
			all.refer = set.reference // with a file that can't be read, what it has is not known
		}
	}
	if len(all.flows) > MaxWorkflows {
		all.problems = append(all.problems, rulefile.Problem{File: "the bundle", Code: rulefile.CodeTooLarge, Message: fmt.Sprintf("the bundle has %d workflows, more than %d", len(all.flows), MaxWorkflows)})
	}
	if all.problems.Err() != nil {
		return all
	}
	slices.SortFunc(set.Workflows, func(a, b *flow.Program) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range set.Workflows {
		for _, t := range p.Start.On {
			if set.starts == nil {
				set.starts = map[string][]*flow.Program{}
			}
			set.starts[t] = append(set.starts[t], p)
		}
	}
	slices.SortFunc(set.Rules, func(a, b *Rule) int { return cmp.Compare(a.Name, b.Name) })
	for _, r := range set.Rules {
		for _, t := range r.On {
			set.byType[t] = append(set.byType[t], r)
			for _, e := range r.Emit {
				set.emits[t] = append(set.emits[t], e.Type)
			}
		}
		for _, a := range r.Set {
			set.sets[a.Key] = true
		}
	}
	for t, types := range set.emits {
		slices.Sort(types)
		set.emits[t] = slices.Clip(slices.Compact(types))
	}
	set.claiming = poolsByType(set.Lookups)
	if problems := set.count(); len(problems) > 0 {
		all.problems = append(all.problems, problems...)
		return all
	}
	all.set = set
	return all
}

// poolsByType are the names of pools by the types that end their claims or pass them on, sorted.
func poolsByType(lookups map[string]*tables.Lookup) map[string][]string {
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(lookups)) {
		p := lookups[name].Pool
		if p == nil {
			continue
		}
		var on []string
		if p.Release != nil && p.Release.Key != nil {
			on = append(on, p.Release.On...)
		}
		if p.Follow != nil {
			on = append(on, p.Follow.On...)
		}
		slices.Sort(on)
		for _, t := range slices.Compact(on) {
			out[t] = append(out[t], name)
		}
	}
	return out
}

func referenceOf(set *Set) *expr.Reference {
	lookups, calendars := make(map[string]*expr.Lookup, len(set.Lookups)), make(map[string]expr.Calendar, len(set.Calendars))
	for name, l := range set.Lookups {
		lookups[name] = l.Rowset()
	}
	for name, c := range set.Calendars {
		calendars[name] = c
	}
	return expr.NewReference(lookups, calendars)
}

// bundleReader reads the files of one bundle.
type bundleReader struct {
	semantics int64
	left      int               // expressions that the bundle may still have
	texts     map[string]string // by file
	named     map[string]bool   // tables that a lookup names
	broken    bool              // a lookup or calendar can't be read
	reaches   reach             // nil: the schemas are not known
}

// isTable tells a table of comma-separated values, which belongs to the lookup that names it.
func (b *bundleReader) isTable(name string) bool {
	return b.semantics >= 5 && strings.HasSuffix(name, tables.Suffix)
}

// unnamed refuses tables that no lookup names: they were meant for one.
func (b *bundleReader) unnamed(files []File) (ps rulefile.Problems) {
	for _, f := range files {
		if b.isTable(f.Name) && !b.named[f.Name] && !b.broken {
			ps = append(ps, rulefile.Problem{File: f.Name, Code: rulefile.CodeNoEffect, Message: "no lookup of the bundle names this table; name it as in csv: " + f.Name + ", or leave it out"})
		}
	}
	return ps
}

// file reads one file.
func (b *bundleReader) file(f File) (part, rulefile.Problems) {
	if b.semantics >= 5 {
		r := &rulefile.Reader{File: f.Name, Left: &b.left, Edition: editionOf(b.semantics), Text: f.Text, Variables: variables[:2], Locations: map[*expr.Program]rulefile.Location{}}
		root := r.Document([]byte(f.Text))
		if root == nil {
			return part{}, r.Problems
		}
		switch rulefile.Kind(root) {
		case tables.KindLookup:
			l, name, problems := tables.ReadLookup(r, root, b.texts)
			if l == nil {
				b.broken = true
			} else if l.Table != "" {
				b.named[l.Table] = true
			}
			return part{name: name, noun: "lookup", lookup: l}, problems
		case tables.KindCalendar:
			c, name := tables.ReadCalendar(r, root)
			b.broken = b.broken || c == nil
			return part{name: name, noun: "calendar", calendar: c}, r.Problems
		case KindWorkflow:
			if b.semantics >= flowSemantics {
				p, problems := flow.Parse(f.Name, f.Text, b.options())
				if p == nil {
					return part{}, problems
				}
				return part{name: p.Name, noun: "workflow", workflow: p}, problems
			}
		case KindPolicy:
			if b.semantics >= flowSemantics {
				p, problems := flow.ParsePolicy(f.Name, f.Text, b.options())
				if p == nil {
					return part{}, problems
				}
				return part{name: p.Name, noun: "contact policy", policy: p}, problems
			}
		}
	}
	rule, problems := parseFile(f, b.semantics, &b.left)
	if rule == nil {
		return part{}, problems
	}
	return part{name: rule.Name, noun: "rule", rule: rule}, problems
}

func (b *bundleReader) options() flow.Options {
	return flow.Options{Edition: editionOf(b.semantics), Left: &b.left, Reach: b.reaches}
}

// Lookup finds a lookup by its name; nil: the set has none.
func (s *Set) Lookup(name string) *tables.Lookup { return s.Lookups[name] }

// Reference is what expressions of the set find by name; nil before semantics 5.
func (s *Set) Reference() *expr.Reference { return s.reference }

// Weight is what the set takes to hold and to compile, in expressions: eight cells of a lookup count as one.
func (s *Set) Weight() int {
	n := s.Expressions()
	for _, l := range s.Lookups {
		n += 1 + l.Cells()/8
	}
	for _, p := range s.Workflows {
		n += p.Expressions()
	}
	return n
}
