package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestPick_InterleavesAsNginxDoes(t *testing.T) {
	members := []Member{{Name: "a", Weight: 5}, {Name: "b", Weight: 1}, {Name: "c", Weight: 1}}
	var state State
	var got []string
	for range 14 {
		m, next, ok := Pick(members, state, Claim{}, now, nil)
		if !ok {
			t.Fatal("nobody")
		}
		state = next
		got = append(got, m)
	}
	if s := strings.Join(got, " "); s != "a a b a c a a a a b a c a a" { // the example of nginx's commit of this algorithm
		t.Error(s)
	}
}

func TestPick_LooksAtWhoIsEligible(t *testing.T) {
	ann, bob := Member{Name: "ann", Weight: 3}, Member{Name: "bob", Weight: 1}
	full, closed, off := bob, bob, bob
	full.Capacity, full.Claims, closed.Closed, off.Weight = 2, 2, true, 0
	for name, c := range map[string]struct {
		members []Member
		claim   Claim
		except  []string
		want    string
	}{
		"weight": {[]Member{bob, ann}, Claim{}, nil, "ann"}, "ties by row": {[]Member{bob, {Name: "cai", Weight: 1}}, Claim{}, nil, "bob"}, "except": {[]Member{ann, bob}, Claim{}, []string{"ann"}, "bob"},
		"full": {[]Member{full}, Claim{}, nil, ""}, "closed": {[]Member{closed}, Claim{}, nil, ""}, "no weight": {[]Member{off}, Claim{}, nil, ""}, "none": {nil, Claim{}, nil, ""},
		"a claim": {[]Member{ann, bob}, Claim{Member: "bob"}, nil, "bob"}, "a claim of one who is closed": {[]Member{ann, closed}, Claim{Member: "bob"}, nil, "bob"},
		"a claim that is over": {[]Member{ann, bob}, Claim{Member: "bob", Until: now}, nil, "ann"}, "a claim that is not": {[]Member{ann, bob}, Claim{Member: "bob", Until: now.Add(1)}, nil, "bob"},
		"a claim of one who left": {[]Member{ann}, Claim{Member: "bob"}, nil, "ann"}, "a claim of one who is excepted": {[]Member{ann, bob}, Claim{Member: "bob"}, []string{"bob"}, "ann"},
	} {
		if m, _, ok := Pick(c.members, nil, c.claim, now, c.except); m != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q %v", name, m, ok)
		}
	}
}

// Over any number of picks the share of each member is within one of what its weight says.
func TestPick_SharesAreWithinOneOfTheWeights(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		members, sum := make([]Member, 1+r.IntN(8)), int64(0)
		for i := range members {
			members[i] = Member{Name: fmt.Sprint("m", i), Weight: int64(1 + r.IntN(20))}
			sum += members[i].Weight
		}
		picks := map[string]int{}
		var state State
		for n := 1; n <= 400; n++ {
			m, next, _ := Pick(members, state, Claim{}, now, nil)
			picks[m]++
			state = next
			for _, x := range members {
				if fair := float64(n) * float64(x.Weight) / float64(sum); math.Abs(float64(picks[x.Name])-fair) > 1 {
					t.Fatalf("seed %d, %d picks: %s has %d of %.2f", seed, n, x.Name, picks[x.Name], fair)
				}
			}
		}
	}
}

// Members that are closed, full, excepted or away neither gain nor lose; values always sum to zero among those who never left.
func TestPick_WhoIsNotEligibleNeitherGainsNorLoses(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 4))
		members := []Member{{Name: "a", Weight: 3}, {Name: "b", Weight: 2}, {Name: "c", Weight: 1}, {Name: "d", Weight: 7}}
		state := State{}
		for range 200 {
			var except []string
			idle := map[string]bool{}
			for i := range members {
				m := &members[i]
				m.Closed, m.Capacity, m.Claims = r.IntN(4) == 0, 2, int64(r.IntN(3))
				if r.IntN(5) == 0 {
					except = append(except, m.Name)
					idle[m.Name] = true
				}
				idle[m.Name] = idle[m.Name] || m.Closed || m.Claims >= m.Capacity
			}
			before := fmt.Sprint(state)
			picked, next, ok := Pick(members, state, Claim{}, now, except)
			if fmt.Sprint(state) != before {
				t.Fatal("the state that was given changed")
			}
			if ok != (len(idle) < 4 || !idle["a"] || !idle["b"] || !idle["c"] || !idle["d"]) || ok && idle[picked] {
				t.Fatalf("seed %d: picked %q of %v", seed, picked, idle)
			}
			sum := int64(0)
			for _, m := range members {
				if idle[m.Name] && next[m.Name] != state[m.Name] {
					t.Fatalf("seed %d: %s is not eligible and has %d after %d", seed, m.Name, next[m.Name], state[m.Name])
				}
				sum += next[m.Name]
			}
			if sum != 0 {
				t.Fatalf("seed %d: the values sum to %d", seed, sum)
			}
			state = next
		}
	}
}

func TestAmong_IsTheSameForShortAndLongLists(t *testing.T) {
	list := []string{}
	for i := range 40 {
		if among := Among(list); among("absent") || among("") || i > 0 && (!among("m0") || !among(fmt.Sprint("m", i-1))) || among(fmt.Sprint("m", i)) {
			t.Errorf("of a list of %d", i)
		}
		list = append(list, fmt.Sprint("m", i))
	}
	list = append(list, list...) // what is named twice is one
	var members []Member
	for i := range 41 {
		members = append(members, Member{Name: fmt.Sprint("m", i), Weight: 1})
	}
	if m, _, ok := Pick(members, nil, Claim{Member: "m3"}, now, list); !ok || m != "m40" {
		t.Errorf("picked %q of those who are not excepted", m)
	}
}

func TestState_EqualTakesAMissingMemberForZero(t *testing.T) {
	if !(State{"a": 0, "b": 1}).Equal(State{"b": 1}) || (State{"a": 2}).Equal(State{"a": 1}) || !State(nil).Equal(State{}) {
		t.Error("not equal")
	}
}
