package workflows

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// move advances an instance by an event, and keeps what that changes. ignored says why nothing did.
func (f *Fold) move(ctx context.Context, id string, in Input, on advance.Stimulus) (ignored string, err error) {
	row, err := f.store.Instance(ctx, id)
	if err != nil {
		return "", err
	}
	if row == nil {
		return advance.AlreadyEnd, nil // see Prune of package workflowstore: whether it ever was cannot be said when it is kept no longer
	}
	inst, err := advance.Decode(row.State, row.Personal)
	if err != nil {
		return "", fmt.Errorf("instance %s: %w", id, err)
	}
	p, err := f.program(ctx, inst.Workflow, inst.Bundle)
	if err != nil {
		return "", err
	}
	switch on.Kind {
	case advance.Heard, advance.Fired, advance.Retry, advance.Skip, advance.Resume:
		pause, err := f.paused(ctx, inst.Workflow)
		if err != nil {
			return "", err
		}
		if pause != nil && pause.Hold {
			inst.Paused = true
		}
	}
	return f.advance(ctx, p, inst, in, on)
}

// advance moves an instance and keeps what that changes.
func (f *Fold) advance(ctx context.Context, p *flow.Program, inst advance.Instance, in Input, on advance.Stimulus) (ignored string, err error) {
	env, err := f.environmentOf(ctx, p, &inst, in)
	if err != nil {
		return "", err
	}
	on.Event, on.Data = in.Event, in.Data
	res, err := advance.Advance(ctx, p, inst, on, env)
	if err != nil {
		return "", fmt.Errorf("advance instance %s of %s: %w", inst.ID, inst.Workflow, err)
	}
	if err := f.spend(moveCost+res.Cost, nil); err != nil {
		return "", err
	}
	if res.Ignored != "" {
		return res.Ignored, nil
	}
	return "", f.keep(ctx, p, inst, in, env, res)
}

// keep writes what an activation changed, and derives its events.
func (f *Fold) keep(ctx context.Context, p *flow.Program, before advance.Instance, in Input, env advance.Env, res advance.Result) error {
	inst, now := res.Instance, positionTime(&in.Event)
	key, of, err := f.ownKey(ctx, &inst, inst.Key)
	if err != nil {
		return err
	}
	f.out.Moved++
	f.out.Visits = append(f.out.Visits, Visit{Workflow: inst.Workflow, Instance: inst.ID, Ran: res.Succeeded, Failed: res.Failures, Outputs: res.Outputs, Lifecycle: res.Lifecycle})
	for _, o := range res.Outputs {
		f.out.Events = append(f.out.Events, advance.Envelope(inst, in.Event, o))
	}
	if res.Lifecycle != nil {
		if err := f.tell(ctx, inst, in, res.Lifecycle); err != nil {
			return err
		}
	}
	for _, id := range res.Disarm {
		f.store.Disarm(id)
	}
	for _, t := range res.Arm {
		f.store.Arm(Timer{Timer: t, Instance: inst.ID, Workflow: inst.Workflow})
	}
	if res.Contact != nil {
		if err := f.putContact(ctx, *res.Contact); err != nil {
			return err
		}
	}
	for _, channel := range slices.Sorted(maps.Keys(res.Pace)) {
		if err := putNamed(f, KindPace, channel, res.Pace[channel]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(res.Pools)) {
		claim := res.Pools[name].Claim
		claim.Of = of
		f.store.PutClaim(name, key, claim)
		if err := putNamed(f, KindPool, name, nonzero(res.Pools[name].State)); err != nil {
			return err
		}
	}
	if inst.Status.Ended() {
		f.out.Ended++
		keys, err := f.store.Keys(ctx, inst.Workflow, key)
		if err != nil {
			return err
		}
		keys.LastEnded = now
		f.store.PutKeys(inst.Workflow, key, keys)
	}
	if inst.Resumed && !before.Resumed {
		if err := f.noteResumed(ctx, inst.Workflow, now); err != nil {
			return err
		}
	}
	if err := f.put(ctx, p, inst, in, env); err != nil {
		return err
	}
	return f.health(ctx, p.Name, key, in, res.Failures, res.Succeeded)
}

// nonzero leaves out what package pool reads as zero anyway, so that equal states are equal bytes.
func nonzero(s pool.State) pool.State {
	out := maps.Clone(s)
	maps.DeleteFunc(out, func(_ string, v int64) bool { return v == 0 })
	return out
}

// put writes an instance, with what it is found by.
func (f *Fold) put(ctx context.Context, p *flow.Program, inst advance.Instance, in Input, env advance.Env) error {
	row, err := f.row(ctx, p, inst, in, env)
	if err == nil {
		f.store.PutInstance(row)
	}
	return err
}

// row is how an instance is kept. What it is found by is what its key and its contact are by now.
func (f *Fold) row(ctx context.Context, p *flow.Program, inst advance.Instance, in Input, env advance.Env) (row Row, err error) {
	waits, cost, err := advance.Wants(ctx, p, inst, env, in.Event)
	if err != nil {
		err = fmt.Errorf("what instance %s waits for: %w", inst.ID, err)
	}
	if err := f.spend(cost, err); err != nil {
		return row, err
	}
	state, personal, err := inst.Encode()
	if err != nil {
		return row, err
	}
	key, _, err := f.ownKey(ctx, &inst, inst.Key)
	if err != nil {
		return row, err
	}
	contact, err := f.lead(ctx, inst.Contact)
	if err != nil {
		return row, err
	}
	row = Row{
		ID: inst.ID, Workflow: inst.Workflow, Key: key, Subject: inst.Subject, Contact: contact, Bundle: inst.Bundle, Status: inst.Status, Paused: inst.Paused,
		Started: inst.Started, Sequence: in.Event.Sequence, State: state, Personal: personal, Waits: waits,
	}
	if p.Concurrency != nil {
		row.Group = p.Concurrency.Group
	}
	return row, nil
}

// start lets an event start a workflow, or tells why it does not.
func (f *Fold) start(ctx context.Context, p *flow.Program, in Input) error {
	env, err := f.environment(ctx, p, "", "", in) // before the key is known no pool and no contact is asked
	if err != nil {
		return err
	}
	on := advance.Stimulus{Kind: advance.Start, Event: in.Event, Data: in.Data}
	trigger, ok, failure, cost, err := advance.Match(ctx, p, on, env)
	if err = f.spend(cost, err); err != nil || !ok {
		return err
	}
	if trigger, err = f.resolve(ctx, in, trigger); err != nil {
		return err
	}
	if failure != nil {
		if err := f.reject(ctx, p, trigger, on, advance.RejectFailed); err != nil {
			return err
		}
		return f.health(ctx, p.Name, cmp.Or(trigger.Key, in.Event.Subject), in, []advance.Failure{*failure}, nil)
	}
	if reason, err := f.off(ctx, p.Name); err != nil || reason != "" {
		if err != nil {
			return err
		}
		return f.reject(ctx, p, trigger, on, reason)
	}
	e, err := f.enrol(ctx, p, trigger, in, on, env.Calendars)
	if err != nil || e.Started {
		return err
	}
	return f.reject(ctx, p, trigger, on, e.Reason)
}

// enrol starts an instance on a trigger at the event of in, or says why it does not.
func (f *Fold) enrol(ctx context.Context, p *flow.Program, trigger advance.Trigger, in Input, on advance.Stimulus, cals reach.Calendars) (advance.Enrolment, error) {
	pop, err := f.population(ctx, p, trigger.Key, in)
	if err != nil {
		return advance.Enrolment{}, err
	}
	e := advance.Enrol(p, trigger, on, pop, cals)
	if !e.Started {
		if e.Reason == advance.RejectRate {
			err = f.noteRefused(ctx, p.Name, in)
		}
		return e, err
	}
	for _, id := range e.Replaced {
		if _, err := f.move(ctx, id, in, advance.Stimulus{Kind: advance.Replaced}); err != nil {
			return e, err
		}
	}
	inst := e.Instance
	inst.Bundle = f.bundle.Sequence
	now := positionTime(&in.Event)
	keys, err := f.store.Keys(ctx, p.Name, inst.Key) // what was replaced has ended since
	if err != nil {
		return e, err
	}
	keys.Starts, keys.LastStarted, keys.Of = inst.Number, now, inst.Of
	f.store.PutKeys(p.Name, inst.Key, keys)
	if err := f.noteStart(ctx, p.Name, in, now); err != nil {
		return e, err
	}
	f.out.Started++
	if err := f.health(ctx, p.Name, inst.Key, in, nil, []string{"start"}); err != nil {
		return e, err
	}
	_, err = f.advance(ctx, p, inst, in, on)
	return e, err
}

// population is what a start depends on besides its event.
func (f *Fold) population(ctx context.Context, p *flow.Program, key string, in Input) (pop advance.Population, err error) {
	if pop.Keys, err = f.store.Keys(ctx, p.Name, key); err != nil {
		return pop, err
	}
	refs, err := f.store.Living(ctx, p.Name, key)
	if err != nil {
		return pop, err
	}
	if p.Concurrency != nil {
		others, err := f.store.Grouped(ctx, p.Concurrency.Group, key)
		if err != nil {
			return pop, err
		}
		refs = append(slices.Clone(refs), others...)
		slices.SortFunc(refs, compareRefs)
		refs = slices.CompactFunc(refs, func(a, b Ref) bool { return a.ID == b.ID })
	}
	for _, r := range refs {
		pop.Living = append(pop.Living, advance.Living{ID: r.ID, Workflow: r.Workflow, Group: r.Group})
	}
	if pop.Tenant, err = f.store.Count(ctx); err != nil {
		return pop, err
	}
	pop.Over, err = f.tooOften(ctx, p.Name, in, positionTime(&in.Event))
	return pop, err
}

// erase ends the instances of a subject that is to be forgotten, and drops what is kept of it. What stays is that nobody may reach them: they may have
// revoked a consent before, and where silence is consent, forgetting that would let the next message out.
func (f *Fold) erase(ctx context.Context, in Input) error {
	subject, _ := in.Data["subject"].(string)
	if subject == "" {
		subject = in.Event.Subject
	}
	person, err := f.person(ctx, subject)
	if err != nil {
		return err
	}
	refs, err := f.instancesOf(ctx, person)
	if err != nil {
		return err
	}
	for _, one := range person { // what was recorded about them before starts nothing any more
		if err := putNamed(f, KindErased, one, erasure{in.Event.Sequence}); err != nil {
			return err
		}
	}
	for _, ref := range refs {
		ignored, err := f.move(ctx, ref.ID, in, advance.Stimulus{Kind: advance.Erased})
		if err != nil {
			return err
		}
		if ignored != advance.AlreadyEnd {
			continue
		}
		row, err := f.store.Instance(ctx, ref.ID)
		if err != nil {
			return err
		}
		inst, err := advance.Decode(row.State, nil)
		if err != nil {
			return fmt.Errorf("instance %s: %w", ref.ID, err)
		}
		inst.Vars = nil
		bare := *row
		if bare.State, bare.Personal, err = inst.Encode(); err != nil {
			return err
		}
		f.store.PutInstance(bare)
	}
	for _, one := range person {
		lead := leadOf(one)
		if lead == "" {
			continue
		}
		if err := f.keepContact(reach.Forgotten(lead, positionTime(&in.Event))); err != nil {
			return err
		}
	}
	root, err := f.Resolve(ctx, subject)
	if err != nil {
		return err
	}
	for _, s := range []string{subject, root} { // a merge joined what was counted about the others
		if err := f.PutWindows(s, nil); err != nil {
			return err
		}
	}
	return nil
}

func leadOf(subject string) string {
	if lead, is := strings.CutPrefix(subject, "lead/"); is {
		return lead
	}
	return ""
}

// hour is a sliding hour of position time, in minutes.
const hour = int64(time.Hour / time.Minute)
