package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Environment gives what never changes: schemas, and texts that were published. Its errors are the machine's.
type Environment interface {
	// Schemas finds schemas by type; a type that no schema has is left out.
	Schemas(ctx context.Context, types []string) (advance.Schemas, error)
	// Program is a workflow as the bundle holds it that was published at a sequence.
	Program(ctx context.Context, workflow string, bundle int64) (*flow.Program, error)
	// Recorded is an event of the tenant's log that was folded before; nil: there is none of that sequence.
	Recorded(ctx context.Context, sequence int64) (*Input, error)
}

// Bundle is a set of a tenant as it is in force.
type Bundle struct {
	Sequence int64 // of its rules.published
	Version  int64
	Set      *ruleset.Set
}

// Input is an event of the tenant's log, with its data in the form that expressions see.
type Input struct {
	Event event.Recorded
	Data  map[string]any
}

// Out is what an event did.
type Out struct {
	Events   []event.Event // in order; envelopes have no numbers yet
	Visits   []Visit
	Started  int
	Ended    int
	Moved    int // activations
	Rejected int
	Merged   int // merges of subjects and unmerges
	Refused  int // those that changed nothing
	Stale    int // timers that fired and are armed no more
	Cost     uint64
}

// Visit says which tasks of a workflow an activation ran without an error, which failed, what it derived and what it told.
type Visit struct {
	Workflow  string
	Instance  string
	Ran       []string
	Failed    []advance.Failure
	Outputs   []advance.Output
	Lifecycle *advance.Lifecycle // nil: there was nothing to tell
}

// Fold is one tenant's workflows at a sequence of the log. It is for one goroutine.
type Fold struct {
	tenant string
	store  Store
	env    Environment
	bundle *Bundle // nil: nothing was published
	heard  map[*flow.Program]*hears
	out    Out
	most   uint64 // units that an event may cost; 0: any number

	versions []Version             // by which instances run
	asked    map[string][]question // of them, by type of the event, as far as it was worked out

	watch advance.Watcher // nil: nobody asks why
}

// New folds the workflows of a tenant from what a store holds on. bundle is what is in force there; nil: nothing is.
func New(tenant string, store Store, env Environment, bundle *Bundle) *Fold {
	return &Fold{tenant: tenant, store: store, env: env, bundle: bundle, heard: map[*flow.Program]*hears{}}
}

// Watch has a watcher hear what activations ask from here on.
func (f *Fold) Watch(w advance.Watcher) { f.watch = w }

// Begin begins an event: what is put from here on can be taken back by Rollback.
func (f *Fold) Begin() {
	f.store.Begin()
	f.out = Out{}
}

// Rollback takes back what was put since Begin. The caller does so after an error of Publish, Before or After.
func (f *Fold) Rollback() {
	f.store.Rollback()
	f.out = Out{}
}

// Take gives what the event did since Begin.
func (f *Fold) Take() Out { return f.out }

// Apply folds a whole event of a tenant that has no rules. With an error nothing of it is kept.
func (f *Fold) Apply(ctx context.Context, in Input) (Out, error) {
	f.Begin()
	err := f.Before(ctx, in)
	if err == nil {
		err = f.After(ctx, in)
	}
	if err != nil {
		f.Rollback()
		return Out{}, err
	}
	return f.out, nil
}

// Publish switches to a bundle, at its rules.published. Instances go on by the texts that they started with.
func (f *Fold) Publish(ctx context.Context, b *Bundle) error {
	before := f.bundle
	f.bundle = b
	err := f.keepCircles(ctx)
	if err != nil {
		f.bundle = before
	}
	return err
}

// Before does all of an event that comes before rules: verbs, contacts, timers, what instances hear, and what ends claims of pools.
func (f *Fold) Before(ctx context.Context, in Input) error {
	ev := &in.Event
	if err := f.resume(ctx, in); err != nil {
		return err
	}
	switch {
	case ev.Type == typeTimerRefused:
		return f.refused(ctx, in)
	case strings.HasPrefix(ev.Type, "engine."):
		if err := f.engine(ctx, in); err != nil {
			return err
		}
	case strings.HasPrefix(ev.Type, "workflow.") && verbs[ev.Type] != nil:
		return f.verb(ctx, in)
	case ev.Type == typeTenantSuspended:
		f.store.PutNamed(KindTenant, Suspended, []byte("{}"))
	case ev.Type == typeTenantResumed:
		f.store.PutNamed(KindTenant, Suspended, nil)
	case ev.Type == typeErased:
		return f.erase(ctx, in)
	case Merges(ev.Type):
		if err := f.merges(ctx, in); err != nil {
			return err
		}
	}
	if err := f.contacts(ctx, in); err != nil || ev.EffectiveOrigin() == event.OriginEcho {
		return err
	}
	if ev.Type == typeFired {
		return f.fired(ctx, in)
	}
	if err := f.hear(ctx, in); err != nil {
		return err
	}
	return f.pools(ctx, in)
}

// After does what comes after rules: it starts workflows.
func (f *Fold) After(ctx context.Context, in Input) error {
	if f.bundle == nil || f.bundle.Set == nil {
		return nil
	}
	for _, p := range f.bundle.Set.Starts(in.Event.Type) {
		if err := f.start(ctx, p, in); err != nil {
			return err
		}
	}
	return nil
}

// Types of events that move instances besides those that files name.
const (
	typeFired           = "timer.fired"
	typeTimerRefused    = "engine.timer.refused"
	typeTenantSuspended = "tenant.suspended"
	typeTenantResumed   = "tenant.resumed"
	typeErased          = "subject.erased"
	typeConsent         = "consent.changed"
	typeReset           = "engine.rule.reset"
	typeStorm           = "engine.storm.detected"
	typeFailed          = "engine.rule.failed"
)

func positionTime(e *event.Recorded) time.Time {
	return time.UnixMilli(event.PositionTime(e.Position)).UTC()
}

// corrects reports whether an event corrects history: what it says is older than what was decided since, and ends or starts nothing.
func corrects(e *event.Recorded) bool { return e.Deriver == "corrections" }

func (f *Fold) set() *ruleset.Set {
	if f.bundle == nil || f.bundle.Set == nil {
		return &ruleset.Set{}
	}
	return f.bundle.Set
}

// program is the text of a version.
func (f *Fold) program(ctx context.Context, name string, bundle int64) (*flow.Program, error) {
	if f.bundle != nil && f.bundle.Sequence == bundle {
		if p := f.set().Workflow(name); p != nil {
			return p, nil
		}
	}
	p, err := f.env.Program(ctx, name, bundle)
	if err != nil {
		return nil, fmt.Errorf("read the workflow %s of the bundle at %d: %w", name, bundle, err)
	}
	if p == nil {
		return nil, fmt.Errorf("instances run by the workflow %s of the bundle at %d, and its text is gone", name, bundle)
	}
	return p, nil
}

// environment is what an activation of an instance depends on; without a key it is that of a trigger, which assigns nothing.
func (f *Fold) environment(ctx context.Context, p *flow.Program, key, lead string, in Input) (advance.Env, error) {
	set := f.set()
	env := advance.Env{Calendars: reach.Local(set.Calendars), Policy: set.Policy, Reference: set.Reference(), Corrects: corrects, Contact: reach.Contact{Lead: lead},
		Watch: f.watch}
	h := f.index(p)
	var err error
	env.EventKey = func(key string) (string, error) {
		key, _, err := f.keyOf(ctx, in, key)
		return key, err
	}
	if env.Schemas, err = f.schemas(ctx, h, in.Event.Type); err != nil {
		return env, err
	}
	if lead != "" {
		if env.Contact, err = f.contact(ctx, lead); err != nil {
			return env, err
		}
		env.Lead, env.Contact.Lead = env.Contact.Lead, lead
	}
	if env.Pace, err = f.pace(ctx); err != nil {
		return env, err
	}
	if key == "" {
		return env, nil
	}
	for _, name := range h.pools {
		p, known, err := f.pool(ctx, name, key, positionTime(&in.Event), f.watch != nil)
		if err != nil {
			return env, err
		}
		if known {
			if env.Pools == nil {
				env.Pools = map[string]advance.Pool{}
			}
			env.Pools[name] = p
		}
	}
	return env, nil
}

// value runs an expression that is not an instance's; ok is false where it gives no text, or fails by the data.
func value(ctx context.Context, p *expr.Program, vars map[string]any) (text string, cost uint64, ok bool, err error) {
	v, cost, err := p.Run(ctx, vars)
	if err = machine(err); err != nil {
		return "", cost, false, err
	}
	text, ok = v.(string)
	return text, cost, ok, nil
}

// machine is an error unless it is the data's.
func machine(err error) error {
	var bad *expr.EvalError
	if errors.As(err, &bad) && bad.Code != expr.CodeDeadline {
		return nil
	}
	return err
}

// said are the variables of an expression about an event.
func (f *Fold) said(in Input) map[string]any {
	vars := map[string]any{"event": func() any { return expr.EventVars(in.Event) }, "data": expr.Visible(in.Data)}
	f.set().Reference().Bind(vars)
	return vars
}
