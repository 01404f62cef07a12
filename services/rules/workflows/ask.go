package workflows

import (
	"context"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// startAsked starts a workflow on a recorded event because a person asks for it. What the file says of the event, who may start again, groups, limits,
// pauses and trips hold as they do for the event itself; that it comes later than the event is what differs: the instance begins at the request.
//
// The request names the event by its sequence, and by its id, its subject and the key that it gives, as the person saw them: after a log was reseeded, or
// rules were published in between, another event or another key must not start in its place.
func (f *Fold) startAsked(ctx context.Context, in Input) (code string, err error) {
	name, _ := in.Data["workflow"].(string) // the schema has these three as required
	key, _ := in.Data["key"].(string)
	about, _ := in.Data["about"].(string)
	id, _ := in.Data["trigger_id"].(string)
	sequence, _ := in.Data["trigger_sequence"].(int64)
	p := f.set().Workflow(name)
	switch {
	case p == nil:
		return unknownFlow, nil
	case sequence < 1 || sequence >= in.Event.Sequence: // 0: the request names none
		return noEvent, nil
	}
	if reason, err := f.off(ctx, name); err != nil || reason != "" {
		return reason, err
	}
	trigger, err := f.env.Recorded(ctx, sequence)
	switch {
	case err != nil:
		return "", err
	case trigger == nil || trigger.Event.ID != id || trigger.Event.Subject != about:
		return noEvent, nil
	}
	env, err := f.environment(ctx, p, "", "", *trigger)
	if err != nil {
		return "", err
	}
	if !advance.Triggers(p, &trigger.Event, env) {
		return noTrigger, nil
	}
	on := advance.Stimulus{Kind: advance.Start, Event: trigger.Event, Data: trigger.Data, Asked: &in.Event}
	t, holds, failure, cost, err := advance.Match(ctx, p, on, env)
	f.out.Cost += cost
	switch {
	case err != nil:
		return "", err
	case !holds:
		return notWhen, nil
	case failure != nil:
		return "", f.refuseAs(ctx, in, advance.RejectFailed, failure.Code+": "+failure.Detail)
	case t.Key != key:
		return otherKey, nil
	}
	return f.startOn(ctx, p, t, *trigger, in, on, env)
}

// startOn starts a workflow on an event at a request, unless whom it is about was erased since the event.
func (f *Fold) startOn(ctx context.Context, p *flow.Program, t advance.Trigger, trigger, in Input, on advance.Stimulus, env advance.Env) (code string, err error) {
	people := []string{trigger.Event.Subject, "lead/" + t.Contact}
	if t, err = f.resolve(ctx, trigger, t); err != nil {
		return "", err
	}
	for _, subject := range append(people, t.Subject, "lead/"+t.Contact, t.Of) { // one that is empty was never erased
		e, err := named[erasure](ctx, f, KindErased, subject)
		if err != nil {
			return "", err
		}
		if e.Sequence > trigger.Event.Sequence {
			return isErased, nil
		}
	}
	e, err := f.enrol(ctx, p, t, in, on, env.Calendars)
	return e.Reason, err
}

// erasure is what is kept of a subject that was erased.
type erasure struct {
	Sequence int64 `json:"sequence"` // of the last subject.erased
}
