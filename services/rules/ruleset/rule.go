package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/tables"
)

// Limits of a bundle.
const (
	MaxBundle    = 512 << 10 // bytes of all texts
	MaxFiles     = 1_200     // of all kinds
	fewFiles     = 500       // of a bundle of semantics below 7
	MaxWorkflows = 100
	MaxTriggers  = 32 // types a rule listens to
	MaxEmit      = 16 // events a rule derives from one event
	MaxSet       = 32 // keys a rule sets
	MaxFields    = 200
)

// Budgets of what rules may spend on one event, in cost units (see expr.CostLimit). Validate tells what can't fit them.
const (
	RuleCost   = 150_000 // units of one rule and event
	EventCost  = 200_000 // units of all rules of one event
	OutputCost = 200     // units of one derived event: it is encoded, signed, stored and sent
)

// Semantics is the version of the evaluation's meaning that the service runs. A bundle names the one it was published under.
//
//	1  fields of any size are read; every failure counts toward a trip
//	2  fields over expr.MaxText or expr.MaxValues fail as too_large; only failures on different subjects count, and none that a size caused
//	3  decimals compare and calculate as decimals; zones are those of expr.ZoneData; no failure counts that the values of an event explain
//	4  no failure counts that any value had a part in, arithmetic included; what a rule misses while it is off is kept for a rerun
//	5  a bundle has lookups and calendars, and expressions the functions of expr.Edition3; one that uses neither is published as 4
//	6  a bundle has workflows or a contact policy
//	7  rules assign from pools, or count in windows, or there are more than 500 files
//
// The budgets of an event and what expressions cost hold under every version.
const Semantics = assignSemantics

// What a bundle is published under by what it uses.
const (
	plainSemantics  = 4
	tableSemantics  = 5
	flowSemantics   = 6
	assignSemantics = 7
)

// editionOf is the language of the expressions of a bundle.
func editionOf(semantics int64) expr.Edition {
	switch {
	case semantics >= 5:
		return expr.Edition3
	case semantics >= 3:
		return expr.Edition2
	}
	return expr.Edition1
}

// SetKey names what a bundle of a hash compiles to: the same texts mean another thing in another language.
func SetKey(hash string, semantics int64) string {
	key := fmt.Sprintf("%s/%d", hash, editionOf(semantics))
	if semantics >= flowSemantics {
		key += "/workflows" // which an older bundle of the same texts has not
	}
	if semantics >= assignSemantics {
		key += "/assign"
	}
	return key
}

// Variables are what expressions see.
var variables = []string{"event", "data", "state"}

// Rule is one compiled rule. It is immutable.
type Rule struct {
	Name    string
	File    string
	On      []string
	Origins []event.Origin
	When    *expr.Program // nil: always
	Key     *expr.Program // of what Assign gives a member; nil: the event's subject
	Assign  *Assign       // nil: nothing
	Windows []Window      // sorted by name
	Emit    []Emit
	Set     []rulefile.Assignment // sorted by key

	line      int
	locations map[*expr.Program]rulefile.Location
}

// Emit is one event that a rule derives.
type Emit struct {
	Type    string
	Subject *expr.Program         // nil: the subject of the cause
	Data    []rulefile.Assignment // sorted by field

	line   int
	broken []string // fields whose expressions do not compile
}

// FiresOn reports whether a rule wants events of an origin. No rule fires on echoes of our own writes.
func (r *Rule) FiresOn(o event.Origin) bool {
	return o != event.OriginEcho && slices.Contains(r.Origins, o)
}

// Set is a compiled bundle: the rules by name, and by the types they listen to. It is immutable.
type Set struct {
	Hash      string
	Semantics int64   // that it was compiled for
	Rules     []*Rule // sorted by name
	Lookups   map[string]*tables.Lookup
	Calendars map[string]*calendar.Calendar
	Workflows []*flow.Program // sorted by name
	Policy    *flow.Policy    // nil: none
	starts    map[string][]*flow.Program
	byType    map[string][]*Rule
	emits     map[string][]string   // by the type that is listened to
	claiming  map[string][]string   // names of lookups, by a type that changes claims
	counting  map[string][]Counting // by type
	windows   map[string]*Window    // by key
	sets      map[string]bool       // keys of state that some rule sets
	reference *expr.Reference       // what expressions find by name; nil before semantics 5
}

// Key names the set; see SetKey.
func (s *Set) Key() string { return SetKey(s.Hash, s.Semantics) }

// Sets reports whether a rule of the set sets a key of state.
func (s *Set) Sets(key string) bool { return s.sets[key] }

// Rule finds a rule by its name; nil: the set has none.
func (s *Set) Rule(name string) *Rule {
	i, found := slices.BinarySearchFunc(s.Rules, name, func(r *Rule, name string) int { return strings.Compare(r.Name, name) })
	if !found {
		return nil
	}
	return s.Rules[i]
}

// Workflow finds a workflow by its name; nil: the set has none.
func (s *Set) Workflow(name string) *flow.Program {
	i, found := slices.BinarySearchFunc(s.Workflows, name, func(p *flow.Program, name string) int { return strings.Compare(p.Name, name) })
	if !found {
		return nil
	}
	return s.Workflows[i]
}

// Pools lists, sorted, the pools that end or pass on claims when an event of a type comes.
func (s *Set) Pools(typ string) []string { return s.claiming[typ] }

// Starts lists the workflows that a type may start, sorted by name.
func (s *Set) Starts(typ string) []*flow.Program { return s.starts[typ] }

// Derives is what flow.Loops and flow.Circles need of the rules.
func (s *Set) Derives() []flow.Derives {
	out := make([]flow.Derives, 0, len(s.Rules))
	for _, r := range s.Rules {
		d := flow.Derives{Name: r.Name, On: r.On, Origins: r.Origins}
		for _, e := range r.Emit {
			d.Emits = append(d.Emits, e.Type)
		}
		out = append(out, d)
	}
	return out
}

// For lists the rules that listen to a type, sorted by name.
func (s *Set) For(typ string) []*Rule { return s.byType[typ] }

// Emits lists, sorted, the types that rules emit that listen to a type.
func (s *Set) Emits(typ string) []string { return s.emits[typ] }

// EmitTypes lists, sorted, the types that rules of the set emit.
func (s *Set) EmitTypes() []string {
	var types []string
	for _, r := range s.Rules {
		for _, e := range r.Emit {
			types = append(types, e.Type)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// Expressions counts the expressions of all rules.
func (s *Set) Expressions() (n int) {
	for _, r := range s.Rules {
		n += len(r.programs())
		for i := range r.Windows {
			n += len(r.Windows[i].programs())
		}
	}
	return n
}

// programs lists all expressions of a rule but those of its windows, which are for other events.
func (r *Rule) programs() []*expr.Program {
	var ps []*expr.Program
	add := func(p *expr.Program) {
		if p != nil {
			ps = append(ps, p)
		}
	}
	add(r.When)
	add(r.Key)
	if r.Assign != nil {
		add(r.Assign.Except)
		add(r.Assign.Or)
	}
	for _, e := range r.Emit {
		add(e.Subject)
		for _, a := range e.Data {
			add(a.Expr)
		}
	}
	for _, a := range r.Set {
		add(a.Expr)
	}
	return ps
}
