package admission

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// TestAdmit_KeepsItsInvariantsOverRandomHistories drives admission with random records in random transactions, some of which are
// dropped and done again, and restores from the deltas and snapshots that it wrote.
func TestAdmit_KeepsItsInvariantsOverRandomHistories(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func randomHistory(t *testing.T, rng *rand.Rand) {
	d := newJudge(t)
	s := d.s
	l := &Loader{TopicID: s.topicID, Partition: s.Partition}
	var stateOffset int64
	record := func(b []byte) {
		stateOffset++
		if err := l.Add(stateOffset, b); err != nil {
			t.Fatal(err)
		}
	}
	type seen struct{ sequence, position int64 }
	tenants := map[string]*seen{}
	admittedAt := map[string]int64{} // tenant and key → position time
	numbers := map[string]int64{}
	lastPosition, judged := int64(0), map[string]Counts{}

	for txn := 0; txn < 150; txn++ {
		d.later(0)
		d.ms += rng.Int64N(40 * 60 * 1000)
		d.env.NowMS = d.ms
		var ins []Input
		next := s.Next
		for range 1 + rng.IntN(30) {
			e := randomEvent(rng, d.keys)
			in := d.input(e)
			in.Offset = next + rng.Int64N(3) // markers leave holes
			in.MS = d.ms - rng.Int64N(50_000)
			next = in.Offset + 1
			ins = append(ins, in)
		}
		before := Snapshot(s)
		o, ds := judgeAll(d, s, ins)
		if again, ds2 := judgeAll(d, s, ins); !bytes.Equal(packed(o), packed(again)) || !reflect.DeepEqual(ds, ds2) {
			t.Fatal("the same records from the same state gave something else")
		}
		if !reflect.DeepEqual(before, Snapshot(s)) {
			t.Fatal("staging changed the state")
		}
		if rng.IntN(4) == 0 {
			continue // aborted: done again, with other records, from the untouched state
		}
		delta := packed(o)
		s.Merge(o, s.Log.Next+o.log, s.Dead.Next+o.dead)
		record(delta)
		if rng.IntN(20) == 0 {
			for _, c := range Snapshot(s) {
				record(c)
			}
		}
		for i, got := range ds {
			c := judged[got.Tenant]
			switch got.Outcome {
			case Admitted:
				c.Admitted++
				r := got.Recorded
				x := tenants[r.TenantID]
				if x == nil {
					x = &seen{}
					tenants[r.TenantID] = x
					if r.Type != typeTenantCreated {
						t.Fatal("a tenant's first event is not tenant.created")
					}
				}
				if r.Sequence != x.sequence+1 || r.Position <= lastPosition || r.Position <= x.position {
					t.Fatalf("sequence %d after %d, position %d after %d", r.Sequence, x.sequence, r.Position, lastPosition)
				}
				x.sequence, x.position, lastPosition = r.Sequence, r.Position, r.Position
				if r.Derived() {
					k := r.TenantID + " " + r.Deriver
					if r.DeriverNumber != numbers[k]+1 {
						t.Fatalf("number %d after %d", r.DeriverNumber, numbers[k])
					}
					numbers[k]++
					break
				}
				k := r.TenantID + " " + r.Key()
				ms := event.PositionTime(r.Position)
				if at, ok := admittedAt[k]; ok && ms-at < keys.DefaultWindow.Milliseconds() {
					t.Fatalf("key %s admitted twice within %d ms", k, ms-at)
				}
				admittedAt[k] = ms
			case Refused:
				c.Refused++
				if e, _ := event.Parse(ins[i].Key, ins[i].Headers, nil); e.Derived() && got.Code != event.CodeUnknownTenant && got.Code != event.CodeDeriverConflict && tenants[e.TenantID] != nil {
					numbers[e.TenantID+" "+e.Deriver]++
				}
			case duplicate:
				c.Duplicates++
			case ignored:
				c.Ignored++
			}
			judged[got.Tenant] = c
		}
	}
	if l.State == nil || l.State.Next != s.Next || l.State.Position != s.Position || !reflect.DeepEqual(l.State.Tenants, s.Tenants) {
		t.Fatalf("restored state differs:\n%+v\n%+v", l.State, s)
	}
	s.Keys.Each(func(h keys.Hash, v keys.Verdict) {
		got, ok := l.State.Keys.Get(h)
		if !ok && s.Keys.Expired(v, event.PositionTime(s.Position)) {
			return // when what is over is forgotten depends on where chunks begin
		}
		if !ok || got != v {
			t.Fatalf("restored key %x: %+v, want %+v", h, got, v)
		}
	})
	var all, want Counts
	add := func(to *Counts, c Counts) {
		to.Admitted += c.Admitted
		to.Refused += c.Refused
		to.Duplicates += c.Duplicates
		to.Ignored += c.Ignored
	}
	for _, x := range s.Tenants {
		add(&all, x.Counts)
	}
	for _, c := range judged {
		add(&want, c)
	}
	if all != want || all.Admitted == 0 || all.Refused == 0 || all.Duplicates == 0 || all.Ignored == 0 {
		t.Fatalf("counted %+v, decided %+v", all, want)
	}
}

// TestAdmit_JudgesAheadOfACommitAsItWouldAfterIt judges each transaction's records once over the one before that is not merged yet, as
// while it is in flight, and once after it.
func TestAdmit_JudgesAheadOfACommitAsItWouldAfterIt(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			d := newJudge(t)
			d.env.Rates = Rates{Facts: 5} // of which some are quiet
			d.env.Rates.SetDefaults()
			ahead, after := d.s, cloneOf(d.s)
			after.rates.seed = ahead.rates.seed
			merged := func(s *State, o *Overlay) {
				o.Rebase()
				s.Merge(o, s.Log.Next+o.log, s.Dead.Next+o.dead)
			}
			outcomes := map[Outcome]int{}
			var flying *Overlay
			offset := ahead.Next
			for range 200 {
				d.later(0)
				d.ms += rng.Int64N(60_000)
				d.env.NowMS = d.ms
				var ins []Input
				for range 1 + rng.IntN(30) {
					in := d.input(randomEvent(rng, d.keys))
					in.Offset = offset
					offset++
					ins = append(ins, in)
				}
				o, ds := judgeOver(d, NewOverlay(ahead, flying, len(ins)), ins)
				if flying != nil {
					merged(ahead, flying)
				}
				o.Rebase()
				want, wantDs := judgeOver(d, NewOverlay(after, nil, 0), ins)
				if !reflect.DeepEqual(ds, wantDs) {
					t.Fatal("judged ahead, the same records are judged otherwise")
				}
				if !bytes.Equal(packed(o), packed(want)) {
					t.Fatal("judged ahead, the same records change the state otherwise")
				}
				merged(after, want)
				flying = o
				for _, x := range ds {
					outcomes[x.Outcome]++
					if x.Recorded != nil && x.Recorded.Quiet != "" {
						outcomes["quiet"]++
					}
				}
			}
			for _, o := range []Outcome{Admitted, duplicate, Refused, ignored, "quiet"} {
				if outcomes[o] == 0 {
					t.Errorf("nothing was %s", o)
				}
			}
		})
	}
}

// cloneOf is a state that is equal at its beginning.
func cloneOf(s *State) *State {
	c := NewState(s.topicID, s.Partition, s.LogID, 0)
	c.Next, c.Position, c.Log, c.Dead = s.Next, s.Position, s.Log, s.Dead
	for name, t := range s.Tenants {
		c.Tenants[name] = t.clone()
	}
	return c
}

func judgeAll(d *judge, s *State, ins []Input) (*Overlay, []Decision) {
	return judgeOver(d, NewOverlay(s, nil, 0), ins)
}

func judgeOver(d *judge, o *Overlay, ins []Input) (*Overlay, []Decision) {
	var ds []Decision
	for _, in := range ins {
		ds = append(ds, Admit(&d.env, o, in))
	}
	return o, ds
}

func randomEvent(rng *rand.Rand, keys *event.Keyring) *event.Event {
	tenant := fmt.Sprintf("t%d", rng.IntN(4))
	id := fmt.Sprint(rng.IntN(300))
	switch rng.IntN(12) {
	case 0:
		return sequencertest.Created(keys, tenant)
	case 1:
		return sequencertest.TenantEvent(keys, tenant, uuid.NewString(), []string{"tenant.suspended", "tenant.resumed", "tenant.resumed"}[rng.IntN(3)])
	case 2, 3:
		n := int64(1 + rng.IntN(60))
		return sequencertest.Derived(keys, tenant, fmt.Sprintf("d%d-%d", n, rng.IntN(20)/19), n, func(e *event.Event) { e.Hops = rng.IntN(18) })
	case 4:
		e := sequencertest.Lead(tenant, id)
		e.Value = append(e.Value, 0)
		return e
	case 5:
		e := sequencertest.Lead(tenant, id)
		e.Subject, e.Value = "lead/other", sequencertest.Schemas.Value("lead.created", map[string]any{"lead_id": "other"})
		return e
	}
	return sequencertest.Made(tenant, id, "activity.recorded", map[string]any{"activity_id": id, "lead_id": "1", "kind": "note"}) // all about one lead
}

// A name that was a part of a record would keep the whole fetch that the record came in, or change with it.
func TestAdmit_TheStateKeepsNoneOfARecordsMemory(t *testing.T) {
	d := newJudge(t)
	d.env.Rates.SetDefaults()
	var used [][]byte
	put := func(e *event.Event) {
		t.Helper()
		in := d.input(e)
		if got := d.raw(in); got.Outcome != Admitted {
			t.Fatalf("%+v", got)
		}
		used = append(used, in.Key, in.Value)
		for _, h := range in.Headers {
			used = append(used, h.Value)
		}
	}
	for _, name := range []string{"a", "b"} {
		put(sequencertest.Created(d.keys, name))
		put(sequencertest.Lead(name, "1"))
		put(sequencertest.Derived(d.keys, name, "d1", 1))
		put(sequencertest.Signed(d.keys, sequencertest.Made(name, "reset", typeRuleReset, map[string]any{"rule": "r"})))
	}
	before := Snapshot(d.s)
	for _, b := range used {
		for i := range b {
			b[i] = '#'
		}
	}
	if !reflect.DeepEqual(Snapshot(d.s), before) || d.s.Tenants["a"] == nil || d.s.rates.resets["b"] != 1 {
		t.Errorf("tenants %v, resets %v", slices.Sorted(maps.Keys(d.s.Tenants)), d.s.rates.resets)
	}
}
