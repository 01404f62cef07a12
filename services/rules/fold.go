package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Why a rule is off.
const (
	trippedFailures = "failures"
	trippedStorm    = "storm"
)

// bundle is the set of rules that is in force for a tenant.
type bundle struct {
	Sequence  int64 // of its rules.published
	EventID   string
	Version   int64
	Semantics int64
	By        string
	At        time.Time      // when it was recorded; only when just published
	Files     []ruleset.File // only when just published
	Set       *ruleset.Set   // nil: it is not compiled, and too large to be compiled while a batch waits
	Flows     bool           // it or an earlier one of the tenant has workflows
	first     bool           // just published, and the first that has
}

// environment is what a fold needs from outside: values and schemas, which never change, and states, which only this fold changes.
type environment interface {
	decode(ctx context.Context, r *event.Recorded, semantics int64) (map[string]any, error)
	schemas(ctx context.Context, types []string) (Schemas, error) // and all that were asked for before
	state(ctx context.Context, tenant, subject string) (State, error)
	missed(ctx context.Context, tenant, rule string, from, through int64, limit int) ([]int64, error) // that the fold does not hold, ascending
	event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error)
}

// fold is one tenant's rules at a sequence of the log. The live service and the shadow of a reset run the same fold; they differ in
// where its state comes from and where its outputs go.
type fold struct {
	tenant string
	env    environment
	bundle *bundle // nil: the tenant never published rules
	health map[string]Health
	states map[string]State // by subject, as loaded or changed

	published   []*bundle // in this run
	dirtyHealth map[string]bool
	dirtyStates map[string]int64 // subject → sequence
	outputs     []event.Event
	taken       []event.Recorded          // the events that were applied
	seen        int                       // of them that are noted as seen
	missed      map[string][]int64        // by rule: sequences that it missed in this run, ascending
	ran         map[string]map[int64]bool // by rule: missed before this run, and run over in it
	reruns      []rerun                   // in this run

	evaluated, fired, failed, derived int
	costs                             []uint64       // of the evaluated events, since they were counted
	over                              map[string]int // failures over a budget, by its name

	cost  uint64 // units spent so far beyond ordinaryCost an event
	bytes int    // derived and kept so far beyond ordinaryOutput an event
	size  int    // bytes of outputs

	within  time.Duration // wall time of one event; 0 is EventDeadline, and loopDeadline while a batch waits
	most    uint64        // units of one event over which apply returns errLater; 0: none
	dearest uint64        // units that one event cost at most
	dear    bool          // an event cost more than most
	compile compile
	knows   int64                         // the newest semantics that it runs
	watch   func(rule string, fired bool) // see Input.Watch
	picked  func(rule string, p advance.Pick)
	flowed  func(workflows.Out) // hears what workflows did with an event; nil: nobody asks

	merged    func(ctx context.Context, subject string) (string, error) // whom subjects were merged into, where workflows are folded elsewhere; nil: here
	flowing   flowing                                                   // nil: workflows don't run here
	workflows *workflows.Fold                                           // see flow
	lent      *workflows.Fold                                           // keeps pools and counts where workflows are folded elsewhere; nil: here
	store     workflows.Store                                           // of the workflows
	schemas   advance.Schemas                                           // that they asked for
	texts     map[int64]*ruleset.Set                                    // with workflows, by the sequence of their rules.published, of this run
	decoded   map[int64]map[string]any                                  // data of events that were read ahead, by sequence

	moved, started, ended, rejected, stale, joined, unjoined int // of instances: activations, starts, ends, refused starts; timers that nothing waited for any more, merges that were taken in or refused
}

// compile makes a set of the files of a bundle. The error is errLater.
type compile func(semantics int64, files []ruleset.File) (*ruleset.Set, rulefile.Problems, error)

func compileNow(semantics int64, files []ruleset.File) (*ruleset.Set, rulefile.Problems, error) {
	set, problems := ruleset.CompileFor(semantics, files, nil)
	return set, problems, nil
}

// errLater says that an event is not applied because batches would wait for it. Nothing of it is kept: it is applied by the catch-up, with
// the same result.
var errLater = errors.New("the event costs more than a batch may wait for")

func newFold(tenant string, env environment, b *bundle, health map[string]Health) *fold {
	if health == nil {
		health = map[string]Health{}
	}
	f := &fold{tenant: tenant, env: env, bundle: b, health: health, states: map[string]State{}, dirtyHealth: map[string]bool{}, dirtyStates: map[string]int64{},
		over: map[string]int{}, compile: compileNow, missed: map[string][]int64{}, ran: map[string]map[int64]bool{}, texts: map[int64]*ruleset.Set{},
		knows: flowSemantics - 1}
	if in, ok := env.(flowing); ok {
		f.flowing, f.knows = in, ruleset.Semantics
	}
	return f
}

// apply takes one event in: it switches the set, trips and resets rules, or evaluates, and moves and starts workflows. Derived events are
// appended to f.outputs. With an error the fold is as it was.
//
// The order is fixed: the set, what moves instances, rules, what starts instances. So what starts an instance is not heard by it.
func (f *fold) apply(ctx context.Context, r *event.Recorded) error {
	before := *f
	err := f.take(ctx, r)
	if err != nil {
		f.bundle, f.published, f.outputs, f.workflows = before.bundle, before.published, before.outputs, before.workflows
		f.cost, f.bytes, f.size, f.failed, f.derived = before.cost, before.bytes, before.size, before.failed, before.derived
		if f.workflows != nil && f.bundle != nil && r.Type == typePublished {
			f.workflows = nil // it may have switched; it is made again of what is in force
		}
	}
	return err
}

func (f *fold) take(ctx context.Context, r *event.Recorded) (err error) {
	// What no rule hears may still move an instance, or count: nothing is guessed about a bundle that a newer build put in force.
	if f.bundle != nil && f.bundle.Semantics > f.knows {
		return f.tooNew(f.bundle.Version, f.bundle.Semantics)
	}
	published := false
	if r.Type == typePublished {
		was := f.bundle
		if err := f.publish(ctx, r); err != nil {
			return err
		}
		published = f.bundle != was
	}
	from := len(f.outputs)
	w, in, err := f.beginFlows(ctx, r, published)
	if w != nil {
		defer func() {
			if err != nil {
				w.Rollback()
			}
		}()
	}
	if err != nil {
		return f.late(err)
	}
	moved := 0
	if w != nil {
		moved = len(w.Take().Events)
		// What starts instances depends on nothing that rules do, and rules change the fold at once: so starts are worked out first, and stand behind.
		if err := w.After(ctx, in); err != nil {
			return f.late(err)
		}
	}
	if strings.HasPrefix(r.Type, "engine.") {
		err = f.engine(ctx, r)
	} else {
		err = f.listen(ctx, r, in.Data)
	}
	if err != nil || w == nil {
		return err
	}
	f.endFlows(w.Take(), moved, from)
	return nil
}

// typesOfFailures are what a failing rule derives.
var typesOfFailures = []string{typeFailed}

// listen evaluates the rules that listen to an event. flows is its data as workflows see it; nil: they have not asked for it.
func (f *fold) listen(ctx context.Context, r *event.Recorded, flows map[string]any) error {
	if f.bundle != nil && f.bundle.Set == nil {
		return errLater
	}
	if f.bundle == nil || !hears(f.bundle.Set, r.Type) || r.EffectiveOrigin() == event.OriginEcho || r.Quiet != "" {
		return nil
	}
	data, err := f.ruleData(ctx, r, flows)
	if err != nil {
		return err
	}
	subject, state, err := f.about(ctx, r.Subject)
	if err != nil {
		return err
	}
	schemas, err := f.env.schemas(ctx, typesOfFailures)
	if err == nil {
		schemas, err = f.env.schemas(ctx, f.bundle.Set.Emits(r.Type))
	}
	if err != nil {
		return err
	}
	in := Input{Event: *r, Data: data, State: state, Health: f.health, Version: f.bundle.Version, Set: f.bundle.Set,
		Schemas: schemas, Semantics: f.bundle.Semantics, PublishedAt: f.bundle.Sequence, Watch: f.watch, Picked: f.picked}
	if err := f.provide(ctx, &in, subject); err != nil {
		return err
	}
	res, err := f.evaluate(ctx, in)
	if err == nil {
		err = f.keepAssigned(subject, res)
	}
	if err != nil {
		return err
	}
	f.keep(r, r, subject, res)
	for _, rule := range res.Missed {
		if len(f.missed[rule]) == 0 {
			f.cost += missedRowCost
		}
		f.cost += missedBitCost
		f.miss(rule, r.Sequence, true)
	}
	return nil
}

// keep takes in what evaluating an event about a subject changes, at the sequence of at.
func (f *fold) keep(r, at *event.Recorded, subject string, res Result) {
	f.evaluated++
	f.fired += res.Fired
	f.failed += res.Failed
	f.dearest = max(f.dearest, res.Cost)
	f.cost += res.Cost - min(res.Cost, ordinaryCost)
	f.bytes += max(0, res.Bytes-ordinaryOutput)
	f.costs = append(f.costs, res.Cost)
	for budget, n := range res.Over {
		f.over[budget] += n
	}
	for rule, h := range res.Health {
		f.setHealth(rule, h)
	}
	if res.State != nil {
		f.states[subject] = res.State
		f.dirtyStates[subject] = at.Sequence
	}
	f.outputs = slices.Grow(f.outputs, len(res.Outputs))
	for _, out := range res.Outputs {
		f.derive(r, out)
	}
}

func (f *fold) derive(r *event.Recorded, out Output) {
	if out.made == nil {
		made := derive(*r, out)
		out.made = &made
	}
	f.outputs = append(f.outputs, *out.made)
	f.size += len(out.Value)
	f.derived++
}

func (f *fold) state(ctx context.Context, subject string) (State, error) {
	if s, ok := f.states[subject]; ok {
		return s, nil
	}
	s, err := f.env.state(ctx, f.tenant, subject)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = State{}
	}
	f.states[subject] = s
	return s, nil
}

func (f *fold) setHealth(rule string, h Health) {
	f.health[rule] = h
	f.dirtyHealth[rule] = true
}

// maxRuleName bounds the name of a rule that an event tells about, in bytes.
const maxRuleName = 256

// engine takes in what is told about rules. It happens at the event's sequence, so that every replay switches at the same event.
func (f *fold) engine(ctx context.Context, r *event.Recorded) error {
	switch r.Type {
	case typeFailed, typeReset, typeRerun, typeStorm:
	default:
		return nil
	}
	data, err := f.env.decode(ctx, r, 0)
	if err != nil {
		return err
	}
	rule, _ := data["rule"].(string) // the schema has it as a required string
	if len(rule) > maxRuleName || strings.ContainsRune(rule, 0) || !utf8.ValidString(rule) {
		return nil // no rule has such a name, and no table takes it
	}
	h := f.health[rule]
	switch r.Type {
	case typeReset:
		f.setHealth(rule, Health{ResetAt: r.Sequence})
	case typeRerun:
		return f.rerun(ctx, r, rule, data)
	case typeStorm:
		if h.Tripped == "" {
			h.Tripped, h.TrippedAt = trippedStorm, r.Sequence
			h.Last = stormTold(r, data)
			f.setHealth(rule, h)
		}
	case typeFailed:
		tripped, _ := data["tripped"].(bool)
		cause, _ := data["cause_sequence"].(int64)
		// A failure from before the last reset was on its way when the operator decided: it must not undo that.
		if tripped && h.Tripped == "" && cause > h.ResetAt {
			h.Tripped, h.TrippedAt = trippedFailures, r.Sequence
			f.setHealth(rule, h)
		}
	}
	return nil
}

// publish switches the tenant's set. A bundle that can't be used is an outcome: the set in force stays.
func (f *fold) publish(ctx context.Context, r *event.Recorded) error {
	data, err := f.env.decode(ctx, r, 0)
	if err != nil {
		return err
	}
	files, version, semantics, err := ruleset.ParsePublished(data)
	var set *ruleset.Set
	var previous int64
	if f.bundle != nil {
		previous = f.bundle.Version
	}
	switch {
	case err != nil:
	case version <= previous:
		err = fmt.Errorf("version %d does not follow %d, which is in force", version, previous)
	case semantics < 1:
		err = fmt.Errorf("there is no semantics version %d", semantics)
	case semantics > f.knows:
		// Not an outcome: a newer build can use it, and would derive other events.
		return f.tooNew(version, semantics)
	default:
		var problems rulefile.Problems
		if set, problems, err = f.compile(semantics, files); err != nil {
			return err
		}
		err = problems.Err()
	}
	if err != nil {
		return f.refuseBundle(ctx, r, version, err)
	}
	had := f.bundle != nil && f.bundle.Flows
	by, _ := data["by"].(string) // absent is fine
	by = strings.ReplaceAll(strings.ToValidUTF8(by, "\uFFFD"), "\x00", "\uFFFD")
	f.bundle = &bundle{Sequence: r.Sequence, EventID: r.ID, Version: version, Semantics: semantics, By: by, At: r.RecordedTime, Files: files, Set: set,
		Flows: semantics >= flowSemantics || had, first: semantics >= flowSemantics && !had}
	if semantics >= flowSemantics {
		f.texts[r.Sequence] = set
	}
	f.published = append(f.published, f.bundle)
	f.cost += compileCost * uint64(set.Weight())
	for _, file := range files {
		f.bytes += len(file.Text) // held until the batch is written
	}
	return nil
}

func (f *fold) refuseBundle(ctx context.Context, r *event.Recorded, version int64, cause error) error {
	schemas, err := f.env.schemas(ctx, []string{typeFailed})
	if err != nil {
		return err
	}
	out, err := failed(Input{Event: *r, Version: version, Schemas: schemas}, "*", &ruleFailure{code: codeInvalidBundle, detail: cause.Error()}, false)
	if err != nil {
		return consumer.Transient(err)
	}
	f.failed++
	f.derive(r, out)
	return nil
}
