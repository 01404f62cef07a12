package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// named reads a state by name; absent is the zero value.
func named[T any](ctx context.Context, f *Fold, kind Kind, name string) (v T, err error) {
	b, err := f.store.Named(ctx, kind, name)
	if err != nil || b == nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read the state %s of %q: %w", kind, name, err)
	}
	return v, nil
}

func putNamed(f *Fold, kind Kind, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the state %s of %q: %w", kind, name, err)
	}
	f.store.PutNamed(kind, name, b)
	return nil
}

func (f *Fold) contact(ctx context.Context, lead string) (reach.Contact, error) {
	id, err := f.lead(ctx, lead)
	if err != nil {
		return reach.Contact{}, err
	}
	return f.keptContact(ctx, id)
}

// keptContact is what is kept under the id of a lead, also of one that was merged.
func (f *Fold) keptContact(ctx context.Context, id string) (reach.Contact, error) {
	b, err := f.store.Contact(ctx, id)
	if err != nil || b == nil {
		return reach.Contact{Lead: id}, err
	}
	var c reach.Contact
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read the contact of lead %s: %w", id, err)
	}
	c.Lead = id
	return c, nil
}

func (f *Fold) putContact(ctx context.Context, c reach.Contact) (err error) {
	if c.Lead, err = f.lead(ctx, c.Lead); err != nil {
		return err
	}
	return f.keepContact(c)
}

func (f *Fold) keepContact(c reach.Contact) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the contact of lead %s: %w", c.Lead, err)
	}
	f.store.PutContact(c.Lead, b)
	return nil
}

// contacts takes in what an event says of consent. A grant that can't be evaluated grants nothing, and a correction of history only revokes.
func (f *Fold) contacts(ctx context.Context, in Input) error {
	changes, cost, err := reach.Changes(ctx, f.set().Policy, in.Event, in.Data)
	if err = f.spend(cost, machine(err)); err != nil {
		return err
	}
	for _, change := range changes {
		if change.Granted && corrects(&in.Event) {
			continue
		}
		if !change.Granted {
			if err := f.revoke(ctx, change); err != nil {
				return err
			}
			continue
		}
		c, err := f.contact(ctx, change.Lead)
		if err != nil {
			return err
		}
		if err := f.putContact(ctx, c.Apply(change)); err != nil {
			return err
		}
	}
	return nil
}

// revoke keeps a revocation with all leads that are one person by now: it holds for each of them when a merge is taken back.
func (f *Fold) revoke(ctx context.Context, change reach.Change) error {
	person, err := f.person(ctx, "lead/"+change.Lead)
	if err != nil {
		return err
	}
	for _, one := range person {
		lead := leadOf(one)
		if lead == "" {
			continue
		}
		c, err := f.keptContact(ctx, lead)
		if err != nil {
			return err
		}
		if err := f.keepContact(c.Apply(change)); err != nil {
			return err
		}
	}
	return nil
}

// pace is that of the channels that the policy bounds.
func (f *Fold) pace(ctx context.Context) (map[string]reach.Slot, error) {
	policy := f.set().Policy
	if policy == nil || len(policy.Pace) == 0 {
		return nil, nil
	}
	out := map[string]reach.Slot{}
	for _, channel := range slices.Sorted(maps.Keys(policy.Pace)) {
		s, err := named[reach.Slot](ctx, f, KindPace, channel)
		if err != nil {
			return nil, err
		}
		out[channel] = s
	}
	return out, nil
}

// pool is a pool of the bundle in force, for a key. Claims are counted where a capacity asks for them, or a person who wants to know why, by tell: a
// pool without capacities that releases nothing has as many as there were leads, and to count them takes longer than a batch may wait.
func (f *Fold) pool(ctx context.Context, name, key string, now time.Time, tell bool) (p advance.Pool, known bool, err error) {
	l := f.set().Lookup(name)
	if l == nil || l.Pool == nil {
		return p, false, nil
	}
	if err := f.spend(uint64(len(l.Rows))*memberCost, nil); err != nil {
		return p, false, err
	}
	var claims map[string]int64
	if l.Pool.Capacity != "" || tell {
		if claims, err = f.store.Claims(ctx, name, now); err != nil {
			return p, false, err
		}
	}
	for _, row := range l.Rows {
		member, _ := row[l.Key].(string) // the key of a pool is a text
		m := pool.Member{Name: member, Weight: 1, Claims: claims[member]}
		if l.Pool.Weight != "" {
			m.Weight, _ = row[l.Pool.Weight].(int64)
		}
		if l.Pool.Capacity != "" {
			m.Capacity, _ = row[l.Pool.Capacity].(int64)
			if m.Capacity < 1 {
				m.Weight = 0 // no room at all, where package pool has any number
			}
		}
		hours := ""
		if l.Pool.Calendar != "" {
			hours, _ = row[l.Pool.Calendar].(string)
		}
		p.Members, p.Hours = append(p.Members, m), append(p.Hours, hours)
	}
	if p.State, err = named[pool.State](ctx, f, KindPool, name); err != nil {
		return p, false, err
	}
	if p.Claim, err = f.store.Claim(ctx, name, key); err != nil {
		return p, false, err
	}
	if r := l.Pool.Release; r != nil && r.After != nil {
		p.After = r.After.Elapsed + time.Duration(r.After.Days+30*r.After.Months)*24*time.Hour
	}
	return p, true, nil
}

// pools ends claims and gives them to other members, as the pools say. Only live facts do: an import tells of what was.
func (f *Fold) pools(ctx context.Context, in Input) error {
	ev := &in.Event
	if ev.EffectiveOrigin() != event.OriginLive || ev.Quiet != "" || corrects(ev) {
		return nil
	}
	set := f.set()
	var vars map[string]any
	for _, name := range set.Pools(ev.Type) {
		p := set.Lookups[name].Pool
		release := p.Release != nil && p.Release.Key != nil && slices.Contains(p.Release.On, ev.Type)
		follow := p.Follow != nil && slices.Contains(p.Follow.On, ev.Type)
		if vars == nil {
			vars = f.said(in)
		}
		if release {
			key, cost, ok, err := value(ctx, p.Release.Key, vars)
			if err = f.spend(cost, err); err != nil {
				return err
			}
			if key, _, err = f.keyOf(ctx, in, key); err != nil {
				return err
			}
			if ok {
				f.store.PutClaim(name, key, pool.Claim{})
			}
		}
		if follow {
			of := p.Follow.Key
			if of == nil {
				of = p.Release.Key
			}
			key, cost, ok, err := value(ctx, of, vars)
			if err = f.spend(cost, err); err != nil {
				return err
			}
			member, cost, named, err := value(ctx, p.Follow.Member, vars)
			if err = f.spend(cost, err); err != nil {
				return err
			}
			if key, _, err = f.keyOf(ctx, in, key); err != nil {
				return err
			}
			if err := f.follow(ctx, name, key, member, ok && named, positionTime(ev)); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow gives a living claim to whom a person gave the work. A new owner who is no member has no room here to count: the claim ends.
func (f *Fold) follow(ctx context.Context, name, key, member string, said bool, now time.Time) error {
	c, err := f.store.Claim(ctx, name, key)
	if err != nil || !said || !c.Living(now) || c.Member == member {
		return err
	}
	p, known, err := f.pool(ctx, name, key, now, false)
	if err != nil || !known {
		return err
	}
	if !slices.ContainsFunc(p.Members, func(m pool.Member) bool { return m.Name == member }) {
		f.store.PutClaim(name, key, pool.Claim{})
		return nil
	}
	c.Member = member
	f.store.PutClaim(name, key, c)
	return nil
}

var errNoSchema = errors.New("run neuronx schemas push")

// keepCircles works out which workflows lead back to their own start, by the texts that run when a bundle is published. It is kept, so that it
// does not depend on which of them still run when it is asked for.
func (f *Fold) keepCircles(ctx context.Context) error {
	set := f.set()
	versions, err := f.store.Versions(ctx)
	if err != nil {
		return err
	}
	var older []*flow.Program
	for _, v := range versions {
		if set.Workflow(v.Workflow) == nil {
			continue
		}
		p, err := f.program(ctx, v.Workflow, v.Bundle)
		if err != nil {
			return err
		}
		older = append(older, p)
	}
	circles := flow.Circles(set.Workflows, older, set.Derives())
	if len(circles) == 0 {
		f.store.PutNamed(KindStarts, "", nil)
		return nil
	}
	return putNamed(f, KindStarts, "", circles)
}
