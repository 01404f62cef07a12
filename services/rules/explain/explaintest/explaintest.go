// Package explaintest makes logs of one tenant for tests of what is explained: events from outside, and all that rules and workflows derive of them by
// the folds of the service, with sequences as the sequencer gives them.
package explaintest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Tenant is whose log it is.
const Tenant = "acme"

// Log is a log in memory. It is for one goroutine.
type Log struct {
	Events []event.Recorded
	Now    time.Time // of what is sent next

	t       testing.TB
	reg     rules.Registry
	rules   *rules.Sandbox
	flows   *workflows.Fold // nil: nothing with workflows was published
	store   *workflows.Memory
	sets    map[int64]*ruleset.Set
	files   map[int64][]ruleset.File
	known   advance.Schemas
	applied int
	derived int64
	outside int
}

// New returns an empty log. It begins on a Monday at noon in New York.
func New(t testing.TB, reg rules.Registry) *Log {
	return &Log{t: t, reg: reg, Now: time.Date(2026, 3, 2, 17, 0, 0, 0, time.UTC), rules: rules.NewSandbox(Tenant, reg, &rules.Compiled{}),
		store: workflows.NewMemory(), sets: map[int64]*ruleset.Set{}, files: map[int64][]ruleset.File{}, known: advance.Schemas{}}
}

// Publish publishes a bundle.
func (l *Log) Publish(version int64, files ...ruleset.File) {
	l.t.Helper()
	l.files[l.Send("rules.published", "rules/"+Tenant, ruleset.PublishedData(files, version, "test"))] = files
}

// Greeting is a bundle with a workflow: a lead is routed to ann, as bob is excepted and cai is closed, an hour later she gets a tag, and a contact ends it.
func Greeting() []ruleset.File {
	file := func(kind, name, spec string) ruleset.File {
		return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec:\n" + spec}
	}
	return []ruleset.File{
		file("Calendar", "early", "  zone: America/New_York\n  hours: {mon-fri: [\"06:00-08:00\"]}\n"),
		file("Workflow", "greet", `  start: {on: [lead.created], when: data.phone != null, key: data.lead_id, set: {source: data.source, phone: data.phone}}
  until:
    contacted: {on: [lead.contacted], status: completed}
  do:
    - route: {assign: {pool: sales, as: owner, except: '["bob"]'}}
    - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.owner}}}
    - local: {if: 'vars.phone.startsWith("+1")', set: {here: "true"}}
    - pause: {wait: {for: PT1H}}
    - tag: {if: 'vars.source == "ads"', emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["greeted"]', remove: "[]"}}}
    - rest: {wait: {for: P30D}}
`),
		file("Lookup", "sales", `  key: rep
  columns: {rep: string, weight: int, capacity: int, hours: string}
  rows: [{rep: ann, weight: 3, capacity: 25, hours: always}, {rep: bob, weight: 1, capacity: 10, hours: always}, {rep: cai, weight: 1, capacity: 10, hours: early}, {rep: dan, weight: 0, capacity: 10, hours: always}]
  pool: {weight: weight, capacity: capacity, calendar: hours}
`),
		file("Calendar", "always", "  zone: America/New_York\n  hours: {mon-sun: [\"00:00-24:00\"]}\n"),
	}
}

// Change changes an event before it is recorded.
type Change func(e *event.Event)

// Send records an event and all that comes of it, and returns its sequence.
func (l *Log) Send(typ, subject string, data map[string]any, changes ...Change) int64 {
	l.t.Helper()
	l.outside++
	e := event.Event{ID: fmt.Sprintf("outside-%d", l.outside), Source: "/test", Type: typ, Subject: subject, Time: l.Now, Value: l.value(typ, data)}
	for _, c := range changes {
		c(&e)
	}
	n := l.append(e)
	l.drain()
	return n
}

// Fire lets the clock move to the next timer's due, and fires it.
func (l *Log) Fire() {
	l.t.Helper()
	timer, there := l.store.Next()
	if !there {
		l.t.Fatal("no timer is armed")
	}
	l.Now = timer.Due.Add(time.Millisecond - 1).Truncate(time.Millisecond)
	data := map[string]any{"timer_id": timer.ID, "due": timer.Due, "rule": timer.Workflow, "instance_id": timer.Instance, "task": timer.Task, "armed_sequence": timer.Armed, "attempt": int64(1)}
	l.append(event.Event{ID: event.DerivedID(Tenant, "timer", timer.ID, "1"), Source: "/neuronx/timers", Type: "timer.fired", Subject: "timer/" + timer.ID, Time: timer.Due,
		Deriver: "timers", Value: l.value("timer.fired", data)})
	l.drain()
}

// Find is the first event of a type whose sequence is above one.
func (l *Log) Find(typ string, after int64) event.Recorded {
	l.t.Helper()
	for _, e := range l.Events {
		if e.Type == typ && e.Sequence > after {
			return e
		}
	}
	l.t.Fatalf("the log has no %s after %d", typ, after)
	return event.Recorded{}
}

func (l *Log) value(typ string, data map[string]any) []byte {
	l.t.Helper()
	id, s, err := l.reg.ByType(context.Background(), typ)
	if err != nil {
		l.t.Fatalf("%s: %v", typ, err)
	}
	body, err := s.EncodeMap(data)
	if err != nil {
		l.t.Fatalf("%s: %v", typ, err)
	}
	return event.Frame(id, body)
}

func (l *Log) append(e event.Event) int64 {
	e.TenantID, e.ContentType = Tenant, event.ContentTypeAvro
	position := event.PositionAt(l.Now.UnixMilli())
	if n := len(l.Events); n > 0 {
		position = max(position, l.Events[n-1].Position+1)
	}
	l.Events = append(l.Events, event.Recorded{Event: e, Sequence: int64(len(l.Events)) + 1, Position: position, RecordedTime: l.Now, LogID: "test"})
	return int64(len(l.Events))
}

// drain has the folds hear the log to its end.
func (l *Log) drain() {
	l.t.Helper()
	for ; l.applied < len(l.Events); l.applied++ {
		if len(l.Events) > 200_000 {
			l.t.Fatal("the log does not end")
		}
		for _, e := range l.apply(l.Events[l.applied]) {
			if e.Hops > event.MaxHops {
				told, first, err := l.rules.Storm(context.Background(), e)
				if err != nil {
					l.t.Fatal(err)
				}
				if !first {
					continue
				}
				e = told
			}
			l.derived++
			e.Deriver, e.DeriverNumber = rules.Deriver, l.derived
			l.append(e)
		}
	}
}

// apply folds one event, in the order of the service.
func (l *Log) apply(r event.Recorded) []event.Event {
	l.t.Helper()
	ctx := context.Background()
	data, err := l.rules.Decode(ctx, &r)
	if err != nil {
		l.t.Fatal(err)
	}
	published := r.Type == "rules.published"
	var taken rules.Taken
	if published || l.flows == nil {
		if taken, err = l.rules.Apply(ctx, r); err != nil {
			l.t.Fatalf("apply %s: %v", r.Type, err)
		}
	}
	if set, version, sequence := l.rules.InForce(); set != nil && l.sets[sequence] == nil && (l.flows != nil || set.Semantics >= 6) {
		l.sets[sequence] = set
		bundle := &workflows.Bundle{Sequence: sequence, Version: version, Set: set}
		if l.flows == nil {
			l.flows = workflows.New(Tenant, l.store, environment{l}, nil)
			l.rules.Merged(l.flows.Resolve)
			l.rules.Lend(l.flows)
		}
		if err := l.flows.Publish(ctx, bundle); err != nil {
			l.t.Fatal(err)
		}
	}
	flows := l.flows
	if flows == nil && workflows.Remembers(r.Type) {
		flows = workflows.New(Tenant, l.store, environment{l}, nil)
	}
	if flows == nil {
		return taken.Derived
	}
	in := workflows.Input{Event: r, Data: data}
	flows.Begin()
	if err := flows.Before(ctx, in); err != nil {
		l.t.Fatalf("workflows over %s: %v", r.Type, err)
	}
	before := len(flows.Take().Events)
	if err := flows.After(ctx, in); err != nil {
		l.t.Fatalf("workflows start on %s: %v", r.Type, err)
	}
	if !published && l.flows != nil { // rules come last: what starts assigns before they do
		if taken, err = l.rules.Apply(ctx, r); err != nil {
			l.t.Fatalf("apply %s: %v", r.Type, err)
		}
	}
	out := flows.Take().Events
	return slices.Concat(out[:before], taken.Derived, out[before:])
}

type environment struct{ *Log }

// Schemas implements workflows.Environment.
func (l environment) Schemas(ctx context.Context, types []string) (advance.Schemas, error) {
	return l.known, l.known.Find(ctx, l.reg, types)
}

// Program implements workflows.Environment.
func (l environment) Program(_ context.Context, workflow string, bundle int64) (*flow.Program, error) {
	return l.sets[bundle].Workflow(workflow), nil
}

// Recorded implements workflows.Environment.
func (l environment) Recorded(ctx context.Context, sequence int64) (*workflows.Input, error) {
	i := slices.IndexFunc(l.Events, func(r event.Recorded) bool { return r.Sequence == sequence })
	if i < 0 {
		return nil, nil
	}
	data, err := l.rules.Decode(ctx, &l.Events[i])
	return &workflows.Input{Event: l.Events[i], Data: data}, err
}

// Bundle is a bundle that was published.
type Bundle struct {
	Set   *ruleset.Set
	Files []ruleset.File
}

// Bundles lists the bundles with workflows, and those after them, by the sequence of their rules.published.
func (l *Log) Bundles() map[int64]Bundle {
	out := map[int64]Bundle{}
	for sequence, set := range l.sets {
		out[sequence] = Bundle{set, l.files[sequence]}
	}
	return out
}

// Instances lists the instances of workflows, ended ones too, as the fold keeps them.
func (l *Log) Instances() []workflows.Row { return l.store.Instances() }
