package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/typecheck"
	"github.com/neuronx/engine/services/rules/window"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Registry finds schemas: the newest of a type, and that of an id. *registry.Client is one, and so is what ruleset.Embedded returns.
type Registry interface {
	consumer.Schemas
	typecheck.Catalogue
}

// Sandbox is one tenant's rules folded in memory, by the fold of the service: what it derives, trips and sets is what the service would. It
// reads nothing and writes nothing but its own memory. It is for one goroutine.
type Sandbox struct {
	fold     *fold
	registry Registry
	known    Schemas
	log      []event.Recorded // of an excerpt: what rules missed
	excerpt  bool             // of the log: sequences have gaps
	next     int64            // least sequence of the next event
	runs     []SandboxRun
	picks    []SandboxPick
	flowed   workflows.Out    // of the last event
	recall   recall           // finds events that were applied; nil: log has them
	storms   map[string]int64 // by rule: when it was reset before the storm that was told last
}

// Compiled keeps compiled bundles, so that many sandboxes over the same files compile them once. It is for one goroutine at a time.
type Compiled struct{ kept map[string]*ruleset.Set }

// compile is compileNow, once a bundle. A bundle with problems is read again each time.
func (s *Compiled) compile(semantics int64, files []ruleset.File) (*ruleset.Set, rulefile.Problems, error) {
	key := fmt.Sprint(semantics, " ", ruleset.Hash(files))
	if set := s.kept[key]; set != nil {
		return set, nil, nil
	}
	set, problems, err := compileNow(semantics, files)
	if set != nil && problems.Err() == nil {
		if s.kept == nil {
			s.kept = map[string]*ruleset.Set{}
		}
		s.kept[key] = set
	}
	return set, problems, err
}

// SandboxRun is a rule that was evaluated on an event without failing.
type SandboxRun struct {
	Rule  string
	Fired bool // its condition held, or it has none
}

// SandboxPick is a member whom a rule picked, and whom it was picked among. What the rule did after it may have failed.
type SandboxPick struct {
	Rule string
	advance.Pick
}

// SandboxFailure is a rule that failed on an event, whether or not engine.rule.failed tells it.
type SandboxFailure struct {
	Rule string
	Failure
}

// Taken is what one event of the log did.
type Taken struct {
	Derived  []event.Event // in the order of the rules' names, with envelopes as the service gives them, without numbers
	Runs     []SandboxRun
	Picks    []SandboxPick
	Failures []SandboxFailure
	Flows    workflows.Out // what workflows did; only of a Timeline
}

// NewSandbox returns a tenant without rules. A rules.published in its log brings them.
func NewSandbox(tenant string, registry Registry, sets *Compiled) *Sandbox {
	w := &Sandbox{registry: registry, known: Schemas{}, storms: map[string]int64{}, next: 1}
	w.begin(newFold(tenant, memory{w}, nil, nil), sets)
	w.fold.watch = func(rule string, fired bool) { w.runs = append(w.runs, SandboxRun{rule, fired}) }
	return w
}

func (w *Sandbox) begin(f *fold, sets *Compiled) {
	w.fold = f
	w.fold.compile, w.fold.knows = sets.compile, ruleset.Semantics
	w.fold.picked = func(rule string, p advance.Pick) { w.picks = append(w.picks, SandboxPick{rule, p}) }
}

// NewExcerpt is NewSandbox for a part of a log: all events about some subjects, all that publish rules, and all of engine.rule.* and
// engine.storm.*. What rules do about those subjects is what they do in the whole log, but for two things: how many failures in a row a rule has,
// as failures on other subjects count too, and how many missed events one rerun gets through.
func NewExcerpt(tenant string, registry Registry, sets *Compiled) *Sandbox {
	w := NewSandbox(tenant, registry, sets)
	w.excerpt = true
	return w
}

// Apply takes in the next event of the log, which must have the next sequence; of an excerpt, a higher one. The error is one of the machine or of
// the caller, never of a rule.
func (w *Sandbox) Apply(ctx context.Context, r event.Recorded) (Taken, error) {
	if r.Sequence < w.next || r.Sequence > w.next && !w.excerpt {
		return Taken{}, fmt.Errorf("the event has sequence %d, and %d is the next of the log", r.Sequence, w.next)
	}
	w.next = r.Sequence + 1
	if w.recall == nil && !w.excerpt {
		w.log = append(w.log, r)
	}
	w.flowed = workflows.Out{}
	w.runs, w.picks, w.fold.outputs, w.fold.published, w.fold.costs = nil, nil, nil, nil, nil
	clear(w.fold.dirtyHealth)
	clear(w.fold.dirtyStates)
	err := w.fold.apply(ctx, &r)
	if err != nil {
		return Taken{}, err
	}
	if w.excerpt && w.missedNow(r.Sequence) {
		w.log = append(w.log, r)
	}
	out := Taken{Derived: w.fold.outputs, Runs: w.runs, Picks: w.picks, Flows: w.flowed}
	for _, rule := range slices.Sorted(maps.Keys(w.fold.dirtyHealth)) {
		if last := w.fold.health[rule].Last; last.Code != "" && last.Sequence == r.Sequence && last.Code != trippedStorm {
			out.Failures = append(out.Failures, SandboxFailure{rule, last})
		}
	}
	return out, nil
}

// missedNow reports whether a rule missed the event that was applied last: a rerun asks for it.
func (w *Sandbox) missedNow(sequence int64) bool {
	for _, missed := range w.fold.missed {
		if n := len(missed); n > 0 && missed[n-1] == sequence {
			return true
		}
	}
	return false
}

// InForce is the bundle that the rules run by, and the sequence at which it was published; nil: none was.
func (w *Sandbox) InForce() (set *ruleset.Set, version, sequence int64) {
	b := w.fold.bundle
	if b == nil {
		return nil, 0, 0
	}
	return b.Set, b.Version, b.Sequence
}

// Off says why a rule is off: failures or storm; empty: it is on.
func (w *Sandbox) Off(rule string) string { return w.fold.health[rule].Tripped }

// Merged tells the sandbox whom a subject was merged into. Its own fold keeps no workflows, and so no merges.
func (w *Sandbox) Merged(by func(ctx context.Context, subject string) (string, error)) {
	w.fold.merged = by
}

// Lend has rules assign from the pools of a fold, and count there. It is for a sandbox whose own fold keeps no workflows; the fold is at the event that
// is applied next.
func (w *Sandbox) Lend(f *workflows.Fold) { w.fold.lent = f }

// Counts are what the windows of a rule held about a subject when the event that was applied last was evaluated, as expressions see them.
func (w *Sandbox) Counts(ctx context.Context, rule *ruleset.Rule, subject string, e *event.Recorded) (map[string]any, error) {
	var kept window.States
	if by := w.fold.keeper(); by != nil {
		var err error
		if kept, err = by.Windows(ctx, subject); err != nil {
			return nil, err
		}
	}
	return counts(rule, kept, positionTime(e)), nil
}

// State is what rules have set about a subject, as expressions see it.
func (w *Sandbox) State(subject string) State { return maps.Clone(visible(w.fold.states[subject])) }

// Decode gives the data of an event in the form that expressions see.
func (w *Sandbox) Decode(ctx context.Context, r *event.Recorded) (map[string]any, error) {
	return memory{w}.decode(ctx, r, ruleset.Semantics)
}

// Seen gives the data of an event as the rules in force see it: rules of semantics below 3 see decimals as texts.
func (w *Sandbox) Seen(ctx context.Context, r *event.Recorded) (map[string]any, error) {
	semantics := int64(ruleset.Semantics)
	if w.fold.bundle != nil {
		semantics = w.fold.bundle.Semantics
	}
	data, err := memory{w}.decode(ctx, r, semantics)
	if err == nil && semantics >= 2 {
		data = expr.Visible(data)
	}
	return data, err
}

// Storm is what the service derives from a refusal of one of its events as a storm; told is false where that storm of the rule was
// told before.
func (w *Sandbox) Storm(ctx context.Context, refused event.Event) (e event.Event, told bool, err error) {
	known, err := memory{w}.schemas(ctx, []string{typeStorm})
	if err != nil {
		return event.Event{}, false, err
	}
	if known[typeStorm].Avro == nil {
		return event.Event{}, false, fmt.Errorf("no schema of %s: run neuronx schemas push", typeStorm)
	}
	if e, err = storm(refused, known[typeStorm]); err != nil {
		return event.Event{}, false, err
	}
	_, rule, _, err := parsePathEntry(refused.Path[len(refused.Path)-1]) // storm has read it, too
	if err != nil {
		return event.Event{}, false, err
	}
	reset := w.fold.health[rule].ResetAt
	if at, before := w.storms[rule]; before && at == reset {
		return event.Event{}, false, nil
	}
	w.storms[rule] = reset
	return e, true, nil
}

// DerivedBy names the rule that derived an event; empty: no rule did.
func DerivedBy(e *event.Event) string {
	if e.Source != Source {
		return ""
	}
	if e.Type == typeFailed || e.Type == typeStorm {
		return ""
	}
	if len(e.Path) == 0 {
		return ""
	}
	_, rule, _, err := parsePathEntry(e.Path[len(e.Path)-1])
	if err != nil {
		return ""
	}
	return rule
}

// memory is the environment of a sandbox: what the fold does not hold itself is nowhere else.
type memory struct{ *Sandbox }

func (m memory) decode(ctx context.Context, r *event.Recorded, semantics int64) (map[string]any, error) {
	return decode(ctx, consumer.NewDecoder(m.registry), r, semantics)
}

func (m memory) schemas(ctx context.Context, types []string) (Schemas, error) {
	return m.known, fillSchemas(ctx, m.registry, m.known, types)
}

func (m memory) state(context.Context, string, string) (State, error) { return nil, nil }

func (m memory) missed(context.Context, string, string, int64, int64, int) ([]int64, error) {
	return nil, nil
}

var errNotInLog = errors.New("the log in memory has no such event")

func (m memory) event(_ context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	i, found := slices.BinarySearchFunc(m.log, sequence, func(r event.Recorded, sequence int64) int { return cmp.Compare(r.Sequence, sequence) })
	if tenant != m.fold.tenant || !found {
		return nil, errNotInLog
	}
	return &m.log[i], nil
}
