package workflows

import (
	"context"
	"strings"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// Resolve is the subject that a merged subject is by now, such as lead/7; any other subject is its own.
func (f *Fold) Resolve(ctx context.Context, subject string) (string, error) {
	for range alias.MaxChain + 1 {
		e, merged, err := f.store.Alias(ctx, subject)
		if err != nil || !merged {
			return subject, err
		}
		subject = e.Into
	}
	return subject, nil
}

// lead is the id of the lead that a lead is by now.
func (f *Fold) lead(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	of, err := f.Resolve(ctx, "lead/"+id)
	return strings.TrimPrefix(of, "lead/"), err
}

// keyOf is a key that an expression gave of an event, as it is by now, and the subject that it names; empty: it names none.
func (f *Fold) keyOf(ctx context.Context, in Input, key string) (now, of string, err error) {
	lead, _ := in.Data["lead_id"].(string)
	return f.named(ctx, key, alias.Names(key, in.Event.Subject, lead))
}

// ownKey is the same of a key that an expression gave of an instance.
func (f *Fold) ownKey(ctx context.Context, inst *advance.Instance, key string) (now, of string, err error) {
	if key == inst.Key {
		return f.named(ctx, key, inst.Of)
	}
	return f.named(ctx, key, alias.Names(key, "", inst.Contact))
}

func (f *Fold) named(ctx context.Context, key, subject string) (now, of string, err error) {
	if subject == "" {
		return key, "", nil
	}
	if of, err = f.Resolve(ctx, subject); err != nil {
		return key, of, err
	}
	return alias.Form(key, subject, of), of, nil
}

// resolve is a trigger about the subjects that its own are by now.
func (f *Fold) resolve(ctx context.Context, in Input, t advance.Trigger) (_ advance.Trigger, err error) {
	if t.Key, t.Of, err = f.keyOf(ctx, in, t.Key); err != nil {
		return t, err
	}
	if t.Contact, err = f.lead(ctx, t.Contact); err != nil {
		return t, err
	}
	t.Subject, err = f.Resolve(ctx, in.Event.Subject)
	return t, err
}

// environmentOf is what an activation of an instance depends on.
func (f *Fold) environmentOf(ctx context.Context, p *flow.Program, inst *advance.Instance, in Input) (advance.Env, error) {
	key, _, err := f.ownKey(ctx, inst, inst.Key)
	if err != nil {
		return advance.Env{}, err
	}
	env, err := f.environment(ctx, p, key, inst.Contact, in)
	env.OwnKey = func(key string) (string, error) {
		key, _, err := f.ownKey(ctx, inst, key)
		return key, err
	}
	return env, err
}

// person lists a subject and all that are one with it, whom it was merged into first: they are to be forgotten as one person.
func (f *Fold) person(ctx context.Context, subject string) (all []string, err error) {
	root, err := f.Resolve(ctx, subject)
	if err != nil {
		return nil, err
	}
	for level := []string{root}; len(level) > 0; {
		all = append(all, level...)
		if level, err = f.store.Aliased(ctx, level); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// instancesOf lists the instances of some subjects, ended ones too while they are kept.
func (f *Fold) instancesOf(ctx context.Context, subjects []string) (out []Ref, err error) {
	seen := map[string]bool{}
	for _, one := range subjects {
		refs, err := f.store.OfSubject(ctx, one, leadOf(one))
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			if !seen[r.ID] {
				seen[r.ID] = true
				out = append(out, r)
			}
		}
	}
	return sortedBy(out), nil
}
