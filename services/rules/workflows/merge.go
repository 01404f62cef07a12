package workflows

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/join"
	"github.com/neuronx/engine/services/rules/pool"
)

const (
	typeMerged   = alias.TypeMerged
	typeUnmerged = alias.TypeUnmerged
)

// Merges reports whether events of a type merge two subjects, or take a merge back.
func Merges(typ string) bool { return alias.IsMerge(typ) }

// Remembers reports whether events of a type are taken in for every tenant, also before its first workflow: what merges subjects, what is said of
// consent, and who was erased. A revocation that was not taken in would let a message past it.
func Remembers(typ string) bool { return Merges(typ) || typ == typeConsent || typ == typeErased }

// merges takes in a merge or an unmerge. One that can't be is told, and changes nothing.
func (f *Fold) merges(ctx context.Context, in Input) error {
	from, _ := in.Data["from"].(string) // the schema has both as required
	into, _ := in.Data["into"].(string)
	do := f.merge
	if in.Event.Type == typeUnmerged {
		do = f.unmerge
	}
	code, err := alias.Malformed, error(nil)
	if alias.IsSubject(from) && alias.IsSubject(into) {
		code, err = do(ctx, in, from, into)
	}
	switch {
	case err != nil:
		return err
	case code == "":
		f.out.Merged++
		return nil
	}
	f.out.Refused++
	return f.refuse(ctx, in, code)
}

// merge makes from another one, and joins what both have. code says why it can't be.
func (f *Fold) merge(ctx context.Context, in Input, from, into string) (code string, err error) {
	edges, err := Edges(ctx, f.store, from, into)
	if err != nil {
		return "", err
	}
	next, code := edges.Merge(from, into, in.Event.Sequence)
	if code != "" {
		return code, nil
	}
	root := next.Resolve(from)
	were, err := f.found(ctx, from)
	if err != nil {
		return "", err
	}
	var joined alias.Joined
	var end []string
	for i, key := range alias.Keys(from) {
		of := alias.Keys(root)[i]
		a, err := f.side(ctx, key, from)
		if err != nil {
			return "", err
		}
		b, err := f.side(ctx, of, root)
		if err != nil {
			return "", err
		}
		if i == 0 && leadOf(root) != "" {
			if a.Contact, err = f.contact(ctx, leadOf(from)); err != nil {
				return "", err
			}
			if b.Contact, err = f.contact(ctx, leadOf(root)); err != nil {
				return "", err
			}
		}
		r := join.Join(a, b, positionTime(&in.Event))
		if len(r.Joined.Revoked)+r.Joined.Sends > 0 {
			if err := f.putContact(ctx, r.Contact); err != nil {
				return "", err
			}
		}
		for _, workflow := range r.Joined.Starts {
			keys := r.Keys[workflow]
			keys.Of = root
			f.store.PutKeys(workflow, of, keys)
		}
		for _, name := range slices.Concat(r.Joined.Claims, r.Joined.Freed) {
			f.store.PutClaim(name, key, pool.Claim{})
		}
		for _, name := range r.Joined.Claims {
			claim := r.Claims[name]
			claim.Of = root
			f.store.PutClaim(name, of, claim)
		}
		joined, end = joined.With(r.Joined), append(end, r.End...)
	}
	if err := f.joinWindows(ctx, from, root); err != nil {
		return "", err
	}
	f.store.PutAlias(from, &alias.Edge{Into: into, Sequence: in.Event.Sequence, Joined: joined})
	for _, id := range end {
		if _, err := f.move(ctx, id, in, advance.Stimulus{Kind: advance.Merged}); err != nil {
			return "", err
		}
	}
	return "", f.findAgain(ctx, were, in)
}

// unmerge takes an edge away: what comes after is as if there had been no merge. What was joined stays.
func (f *Fold) unmerge(ctx context.Context, in Input, from, into string) (code string, err error) {
	edges, err := Edges(ctx, f.store, from, into)
	if err != nil {
		return "", err
	}
	_, _, code = edges.Unmerge(from, into)
	if code != "" {
		return code, nil
	}
	were, err := f.found(ctx, edges.Resolve(from))
	if err != nil {
		return "", err
	}
	f.store.PutAlias(from, nil)
	return "", f.findAgain(ctx, were, in)
}

// Edges are those that decide whether two subjects can be merged or parted: what they are by now, and what leads to the first.
func Edges(ctx context.Context, store Store, from, into string) (alias.Aliases, error) {
	out := alias.Aliases{}
	add := func(subject string) (next string, err error) {
		e, merged, err := store.Alias(ctx, subject)
		if merged {
			out[subject] = e
		}
		return e.Into, err
	}
	for _, at := range []string{from, into} {
		for n := 0; at != "" && n <= alias.MaxChain; n++ {
			var err error
			if at, err = add(at); err != nil {
				return nil, err
			}
		}
	}
	level := []string{from}
	for n := 0; len(level) > 0 && n <= alias.MaxChain; n++ {
		var err error
		if level, err = store.Aliased(ctx, level); err != nil {
			return nil, err
		}
		for _, s := range level {
			if _, err := add(s); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// side is what stands under a key that names a subject, but for its contact.
func (f *Fold) side(ctx context.Context, key, subject string) (s join.Side, err error) {
	refs, err := f.store.LivingOf(ctx, key)
	if err != nil {
		return s, err
	}
	for _, ref := range refs {
		inst, p, err := f.read(ctx, ref.ID)
		if err != nil {
			return s, err
		}
		if _, of, err := f.ownKey(ctx, &inst, inst.Key); err != nil || of != subject {
			if err != nil {
				return s, err
			}
			continue
		}
		s.Instances = append(s.Instances, join.Instance{ID: ref.ID, Workflow: ref.Workflow, Group: ref.Group, Concurrent: p.Start.Reentry.Policy == flow.Concurrent,
			Started: ref.Started, Sequence: inst.Sequence})
	}
	if s.Keys, err = f.store.KeysOf(ctx, key); err != nil {
		return s, err
	}
	s.Keys = maps.Clone(s.Keys)
	maps.DeleteFunc(s.Keys, func(_ string, k advance.Keys) bool { return k.Of != subject })
	if s.Claims, err = f.store.ClaimsOf(ctx, key); err != nil {
		return s, err
	}
	s.Claims = maps.Clone(s.Claims)
	maps.DeleteFunc(s.Claims, func(_ string, c pool.Claim) bool { return c.Of != subject })
	return s, nil
}

// found lists the instances that live and are found by a subject: as their key, as whom they reach, or as what a text of them expects an event to be
// about.
func (f *Fold) found(ctx context.Context, subject string) (out []Ref, err error) {
	expecting, err := f.expecting(ctx, subject)
	if err != nil {
		return nil, err
	}
	if out, err = f.store.Waiting(ctx, expecting); err != nil {
		return nil, err
	}
	for _, key := range alias.Keys(subject) {
		refs, err := f.store.LivingOf(ctx, key)
		if err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	if lead := leadOf(subject); lead != "" {
		refs, err := f.store.OfSubject(ctx, subject, lead)
		if err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	out = sortedBy(out)
	return slices.CompactFunc(out, func(a, b Ref) bool { return a.ID == b.ID }), nil
}

// expecting lists what instances wait for that may spell out a subject by correlate.expect, which need be neither their key nor whom they reach.
func (f *Fold) expecting(ctx context.Context, subject string) (out []advance.Wanted, err error) {
	versions, err := f.store.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		p, err := f.program(ctx, v.Workflow, v.Bundle)
		if err != nil {
			return nil, err
		}
		for _, typ := range f.index(p).expects {
			for _, correlated := range []bool{false, true} {
				out = append(out, advance.Wanted{Type: typ, Value: subject, Correlated: correlated})
			}
		}
	}
	slices.SortFunc(out, advance.CompareWanted)
	return slices.Compact(out), nil
}

func sortedBy(refs []Ref) []Ref {
	slices.SortFunc(refs, compareRefs)
	return refs
}

// findAgain writes what instances are found by, where that has changed.
func (f *Fold) findAgain(ctx context.Context, refs []Ref, in Input) error {
	for _, ref := range refs {
		before, err := f.store.Instance(ctx, ref.ID)
		if err != nil {
			return err
		}
		if before == nil || before.Status.Ended() {
			continue
		}
		inst, p, err := f.read(ctx, ref.ID)
		if err != nil {
			return err
		}
		env, err := f.environmentOf(ctx, p, &inst, in)
		if err != nil {
			return err
		}
		row, err := f.row(ctx, p, inst, in, env)
		if err != nil {
			return err
		}
		if row.Key != before.Key || row.Contact != before.Contact || !slices.Equal(row.Waits, before.Waits) {
			f.store.PutInstance(row)
		}
	}
	return nil
}

// read is an instance that is kept, and its text.
func (f *Fold) read(ctx context.Context, id string) (inst advance.Instance, p *flow.Program, err error) {
	row, err := f.store.Instance(ctx, id)
	if err != nil {
		return inst, nil, err
	}
	if row == nil {
		return inst, nil, fmt.Errorf("instance %s is found and not kept", id)
	}
	if inst, err = advance.Decode(row.State, row.Personal); err != nil {
		return inst, nil, fmt.Errorf("instance %s: %w", id, err)
	}
	p, err = f.program(ctx, inst.Workflow, inst.Bundle)
	return inst, p, err
}
