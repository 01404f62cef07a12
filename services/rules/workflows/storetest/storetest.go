// Package storetest holds what every workflows.Store must do, whatever it keeps its rows in. A test calls Conform with a function that gives an
// empty store, and one that gives the store again over what was written: for a store in memory the same one.
package storetest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

var began = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// Conform runs random histories against a store and workflows.Memory, and compares everything that can be read. again writes what was put and
// gives a store that reads it.
func Conform(t *testing.T, empty func(t *testing.T) workflows.Store, again func(workflows.Store) workflows.Store) {
	t.Helper()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			h := history{r: r, want: workflows.NewMemory(), got: empty(t)}
			for i := range 150 {
				h.event()
				if i%25 == 24 {
					h.got = again(h.got)
					h.compare(t)
				}
			}
		})
	}
}

type history struct {
	r    *rand.Rand
	want *workflows.Memory
	got  workflows.Store
	at   int64
}

func (h *history) pick(of ...string) string { return of[h.r.IntN(len(of))] }

func (h *history) id() string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", h.r.IntN(30))
}

// both does the same to the two stores.
func (h *history) both(do func(s workflows.Store)) { do(h.want); do(h.got) }

// event puts a few things, and takes one event in five back.
func (h *history) event() {
	h.at++
	h.both(func(s workflows.Store) { s.Begin() })
	for range 1 + h.r.IntN(4) {
		h.put()
	}
	if h.r.IntN(5) == 0 {
		h.both(func(s workflows.Store) { s.Rollback() })
	}
}

func (h *history) put() {
	name, key := h.pick("a", "b"), h.pick("1", "2", "3")
	now := began.Add(time.Duration(h.at) * time.Minute)
	switch h.r.IntN(10) {
	case 0, 1, 2:
		row := h.row()
		h.both(func(s workflows.Store) { s.PutInstance(row) })
	case 3:
		k := advance.Keys{Starts: int64(h.r.IntN(9)), LastStarted: now, Of: h.pick("", "lead/1")}
		h.both(func(s workflows.Store) { s.PutKeys(name, key, k) })
	case 4:
		state := h.state()
		h.both(func(s workflows.Store) { s.PutContact(key, state) })
	case 5:
		kind, state := workflows.Kind(h.pick(string(workflows.KindPace), string(workflows.KindHealth))), h.state()
		h.both(func(s workflows.Store) { s.PutNamed(kind, name, state) })
	case 6:
		c := pool.Claim{Member: h.pick("ann", "bob", "")}
		if c.Member != "" && h.r.IntN(2) == 0 {
			c.Until, c.Of = now.Add(time.Hour), "lead/1"
		}
		h.both(func(s workflows.Store) { s.PutClaim(name, key, c) })
	case 7, 8:
		subject := h.pick(subjects...)
		var e *alias.Edge
		if h.r.IntN(3) > 0 {
			e = &alias.Edge{Into: h.pick(subjects...), Sequence: h.at, Joined: alias.Joined{Sends: h.r.IntN(2)}}
		}
		h.both(func(s workflows.Store) { s.PutAlias(subject, e) })
	default:
		timer := workflows.Timer{Timer: advance.Timer{ID: h.id(), Token: 1, Task: "t", Due: now, Armed: h.at}, Instance: h.id(), Workflow: name}
		if h.r.IntN(3) == 0 {
			h.both(func(s workflows.Store) { s.Disarm(timer.ID) })
		} else {
			h.both(func(s workflows.Store) { s.Arm(timer) })
		}
	}
}

// state is a state that is kept, or nil.
func (h *history) state() []byte {
	if h.r.IntN(4) == 0 {
		return nil
	}
	return []byte(`{"n":` + strconv.Itoa(h.r.IntN(9)) + `}`)
}

// row is an instance. What an id stands for does not change: only whether it lives, what it waits for and its state do.
func (h *history) row() workflows.Row {
	id := h.id()
	n := int(id[len(id)-1] - '0')
	name := []string{"a", "b"}[n%2]
	row := workflows.Row{
		ID: id, Workflow: name, Key: strconv.Itoa(1 + n%3), Subject: "lead/" + strconv.Itoa(n%4), Bundle: int64(1 + n%2), Started: began.Add(time.Duration(n%5) * time.Second),
		Sequence: h.at, Status: advance.Status(h.pick("waiting", "waiting", "suspended", "incident", "completed")), State: []byte(`{"at":` + strconv.FormatInt(h.at, 10) + `}`),
	}
	if n%3 == 0 {
		row.Group = "g"
	}
	if n%2 == 0 {
		row.Contact = strconv.Itoa(n % 4)
	}
	if h.r.IntN(2) == 0 {
		row.Personal = []byte(`{"vars":{}}`)
	}
	if row.Status.Ended() {
		return row
	}
	row.Paused = h.r.IntN(3) == 0
	for _, w := range waits {
		if h.r.IntN(2) == 0 {
			row.Waits = append(row.Waits, w)
		}
	}
	return row
}

var subjects = []string{"lead/1", "lead/2", "lead/3", "lead/4"}

var waits = []advance.Wanted{
	{Type: "a.b", Value: "1"}, {Type: "a.b", Value: "1", Correlated: true}, {Type: "a.b", Value: "1", Command: true}, {Type: "a.b", Value: "2"}, {Type: "c.d", Value: "1"},
}

// compare reads everything from both.
func (h *history) compare(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	same := func(what string, read func(s workflows.Store) (any, error)) {
		t.Helper()
		want, err := read(h.want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(h.got)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
		}
	}
	if err := h.got.Preload(ctx, workflows.Reads{Waits: waits, Contacts: []string{"1"}, Keys: []workflows.Pair{{Name: "a", Key: "1"}}, Groups: []workflows.Pair{{Name: "g", Key: "1"}},
		Claims: []workflows.Pair{{Name: "a", Key: "1"}}, Windows: []string{"lead/1", "lead/2"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		same("instance "+id, func(s workflows.Store) (any, error) {
			row, err := s.Instance(ctx, id)
			if row == nil || err != nil {
				return nil, err
			}
			c := *row
			c.Started = c.Started.UTC()
			if c.Waits = slices.Clone(c.Waits); len(c.Waits) == 0 {
				c.Waits = nil
			}
			return c, nil
		})
	}
	refs := func(list []workflows.Ref, err error) (any, error) {
		out := []string{}
		for _, r := range list {
			out = append(out, fmt.Sprint(r.ID, r.Workflow, r.Group, r.Started.UnixMicro()))
		}
		return out, err
	}
	for i := range waits {
		same(fmt.Sprint("waiting for ", waits[:i+1]), func(s workflows.Store) (any, error) { return refs(s.Waiting(ctx, waits[:i+1])) })
	}
	for _, name := range []string{"a", "b", "g"} {
		for _, key := range []string{"1", "2", "3"} {
			at := name + "/" + key
			same("living "+at, func(s workflows.Store) (any, error) { return refs(s.Living(ctx, name, key)) })
			same("grouped "+at, func(s workflows.Store) (any, error) { return refs(s.Grouped(ctx, name, key)) })
			same("keys "+at, func(s workflows.Store) (any, error) {
				k, err := s.Keys(ctx, name, key)
				k.LastStarted, k.LastEnded = k.LastStarted.UTC(), k.LastEnded.UTC()
				return k, err
			})
			same("claim "+at, func(s workflows.Store) (any, error) {
				c, err := s.Claim(ctx, name, key)
				c.Until = c.Until.UTC()
				return c, err
			})
			same("contact "+key, func(s workflows.Store) (any, error) { b, err := s.Contact(ctx, key); return string(b), err })
		}
		for _, kind := range []workflows.Kind{workflows.KindPace, workflows.KindHealth} {
			same(fmt.Sprint(kind, " of ", name), func(s workflows.Store) (any, error) { b, err := s.Named(ctx, kind, name); return string(b), err })
		}
		same("claims of "+name, func(s workflows.Store) (any, error) {
			m, err := s.Claims(ctx, name, began.Add(time.Duration(h.at)*time.Minute))
			return fmt.Sprint(m), err
		})
		same("paused of "+name, func(s workflows.Store) (any, error) { return refs(s.Paused(ctx, name, 2)) })
	}
	for i, s := range subjects {
		same("alias of "+s, func(of workflows.Store) (any, error) {
			e, merged, err := of.Alias(ctx, s)
			return fmt.Sprint(e, merged), err
		})
		same(fmt.Sprint("merged into ", subjects[:i+1]), func(of workflows.Store) (any, error) {
			list, err := of.Aliased(ctx, subjects[:i+1])
			return fmt.Sprint(list), err
		})
	}
	for _, key := range []string{"1", "2", "3"} {
		same("living of "+key, func(s workflows.Store) (any, error) { return refs(s.LivingOf(ctx, key)) })
		same("keys of "+key, func(s workflows.Store) (any, error) {
			of, err := s.KeysOf(ctx, key)
			for name, k := range of {
				k.LastStarted, k.LastEnded = k.LastStarted.UTC(), k.LastEnded.UTC()
				of[name] = k
			}
			return of, err
		})
		same("claims of "+key, func(s workflows.Store) (any, error) {
			of, err := s.ClaimsOf(ctx, key)
			for name, c := range of {
				c.Until = c.Until.UTC()
				of[name] = c
			}
			return of, err
		})
	}
	for i := range 4 {
		n := strconv.Itoa(i)
		same("of subject "+n, func(s workflows.Store) (any, error) { return refs(s.OfSubject(ctx, "lead/"+n, n)) })
		same("of subject "+n+" that is no lead", func(s workflows.Store) (any, error) { return refs(s.OfSubject(ctx, "lead/"+n, "")) })
	}
	same("versions", func(s workflows.Store) (any, error) { v, err := s.Versions(ctx); return fmt.Sprint(v), err })
	same("count", func(s workflows.Store) (any, error) { return s.Count(ctx) })
}
