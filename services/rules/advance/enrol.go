package advance

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Limits of a tenant.
const (
	MaxLive       = 250_000
	MaxLivePerKey = 50
	maxKey        = 512 // bytes
)

// Reasons of a start that is rejected.
const (
	RejectReentry     = "reentry"
	RejectCooldown    = "cooldown"
	RejectConcurrency = "concurrency"
	RejectRate        = "rate"
	RejectLimit       = "limit"
	RejectFailed      = "failed"
	RejectStale       = "stale"
)

// Keys is what is kept of a key of a workflow. Times are position times.
type Keys struct {
	Starts      int64
	LastStarted time.Time
	LastEnded   time.Time
	Of          string // subject that the key names; empty: none
}

// Living is an instance that lives: of the same workflow and key, or of the same group and key.
type Living struct {
	ID       string
	Workflow string
	Group    string
}

// Trigger is an event that starts a workflow, with what its file says of it.
type Trigger struct {
	Key     string
	Of      string // subject that the key names; empty: none
	Subject string // of the instance; empty: that of the event
	Contact string
	Zone    string
	Vars    State
	Private State
}

// Population is what a start depends on besides its event.
type Population struct {
	Keys   Keys
	Living []Living // by start
	Tenant int64    // instances of the tenant that live
	Over   bool     // the workflow started too often in a cycle of triggers
}

// Enrolment is what becomes of a trigger.
type Enrolment struct {
	Started  bool
	Instance Instance // waits for its Start
	Replaced []string // ids of instances to end with Replaced before
	Reason   string   // of a rejection; empty: started, or the event is none that starts the workflow
	Detail   string
	Failures []Failure
	Cost     uint64
}

// Triggers reports whether a workflow starts on an event as far as the event's type, its origin and its marks say so; start.when is not asked.
func Triggers(p *flow.Program, ev *event.Recorded, env Env) bool {
	return slices.Contains(p.Start.On, ev.Type) && firesOn(p.Start.Origins, ev.EffectiveOrigin()) && ev.Quiet == "" && (env.Corrects == nil || !env.Corrects(ev))
}

// at is the event at which a start happens: the trigger itself, or the request of a person that names it.
func (s *Stimulus) at() *event.Recorded {
	if s.Asked != nil {
		return s.Asked
	}
	return &s.Event
}

// Match evaluates what a file says of a trigger; ok is false if the event starts nothing. Its failure is in f. The error is the machine's.
func Match(ctx context.Context, p *flow.Program, on Stimulus, env Env) (t Trigger, ok bool, f *Failure, cost uint64, err error) {
	if !Triggers(p, &on.Event, env) {
		return Trigger{}, false, nil, 0, nil
	}
	m := &machine{allowed: ruleset.RuleCost, ctx: ctx, p: p, on: on, env: env, now: positionTime(on.at())}
	m.vars = map[string]any{"now": m.now}
	env.Reference.Bind(m.vars)
	t, ok, err = m.trigger()
	var bad *fault
	if errors.As(err, &bad) {
		m.note("start", bad, false)
		return t, true, &m.res.Failures[0], m.cost, nil
	}
	return t, ok, nil, m.cost, err
}

func positionTime(e *event.Recorded) time.Time {
	return time.UnixMilli(event.PositionTime(e.Position)).UTC()
}

func (m *machine) trigger() (Trigger, bool, error) {
	envelope := any(func() any { return expr.EventVars(m.on.Event) }) // few starts read it
	if m.env.Watch != nil {
		envelope = expr.EventVars(m.on.Event)
	}
	start, vars := &m.p.Start, merged(m.vars, State{"event": envelope, "data": expr.Visible(m.on.Data)})
	holds, err := m.holds("start.when", start.When, vars)
	if err != nil || !holds {
		return Trigger{}, false, err
	}
	var t Trigger
	if t.Key, err = m.text("start.key", start.Key, vars, m.on.Event.Subject); err != nil {
		return t, true, err
	}
	if t.Key == "" || len(t.Key) > maxKey {
		return t, true, faultf(errData, "start.key gives an empty text, or one of more than %d bytes", maxKey)
	}
	lead, _ := m.on.Data["lead_id"].(string)
	if t.Contact, err = m.text("start.contact", start.Contact, vars, lead); err != nil {
		return t, true, err
	}
	if start.Zone != nil {
		v, err := m.eval("start.zone", start.Zone, vars)
		if err != nil {
			return t, true, err
		}
		// A null or a name that is none is a zone that nobody said; what needs one waits for it.
		if name, ok := v.(string); ok {
			if _, err := zone.Load(name); err == nil {
				t.Zone = name
			}
		}
	}
	set, personal, err := m.assigned("start.set", start.Set, vars, m.on.Event.Type, nil)
	if err != nil {
		return t, true, err
	}
	if err := m.set(set, personal); err != nil {
		return t, true, err
	}
	t.Vars, t.Private = m.in.Vars, m.in.Personal
	return t, true, nil
}

// Enrol decides whether a trigger starts an instance. It is asked of an event that Match says starts the workflow. One that a person asks for starts
// at the request, under the same rules: how fresh the event is goes by the request, and the chain of derivations starts again at it.
func Enrol(p *flow.Program, t Trigger, on Stimulus, pop Population, cals reach.Calendars) Enrolment {
	at, ev := on.at(), &on.Event
	now := positionTime(at)
	reject := func(reason, detail string) Enrolment { return Enrolment{Reason: reason, Detail: detail} }
	loc := time.UTC
	if t.Zone != "" {
		if l, err := zone.Load(t.Zone); err == nil {
			loc = l
		}
	}
	happened := ev.Time
	if happened.IsZero() {
		happened = ev.RecordedTime
	}
	if p.Start.Fresh != nil && cals.Add(happened, *p.Start.Fresh, loc).Before(at.RecordedTime) {
		return reject(RejectStale, "it happened longer ago than start.fresh allows")
	}
	var own, others []string
	for _, l := range pop.Living {
		switch {
		case l.Workflow == p.Name:
			own = append(own, l.ID)
		case p.Concurrency != nil && l.Group == p.Concurrency.Group:
			others = append(others, l.ID)
		}
	}
	re := p.Start.Reentry
	switch {
	case re.Max > 0 && pop.Keys.Starts >= re.Max:
		return reject(RejectReentry, "the key has started as often as it may")
	case re.Policy == flow.Once && pop.Keys.Starts > 0:
		return reject(RejectReentry, "the key has started before, and may once")
	case (re.Policy == flow.AfterEnd || re.Policy == "") && len(own) > 0:
		return reject(RejectReentry, "the key has an instance that lives")
	}
	if pop.Keys.Starts > 0 && cals.Add(pop.Keys.LastStarted, re.Cooldown, loc).After(now) {
		return reject(RejectCooldown, "the key started less than the cooldown ago")
	}
	var replaced []string
	if re.Policy == flow.Restart {
		replaced, own = own, nil
	}
	if p.Concurrency != nil && len(others)+len(own) > 0 {
		if !p.Concurrency.Replace {
			return reject(RejectConcurrency, "an instance of the group "+p.Concurrency.Group+" lives for the key")
		}
		replaced, own = append(append(replaced, own...), others...), nil
	}
	if len(own) >= MaxLivePerKey || pop.Tenant-int64(len(replaced)) >= MaxLive {
		return reject(RejectLimit, "the key has "+strconv.Itoa(MaxLivePerKey)+" instances that live, or the tenant "+strconv.Itoa(MaxLive))
	}
	if pop.Over {
		return reject(RejectRate, "workflows that start each other start too often")
	}
	number := pop.Keys.Starts + 1
	correlation := ev.CorrelationID
	if correlation == "" {
		correlation = ev.ID
	}
	return Enrolment{Started: true, Replaced: replaced, Instance: Instance{
		ID:     event.DerivedID(ev.TenantID, "workflow", p.Name, t.Key, ev.ID, strconv.FormatInt(number, 10)),
		Tenant: ev.TenantID, Workflow: p.Name, Key: t.Key, Of: t.Of, Subject: cmp.Or(t.Subject, ev.Subject), Contact: t.Contact, Zone: t.Zone, Origin: ev.EffectiveOrigin(),
		Correlation: correlation, Trigger: ev.Type, Number: number, Started: now, Sequence: at.Sequence, Hops: at.Hops + 1, Path: slices.Clone(at.Path), Status: Waiting,
		Vars: t.Vars, Personal: t.Private,
	}}
}

// Rejection tells a start that was rejected. Its id is that of the event and the workflow.
func Rejection(p *flow.Program, t Trigger, on Stimulus, version int64, reason string) (id string, data map[string]any) {
	ev := &on.Event
	return event.DerivedID(ev.TenantID, "workflow", p.Name, "rejected", ev.ID), map[string]any{
		"workflow": p.Name, "version": version, "key": t.Key, "trigger_type": ev.Type, "cause_sequence": ev.Sequence, "reason": reason,
	}
}
