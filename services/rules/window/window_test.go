package window

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// oracle holds every event, and walks over all of them.
type oracle []struct {
	at   time.Time
	hash int64
	none bool // it has no value
}

func (o oracle) values(over time.Duration, now time.Time) (v Values) {
	width := over.Milliseconds() / Buckets
	oldest := (now.UnixMilli()/width - Buckets + 1) * width // the beginning of the first part that counts
	seen := map[int64]bool{}
	for _, e := range o {
		if e.at.UnixMilli() < oldest || e.at.After(now) {
			continue
		}
		v.Count++
		if !e.none {
			seen[e.hash] = true
		}
	}
	v.Distinct = int64(min(len(seen), MaxDistinct))
	v.Rate = float64(v.Count) / over.Hours()
	return v
}

func TestState_CountsAsAnOracleThatKeepsEveryEvent(t *testing.T) {
	most := int64(0)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		over := []time.Duration{Shortest, 90 * time.Minute, 7 * 24 * time.Hour, Longest}[seed%4]
		of, values := Def(over, "x"), int64(1+r.IntN(900))
		step := int64(over) / []int64{10, 100, 400}[seed%3]
		now, s, o := time.UnixMilli(1_700_000_000_000).UTC(), State{}, oracle{}
		for i := range 1500 {
			now = now.Add(time.Duration(r.Int64N(step)))
			if r.IntN(500) == 0 {
				now = now.Add(over) // nothing happens for a long time
			}
			e := oracle{{at: now, hash: r.Int64N(values), none: r.IntN(5) == 0}}
			o = append(o, e...)
			if e[0].none {
				s = s.Add(of, over, now)
			} else {
				s = s.Add(of, over, now, e[0].hash)
			}
			for _, at := range []time.Time{now, now.Add(over / 3)} {
				if got, want := s.At(of, over, at), o.values(over, at); got != want {
					t.Fatalf("seed %d, event %d: %+v, want %+v", seed, i, got, want)
				}
			}
			most = max(most, s.At(of, over, now).Distinct)
			if len(s.Counts) > Buckets || len(s.Seen) > MaxDistinct {
				t.Fatalf("%d buckets and %d values are kept", len(s.Counts), len(s.Seen))
			}
		}
	}
	if most != MaxDistinct {
		t.Errorf("no window had more than %d values: their bound was not tried", most)
	}
}

func TestState_IsTheSameAfterItWasStored(t *testing.T) {
	of, now := Def(time.Hour, "x"), time.UnixMilli(1_700_000_000_000)
	kept, stored := State{}, State{}
	for i := range 400 {
		now = now.Add(17 * time.Second)
		kept, stored = kept.Add(of, time.Hour, now, int64(i*i)%97-50), stored.Add(of, time.Hour, now, int64(i*i)%97-50)
		b, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = State{}
		if err := json.Unmarshal(b, &stored); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(kept); err != nil || string(again) != string(b) {
			t.Fatalf("event %d: %s and %s, %v", i, again, b, err)
		}
	}
}

func TestState_OfAnotherDefinitionBeginsAtNothing(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	a, b := Def(time.Hour, "data.score > 5"), Def(time.Hour, "data.score > 6")
	s := State{}.Add(a, time.Hour, now, 1)
	if got := s.At(b, time.Hour, now); got != (Values{}) {
		t.Errorf("another window sees %+v", got)
	}
	if got := s.Add(b, time.Hour, now, 2).At(b, time.Hour, now); got.Count != 1 || got.Distinct != 1 {
		t.Errorf("another window counts %+v", got)
	}
	if Def(time.Hour, "a", "b") == Def(time.Hour, "ab") || Def(time.Hour, "a") == Def(2*time.Hour, "a") {
		t.Error("two definitions have one name")
	}
}

func TestAdd_DoesNotModifyTheState(t *testing.T) {
	of, now := Def(time.Hour, "x"), time.UnixMilli(1_700_000_000_000)
	s := State{}.Add(of, time.Hour, now, 1).Add(of, time.Hour, now, 2)
	before := fmt.Sprint(s)
	s.Add(of, time.Hour, now, 1)
	s.Add(of, time.Hour, now.Add(time.Minute), 3)
	if after := fmt.Sprint(s); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

func TestJoin_HoldsWhatBothHold(t *testing.T) {
	of, now := Def(time.Hour, "x"), time.UnixMilli(1_700_000_000_000)
	var a, b, both State
	for i := range 600 {
		now = now.Add(5 * time.Second)
		hash := int64(i % 31)
		both = both.Add(of, time.Hour, now, hash)
		if i%3 == 0 {
			a = a.Add(of, time.Hour, now, hash)
		} else {
			b = b.Add(of, time.Hour, now, hash)
		}
	}
	if got, want := Join(a, b).At(of, time.Hour, now), both.At(of, time.Hour, now); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	other := State{}.Add(Def(time.Hour, "y"), time.Hour, now)
	if got := Join(a, other); fmt.Sprint(got) != fmt.Sprint(other) {
		t.Errorf("windows that count other things were added: %v", got)
	}
	if got := JoinAll(States{"a": a, "x": a}, States{"b": b, "x": b}); len(got) != 3 || fmt.Sprint(got["x"]) != fmt.Sprint(Join(a, b)) {
		t.Errorf("%v", got)
	}
}

func TestHash_TellsValuesAndTenantsApart(t *testing.T) {
	seen := map[int64]string{}
	for _, tenant := range []string{"a", "b"} {
		for _, v := range []any{"1", int64(1), 1.5, true, nil, []any{"1"}, ""} {
			h, err := Hash(tenant, v)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s %T %v", tenant, v, v)
			if seen[h] != "" {
				t.Errorf("%s has the hash of %s", name, seen[h])
			}
			seen[h] = name
		}
	}
}

// oban-bg/oban#741 and #750, apache/shenyu#6754: after a silence longer than the window, or over midnight, what was long over counted still.
func TestAt_ForgetsWhatASilenceOutlasted(t *testing.T) {
	for _, over := range []time.Duration{Shortest, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, Longest} {
		for _, begin := range []time.Time{time.Date(2026, 12, 31, 23, 59, 59, 999_000_000, time.UTC), time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)} {
			s := State{}
			for i := range int64(300) {
				s = s.Add("d", over, begin, i)
			}
			if v := s.At("d", over, begin.Add(over-over/Buckets-time.Millisecond)); v.Count != 300 || v.Distinct != MaxDistinct {
				t.Errorf("%s from %s: %+v before the window is over", over, begin, v)
			}
			for _, silence := range []time.Duration{over, over + over/2, 2 * over, 25 * over} {
				if v := s.At("d", over, begin.Add(silence)); v != (Values{}) {
					t.Errorf("%s from %s: %+v after %s of silence", over, begin, v, silence)
				}
				if v := s.Add("d", over, begin.Add(silence), 7).At("d", over, begin.Add(silence)); v.Count != 1 || v.Distinct != 1 {
					t.Errorf("%s from %s: %+v with the first after %s of silence", over, begin, v, silence)
				}
			}
		}
	}
}
