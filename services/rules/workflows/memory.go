package workflows

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
)

// Memory is a Store in memory. Everything in it is encoded as it would be in a table.
type Memory struct {
	instances map[string]Row
	living    map[Pair]map[string]Ref // by workflow and key
	grouped   map[Pair]map[string]Ref
	waiting   map[advance.Wanted]map[string]Ref
	keys      map[Pair]advance.Keys
	contacts  map[string][]byte
	named     map[namedKey][]byte
	claims    map[Pair]pool.Claim
	started   map[string]bool         // workflows that keys has
	pools     map[string]bool         // pools that claims has
	tallies   map[string]*tally       // of claims, by pool
	about     map[Pair]map[string]Ref // instances, ended ones too, by the kind of what they are found by and its name
	aliases   map[string]alias.Edge
	aliased   map[string]map[string]bool // by the subject that others were merged into
	timers    map[string]Timer
	versions  map[Version]int // instances that live
	listed    []Version       // versions, sorted; nil: not since they changed
	live      int64
	undo      []func() // since Begin
}

type namedKey struct {
	kind Kind
	name string
}

// What instances are found by when subjects are merged or erased.
const (
	aboutSubject = "subject"
	aboutContact = "contact"
	aboutKey     = "key" // of those that live
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		instances: map[string]Row{}, living: map[Pair]map[string]Ref{}, grouped: map[Pair]map[string]Ref{}, waiting: map[advance.Wanted]map[string]Ref{},
		keys: map[Pair]advance.Keys{}, contacts: map[string][]byte{}, named: map[namedKey][]byte{}, claims: map[Pair]pool.Claim{}, tallies: map[string]*tally{}, started: map[string]bool{}, pools: map[string]bool{}, about: map[Pair]map[string]Ref{}, timers: map[string]Timer{}, versions: map[Version]int{},
		aliases: map[string]alias.Edge{}, aliased: map[string]map[string]bool{},
	}
}

// Preload has nothing to do.
func (m *Memory) Preload(context.Context, Reads) error { return nil }

// Begin implements Store.
func (m *Memory) Begin() { m.undo = nil }

// Rollback implements Store.
func (m *Memory) Rollback() {
	undo := m.undo
	for _, f := range slices.Backward(undo) {
		f()
	}
	m.undo = nil
}

// put sets an entry of a map, or deletes it, and remembers how to undo that.
func put[K comparable, V any](m *Memory, in map[K]V, k K, v V, keep bool) {
	before, there := in[k]
	m.undo = append(m.undo, func() {
		if there {
			in[k] = before
		} else {
			delete(in, k)
		}
	})
	if keep {
		in[k] = v
	} else {
		delete(in, k)
	}
}

// Instance implements Store.
func (m *Memory) Instance(_ context.Context, id string) (*Row, error) {
	r, there := m.instances[id]
	if !there {
		return nil, nil
	}
	return &r, nil
}

// PutInstance implements Store.
func (m *Memory) PutInstance(r Row) {
	r.State, r.Personal, r.Waits = bytes.Clone(r.State), bytes.Clone(r.Personal), slices.Clone(r.Waits)
	before, there := m.instances[r.ID]
	if there {
		m.index(before, false)
	}
	m.index(r, true)
	put(m, m.instances, r.ID, r, true)
	m.undo = append(m.undo, func() { // runs before the entry itself is put back
		m.index(r, false)
		if there {
			m.index(before, true)
		}
	})
}

// index enters what an instance is found by, or takes it out.
func (m *Memory) index(r Row, in bool) {
	ref := Ref{ID: r.ID, Workflow: r.Workflow, Group: r.Group, Started: r.Started}
	enter(m.about, Pair{aboutSubject, r.Subject}, ref, in)
	if r.Contact != "" {
		enter(m.about, Pair{aboutContact, r.Contact}, ref, in)
	}
	if r.Status.Ended() {
		return
	}
	enter(m.about, Pair{aboutKey, r.Key}, ref, in)
	enter(m.living, Pair{r.Workflow, r.Key}, ref, in)
	if r.Group != "" {
		enter(m.grouped, Pair{r.Group, r.Key}, ref, in)
	}
	for _, w := range r.Waits {
		enter(m.waiting, w, ref, in)
	}
	v, by := Version{r.Workflow, r.Bundle}, 1
	if !in {
		by = -1
	}
	m.live += int64(by)
	if m.versions[v] += by; m.versions[v] == 0 {
		delete(m.versions, v)
	}
	if n := m.versions[v]; n == 0 || n == by {
		m.listed = nil // it came or went
	}
}

func enter[K comparable](in map[K]map[string]Ref, k K, ref Ref, add bool) {
	if !add {
		if delete(in[k], ref.ID); len(in[k]) == 0 {
			delete(in, k)
		}
		return
	}
	if in[k] == nil {
		in[k] = map[string]Ref{}
	}
	in[k][ref.ID] = ref
}

func sortedRefs(of map[string]Ref) []Ref { return slices.SortedFunc(maps.Values(of), compareRefs) }

// Waiting implements Store.
func (m *Memory) Waiting(_ context.Context, on []advance.Wanted) ([]Ref, error) {
	found := map[string]Ref{}
	for _, w := range on {
		maps.Copy(found, m.waiting[w])
	}
	return sortedRefs(found), nil
}

// Living implements Store.
func (m *Memory) Living(_ context.Context, workflow, key string) ([]Ref, error) {
	return sortedRefs(m.living[Pair{workflow, key}]), nil
}

// Grouped implements Store.
func (m *Memory) Grouped(_ context.Context, group, key string) ([]Ref, error) {
	return sortedRefs(m.grouped[Pair{group, key}]), nil
}

func (m *Memory) where(holds func(r *Row) bool) []Ref {
	var out []Ref
	for _, r := range m.instances {
		if holds(&r) {
			out = append(out, Ref{ID: r.ID, Workflow: r.Workflow, Group: r.Group, Started: r.Started})
		}
	}
	slices.SortFunc(out, compareRefs)
	return out
}

// Paused implements Store.
func (m *Memory) Paused(_ context.Context, workflow string, most int) ([]Ref, error) {
	out := m.where(func(r *Row) bool { return r.Paused && r.Workflow == workflow && !r.Status.Ended() })
	return out[:min(most, len(out))], nil
}

// OfSubject implements Store.
func (m *Memory) OfSubject(_ context.Context, subject, lead string) ([]Ref, error) {
	found := maps.Clone(m.about[Pair{aboutSubject, subject}])
	if found == nil {
		found = map[string]Ref{}
	}
	if lead != "" {
		maps.Copy(found, m.about[Pair{aboutContact, lead}])
	}
	return sortedRefs(found), nil
}

// Count implements Store.
func (m *Memory) Count(context.Context) (int64, error) { return m.live, nil }

// Versions implements Store.
func (m *Memory) Versions(context.Context) ([]Version, error) {
	if m.listed == nil {
		m.listed = slices.SortedFunc(maps.Keys(m.versions), func(a, b Version) int {
			return cmp.Or(cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Bundle, b.Bundle))
		})
	}
	return m.listed, nil
}

// Keys implements Store.
func (m *Memory) Keys(_ context.Context, workflow, key string) (advance.Keys, error) {
	return m.keys[Pair{workflow, key}], nil
}

// PutKeys implements Store.
func (m *Memory) PutKeys(workflow, key string, k advance.Keys) {
	m.started[workflow] = true
	put(m, m.keys, Pair{workflow, key}, k, true)
}

// Contact implements Store.
func (m *Memory) Contact(_ context.Context, lead string) ([]byte, error) {
	return m.contacts[lead], nil
}

// Contacts are the states of all leads.
func (m *Memory) Contacts() map[string][]byte { return m.contacts }

// Erasures are what is kept of subjects that were erased.
func (m *Memory) Erasures() map[string][]byte {
	out := map[string][]byte{}
	for k, state := range m.named {
		if k.kind == KindErased {
			out[k.name] = state
		}
	}
	return out
}

// PutContact implements Store.
func (m *Memory) PutContact(lead string, state []byte) {
	put(m, m.contacts, lead, bytes.Clone(state), state != nil)
}

// Named implements Store.
func (m *Memory) Named(_ context.Context, kind Kind, name string) ([]byte, error) {
	return m.named[namedKey{kind, name}], nil
}

// PutNamed implements Store.
func (m *Memory) PutNamed(kind Kind, name string, state []byte) {
	put(m, m.named, namedKey{kind, name}, bytes.Clone(state), state != nil)
}

// Claim implements Store.
func (m *Memory) Claim(_ context.Context, name, key string) (pool.Claim, error) {
	return m.claims[Pair{name, key}], nil
}

// Alias implements Store.
func (m *Memory) Alias(_ context.Context, subject string) (alias.Edge, bool, error) {
	e, merged := m.aliases[subject]
	return e, merged, nil
}

// Aliased implements Store.
func (m *Memory) Aliased(_ context.Context, into []string) ([]string, error) {
	found := map[string]bool{}
	for _, s := range into {
		maps.Copy(found, m.aliased[s])
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// PutAlias implements Store.
func (m *Memory) PutAlias(subject string, e *alias.Edge) {
	if before, merged := m.aliases[subject]; merged {
		m.point(before.Into, subject, false)
	}
	if e == nil {
		put(m, m.aliases, subject, alias.Edge{}, false)
		return
	}
	put(m, m.aliases, subject, *e, true)
	m.point(e.Into, subject, true)
}

// point enters who was merged into a subject, or takes it out.
func (m *Memory) point(into, subject string, add bool) {
	enter := func(add bool) {
		if !add {
			if delete(m.aliased[into], subject); len(m.aliased[into]) == 0 {
				delete(m.aliased, into)
			}
			return
		}
		if m.aliased[into] == nil {
			m.aliased[into] = map[string]bool{}
		}
		m.aliased[into][subject] = true
	}
	enter(add)
	m.undo = append(m.undo, func() { enter(!add) })
}

// LivingOf implements Store.
func (m *Memory) LivingOf(_ context.Context, key string) ([]Ref, error) {
	return sortedRefs(m.about[Pair{aboutKey, key}]), nil
}

// KeysOf implements Store.
func (m *Memory) KeysOf(_ context.Context, key string) (map[string]advance.Keys, error) {
	return byName(m.keys, m.started, key), nil
}

// ClaimsOf implements Store.
func (m *Memory) ClaimsOf(_ context.Context, key string) (map[string]pool.Claim, error) {
	return byName(m.claims, m.pools, key), nil
}

// byName are the entries of a key, of the names that there ever were: they are few, and the entries are many.
func byName[V any](of map[Pair]V, names map[string]bool, key string) map[string]V {
	out := map[string]V{}
	for name := range names {
		if v, there := of[Pair{name, key}]; there {
			out[name] = v
		}
	}
	return out
}

// Arm implements Store.
func (m *Memory) Arm(t Timer) { put(m, m.timers, t.ID, t, true) }

// Disarm implements Store.
func (m *Memory) Disarm(id string) { put(m, m.timers, id, Timer{}, false) }

// Early implements Store: nothing fires a timer of a store in memory but its owner.
func (m *Memory) Early(string) {}

func compareTimers(a, b Timer) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) }

// Timers lists the timers that are armed, by (due, id).
func (m *Memory) Timers() []Timer { return slices.SortedFunc(maps.Values(m.timers), compareTimers) }

// Next is the first of the timers that are armed; ok is false where there is none.
func (m *Memory) Next() (first Timer, ok bool) {
	for _, t := range m.timers {
		if !ok || compareTimers(t, first) < 0 {
			first, ok = t, true
		}
	}
	return first, ok
}

// Instances lists all instances, ended ones too, by (started, id).
func (m *Memory) Instances() []Row {
	refs := m.where(func(*Row) bool { return true })
	out := make([]Row, len(refs))
	for i, r := range refs {
		out[i] = m.instances[r.ID]
	}
	return out
}
