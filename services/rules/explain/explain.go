package explain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Event is what rules and workflows did about one event of the log. Sequences are texts: they pass 2^53.
type Event struct {
	Alarms    []string     `json:"alarms"` // what comes out otherwise than it is recorded; empty: nothing does
	Tenant    string       `json:"tenant_id"`
	ID        string       `json:"id"`
	Type      string       `json:"type"`
	Subject   string       `json:"subject"`
	Sequence  string       `json:"sequence"`
	Recorded  time.Time    `json:"recordedtime"`
	Origin    event.Origin `json:"origin"`
	Version   int64        `json:"version"`          // of the bundle in force; 0: the tenant had published none
	Published string       `json:"bundle,omitempty"` // sequence of its rules.published
	Pending   string       `json:"pending,omitempty"`
	Rules     []Rule       `json:"rules"`     // that listen to the type, by name
	Workflows []Workflow   `json:"workflows"` // that the type may start or move, by name
	NotHeard  []string     `json:"not_heard"` // rules and workflows that no event of the type concerns, by name
	Notes     []string     `json:"notes"`     // what was cut, and what could not be told

	sequence int64
}

// Outcomes of a rule.
const (
	Fired    = "fired"     // its condition held
	No       = "no"        // its condition did not hold
	Failed   = "failed"    // it could not be evaluated
	Off      = "off"       // it had tripped
	NotAsked = "not asked" // it listens to the type, and not to an event of this kind
)

// Rule is what one rule did.
type Rule struct {
	Rule    string     `json:"rule"`
	Outcome string     `json:"outcome"` // fired, no, failed, off or not asked
	Why     string     `json:"why,omitempty"`
	When    *Condition `json:"when,omitempty"`  // absent: the rule has none
	Picks   []Picked   `json:"picks,omitempty"` // whom it assigned to, and whom that was among
	Set     []Value    `json:"set,omitempty"`   // keys of the subject's state, with what they were set to
	Outputs []Output   `json:"outputs,omitempty"`
}

// Condition is an expression that had to hold, with what it came to.
type Condition struct {
	Source string  `json:"source"`
	Holds  *bool   `json:"holds"` // null: it could not be evaluated
	Parts  []Part  `json:"parts"` // the operands of && and ||
	Values []Value `json:"values"`
}

// Part is an operand of && or || of a condition. Each is evaluated, also where nothing depended on it.
type Part struct {
	Source string `json:"source"`
	Result string `json:"result"` // true, false, or why it has none
}

// Value is a value by name, in words: a number, "a text", null, absent, list of 3, or • where it is personal.
type Value struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Personal bool   `json:"personal,omitempty"` // it is hidden, or would be
}

// Bounds of what is told.
const (
	maxTold   = 50 // names, notes and outputs in a list
	maxValue  = 80 // bytes of a value
	maxSource = 400
)

// Explainer folds an excerpt of a tenant's log, and explains events of it. It is for one goroutine.
type Explainer struct {
	tenant   string
	registry rules.Registry
	sandbox  *rules.Sandbox
	personal bool // values of personal fields are shown
	tainted  map[string]bool
	of       *ruleset.Set // whose rules tainted has

	aliases alias.Aliases // subjects that were merged into others
}

// New explains events of a tenant. With personal, values of personal fields are shown.
func New(tenant string, reg rules.Registry, personal bool) *Explainer {
	return begun(tenant, reg, rules.NewExcerpt(tenant, reg, &rules.Compiled{}), personal)
}

// NewWhole explains events of a tenant whose rules assign from pools, or count: it needs all events from the tenant's first, but those that the rules
// skipped. Recall finds an event that was passed, for a workflow that a person asked to start on it.
func NewWhole(tenant string, reg rules.Registry, personal bool, recall func(ctx context.Context, sequence int64) (*event.Recorded, error)) *Explainer {
	return begun(tenant, reg, rules.NewWhole(tenant, reg, &rules.Compiled{}, recall), personal)
}

func begun(tenant string, reg rules.Registry, sandbox *rules.Sandbox, personal bool) *Explainer {
	x := &Explainer{tenant: tenant, registry: reg, sandbox: sandbox, personal: personal, tainted: map[string]bool{}, aliases: alias.Aliases{}}
	x.sandbox.Merged(func(_ context.Context, subject string) (string, error) { return x.aliases.Resolve(subject), nil })
	return x
}

// merge takes in a merge of subjects, as the fold of workflows does: what is about the one is about the other from here on.
func (x *Explainer) merge(ctx context.Context, r *event.Recorded) error {
	if !workflows.Merges(r.Type) {
		return nil
	}
	data, err := x.sandbox.Decode(ctx, r)
	if err != nil {
		return fmt.Errorf("read event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	from, into := text(data, "from"), text(data, "into")
	if r.Type == "subject.merged" {
		x.aliases, _ = x.aliases.Merge(from, into, r.Sequence) // one that is refused changes nothing
	} else {
		x.aliases, _, _ = x.aliases.Unmerge(from, into)
	}
	return nil
}

// Pass takes in an event that is not to be explained, and on which others depend.
func (x *Explainer) Pass(ctx context.Context, r event.Recorded) error {
	if err := x.merge(ctx, &r); err != nil {
		return err
	}
	if _, err := x.sandbox.Apply(ctx, r); err != nil {
		return fmt.Errorf("fold event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	return x.taint(ctx)
}

// Explain takes in the next event of the excerpt, and says what rules did about it. What became of their outputs is for Judge.
func (x *Explainer) Explain(ctx context.Context, r event.Recorded) (Event, error) {
	out := begin(r)
	if err := x.merge(ctx, &r); err != nil {
		return out, err
	}
	about := r.Subject
	if set, _, _ := x.sandbox.InForce(); set != nil && set.Semantics >= FlowSemantics {
		about = x.aliases.Resolve(about)
	}
	if about != r.Subject {
		out.note("%s was merged into %s: rules go by the state of that one", r.Subject, about)
	}
	before := x.sandbox.State(about)
	off := map[string]string{}
	if set, _, _ := x.sandbox.InForce(); set != nil {
		for _, rule := range set.Rules {
			off[rule.Name] = x.sandbox.Off(rule.Name)
		}
	}
	taken, err := x.sandbox.Apply(ctx, r)
	if err != nil {
		return out, fmt.Errorf("fold event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	if err := x.taint(ctx); err != nil {
		return out, err
	}
	set, version, sequence := x.sandbox.InForce()
	if set == nil {
		out.note("the tenant had published no rules")
		return out, nil
	}
	out.Version, out.Published = version, strconv.FormatInt(sequence, 10)
	data, err := x.sandbox.Seen(ctx, &r)
	if err != nil {
		return out, fmt.Errorf("read event %d of %s: %w", r.Sequence, x.tenant, err)
	}
	hidden, err := x.hidden(ctx, &r)
	if err != nil {
		return out, err
	}
	vars := map[string]any{"event": expr.EventVars(r), "data": data, "state": map[string]any(before)}
	set.Reference().Bind(vars)
	heard := set.For(r.Type)
	for _, rule := range set.Rules {
		if !slices.Contains(heard, rule) || strings.HasPrefix(r.Type, "engine.") {
			out.NotHeard = append(out.NotHeard, rule.Name)
			continue
		}
		told := Rule{Rule: rule.Name}
		if vars["windows"], err = x.sandbox.Counts(ctx, rule, about, &r); err != nil {
			return out, err
		}
		for _, p := range taken.Picks {
			if p.Rule == rule.Name {
				told.Picks = append(told.Picks, picked("assign", p.Pick))
				vars["vars"] = map[string]any{rule.Assign.As: p.Member}
			}
		}
		told.Outcome, told.Why = outcome(rule, &r, taken, off[rule.Name])
		if told.Outcome == Fired || told.Outcome == No || told.Outcome == Failed {
			if told.When, err = condition(ctx, rule.When, vars, x.personal, hidden); err != nil {
				return out, err
			}
		}
		if told.Outcome == Fired {
			if told.Set, err = x.set(ctx, rule, vars, hidden); err != nil {
				return out, err
			}
		}
		for _, e := range taken.Derived {
			if rules.DerivedBy(&e) == rule.Name || e.Subject == "rule/"+rule.Name {
				told.Outputs = append(told.Outputs, Output{Type: e.Type, ID: e.ID, Subject: e.Subject, derived: &e})
			}
		}
		out.Rules = append(out.Rules, told)
	}
	if err := x.workflows(ctx, &out, set, &r, vars, hidden); err != nil {
		return out, err
	}
	if n := len(out.NotHeard); n > maxTold {
		out.NotHeard = out.NotHeard[:maxTold]
		out.note("%d more rules and workflows are not concerned", n-maxTold)
	}
	return out, nil
}

// Skipped is an event that an operator had the rules leave out.
func Skipped(r event.Recorded) Event {
	e := begin(r)
	e.note("an operator had the rules skip this event: they did nothing about it")
	return e
}

func begin(r event.Recorded) Event {
	return Event{
		Tenant: r.TenantID, ID: r.ID, Type: r.Type, Subject: r.Subject, Sequence: strconv.FormatInt(r.Sequence, 10), Recorded: r.RecordedTime.UTC(), Origin: r.EffectiveOrigin(),
		Alarms: []string{}, Rules: []Rule{}, Workflows: []Workflow{}, NotHeard: []string{}, Notes: []string{}, sequence: r.Sequence,
	}
}

// Number is the event's sequence.
func (e *Event) Number() int64 { return e.sequence }

func (e *Event) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

// outcome says what became of a rule that listens to the type, in the order in which the service asks.
func outcome(rule *ruleset.Rule, r *event.Recorded, taken rules.Taken, off string) (what, why string) {
	for _, f := range taken.Failures {
		if f.Rule == rule.Name {
			return Failed, f.Code + ": " + f.Detail
		}
	}
	for _, ran := range taken.Runs {
		if ran.Rule == rule.Name && ran.Fired {
			return Fired, ""
		}
		if ran.Rule == rule.Name {
			return No, ""
		}
	}
	origins := make([]string, len(rule.Origins))
	for i, o := range rule.Origins {
		origins[i] = string(o)
	}
	switch {
	case r.EffectiveOrigin() == event.OriginEcho:
		return NotAsked, "the event is an echo of our own write, which no rule hears"
	case r.Quiet != "":
		return NotAsked, "the event is marked as quiet (" + clip(r.Quiet, maxValue) + "), and no rule hears it"
	case !rule.FiresOn(r.EffectiveOrigin()):
		return NotAsked, fmt.Sprintf("the event has the origin %s, and the rule hears %s", r.EffectiveOrigin(), strings.Join(origins, ", "))
	case off != "":
		return Off, "tripped: " + off
	}
	return NotAsked, "it was not evaluated"
}

// condition evaluates a condition again; nil where there is none.
func condition(ctx context.Context, p *expr.Program, vars map[string]any, personal bool, hidden func([]string) bool) (*Condition, error) {
	if p == nil {
		return nil, nil
	}
	out := &Condition{Source: clip(strings.Join(strings.Fields(p.Source()), " "), maxSource), Parts: []Part{}, Values: []Value{}}
	holds, _, err := p.RunBool(ctx, vars)
	if err == nil {
		out.Holds = &holds
	}
	t, err := p.Trace(ctx, vars)
	if err != nil {
		return nil, fmt.Errorf("evaluate a condition again: %w", err)
	}
	for _, part := range t.Parts {
		out.Parts = append(out.Parts, Part{Source: clip(part.Source, maxSource), Result: result(part)})
	}
	for _, r := range t.Reads {
		v := Value{Name: clip(r.Source, maxSource), Personal: slices.ContainsFunc(r.From, hidden)}
		switch {
		case r.Absent:
			v.Value = "absent"
		case v.Personal && !personal && r.Value != nil:
			v.Value = Hidden
		case r.Err != nil:
			v.Value = r.Err.Error()
		default:
			v.Value = Text(r.Value)
		}
		out.Values = append(out.Values, v)
	}
	if t.Cut > 0 {
		out.Values = append(out.Values, Value{Name: "…", Value: strconv.Itoa(t.Cut) + " more are not shown"})
	}
	return out, nil
}

// result is what a part came to. Only true and false are told: anything else may repeat what stands in a personal field.
func result(p expr.TracePart) string {
	if p.Err != nil {
		return p.Err.Error()
	}
	if b, is := p.Result.(bool); is {
		return strconv.FormatBool(b)
	}
	return "neither true nor false"
}

// set says which keys of state a rule that fired set.
func (x *Explainer) set(ctx context.Context, rule *ruleset.Rule, vars map[string]any, hidden func([]string) bool) ([]Value, error) {
	var out []Value
	for _, a := range rule.Set {
		v := Value{Name: a.Key, Personal: touches(a.Expr, hidden)}
		got, _, err := a.Expr.Run(ctx, vars)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("evaluate what a rule sets: %w", ctx.Err())
		case err != nil:
			v.Value = err.Error()
		case v.Personal && !x.personal && got != nil:
			v.Value = Hidden
		default:
			v.Value = Text(got)
		}
		out = append(out, v)
	}
	return out, nil
}
