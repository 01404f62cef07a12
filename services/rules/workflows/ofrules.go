package workflows

import (
	"context"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/window"
)

// Claimant is what a member of a pool is picked for.
type Claimant struct {
	Key string // as it is by now
	Of  string // subject that it names; empty: none
}

// Pool is a pool of the bundle in force at a time, for a key that a rule gave of an event; known is false if the bundle has none of that name.
// Workflows and rules that give the same key share its claim.
func (f *Fold) Pool(ctx context.Context, in Input, name, key string, now time.Time, tell bool) (p advance.Pool, of Claimant, known bool, err error) {
	if of.Key, of.Of, err = f.keyOf(ctx, in, key); err != nil {
		return p, of, false, err
	}
	p, known, err = f.pool(ctx, name, of.Key, now, tell)
	return p, of, known, err
}

// Claimed keeps a pool after a pick for a key.
func (f *Fold) Claimed(name string, by Claimant, state pool.State, claim pool.Claim) error {
	claim.Of = by.Of
	f.store.PutClaim(name, by.Key, claim)
	return putNamed(f, KindPool, name, nonzero(state))
}

// Windows are those of a subject, as Resolve gives it.
func (f *Fold) Windows(ctx context.Context, subject string) (window.States, error) {
	return named[window.States](ctx, f, KindWindow, subject)
}

// PutWindows keeps them.
func (f *Fold) PutWindows(subject string, s window.States) error {
	if len(s) == 0 {
		f.store.PutNamed(KindWindow, subject, nil)
		return nil
	}
	return putNamed(f, KindWindow, subject, s)
}

// joinWindows adds what windows counted about a subject to those of the one that it is from here on.
func (f *Fold) joinWindows(ctx context.Context, from, root string) error {
	a, err := f.Windows(ctx, from)
	if err != nil || len(a) == 0 {
		return err
	}
	b, err := f.Windows(ctx, root)
	if err != nil {
		return err
	}
	if err := f.PutWindows(from, nil); err != nil {
		return err
	}
	return f.PutWindows(root, window.JoinAll(a, b))
}

// readsOfRules adds what the rules that hear an event, or count it, will most likely read.
func (f *Fold) readsOfRules(ctx context.Context, in Input, out *Reads) error {
	set := f.set()
	heard := set.For(in.Event.Type)
	counts := len(set.Counting(in.Event.Type)) > 0
	var vars map[string]any
	for _, r := range heard {
		counts = counts || len(r.Windows) > 0
		if r.Assign == nil || !r.FiresOn(in.Event.EffectiveOrigin()) {
			continue
		}
		key, ok := in.Event.Subject, true
		if r.Key != nil {
			if r.Key.Reads("state") || r.Key.Reads("windows") {
				continue
			}
			if vars == nil {
				vars = f.said(in)
			}
			var cost uint64
			var err error
			key, cost, ok, err = value(ctx, r.Key, vars)
			if err = f.spend(cost, err); err != nil {
				return err
			}
		}
		if !ok {
			continue
		}
		key, _, err := f.keyOf(ctx, in, key)
		if err != nil {
			return err
		}
		out.Claims = append(out.Claims, Pair{r.Assign.Pool, key})
	}
	if !counts {
		return nil
	}
	subject, err := f.Resolve(ctx, in.Event.Subject)
	out.Windows = append(out.Windows, subject)
	return err
}
