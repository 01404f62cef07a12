package reach

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestJoin_IsTheStrictestOfBothOverRandomHistories: who was merged into may be reached over a channel only if he might have been before and the
// other one had not revoked it; without a revocation of the other nothing changes; and only a later grant lifts one.
func TestJoin_IsTheStrictestOfBothOverRandomHistories(t *testing.T) {
	channels := []string{"sms", "email", "call"}
	stricter, lifted := 0, 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 4))
		merged := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		random := func(lead string) Contact {
			c := Contact{Lead: lead}
			for range r.IntN(5) {
				c = c.Apply(Change{Channel: slices.Concat(channels, []string{AnyChannel})[r.IntN(4)], Granted: r.IntN(3) > 0, Basis: lead, At: merged.Add(-time.Duration(1+r.IntN(48)) * time.Hour), Old: r.IntN(4) == 0})
			}
			return c
		}
		from, into := random("7"), random("9")
		before := fmt.Sprintf("%+v %+v", from, into)
		c, revoked, _ := into.Join(from, merged)
		if now := fmt.Sprintf("%+v %+v", from, into); now != before {
			t.Fatalf("seed %d: the contacts themselves changed", seed)
		}
		any := false
		for _, ch := range channels {
			granted, basis, stopped := c.consent(ch)
			was, wasBasis, wasStopped := into.consent(ch)
			_, _, other := from.consent(ch)
			any = any || other
			if granted && (!was || other || basis != wasBasis) {
				t.Fatalf("seed %d: %s is granted by %q; of the one it was granted %v, by the other revoked %v", seed, ch, basis, was, other)
			}
			if (wasStopped || other) && !stopped {
				t.Fatalf("seed %d: the revocation of %s is lost", seed, ch)
			}
			if was && !granted {
				stricter++
			}
		}
		if len(revoked) == 0 && (any || !reflect.DeepEqual(c.Consents, into.Consents)) {
			t.Fatalf("seed %d: nothing is told of consents: %+v became %+v, the other %+v", seed, into, c, from)
		}
		for _, ch := range channels {
			late := c.Apply(Change{Channel: ch, Granted: true, Basis: "again", At: merged.Add(time.Hour)})
			if granted, _, _ := late.consent(ch); !granted {
				t.Fatalf("seed %d: a grant after the merge does not count", seed)
			}
			early := c.Apply(Change{Channel: ch, Granted: true, Basis: "late news", At: merged.Add(-time.Minute)})
			if _, _, stopped := c.consent(ch); stopped && len(revoked) > 0 {
				if _, _, other := from.consent(ch); other {
					if granted, _, _ := early.consent(ch); granted {
						t.Fatalf("seed %d: a grant from before the merge lifts the revocation of %s", seed, ch)
					}
					lifted++
				}
			}
		}
	}
	if stricter < 100 || lifted < 100 {
		t.Errorf("%d became stricter and %d were asked to be lifted: the histories say too little", stricter, lifted)
	}
}

func TestJoin_CountsTheSendsOfBothInOrder(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 3, 2, h, 0, 0, 0, time.UTC) }
	from := Contact{Lead: "7", Sends: map[string][]time.Time{"sms": {at(1), at(3)}, "email": {at(2)}, "call": nil}}
	into := Contact{Lead: "9", Zone: "Europe/Berlin", Sends: map[string][]time.Time{"sms": {at(2)}}}
	c, _, n := into.Join(from, at(4))
	if want := (map[string][]time.Time{"sms": {at(1), at(2), at(3)}, "email": {at(2)}}); !reflect.DeepEqual(c.Sends, want) || n != 3 || c.Lead != "9" || c.Zone != "Europe/Berlin" {
		t.Errorf("%+v, %d added", c, n)
	}
	if len(into.Sends["sms"]) != 1 || len(from.Sends["sms"]) != 2 {
		t.Error("the sends of one of them changed")
	}
}
