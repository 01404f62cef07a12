package join

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

var day = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func TestJoin_KeepsTheEldestOfAWorkflowAndOfAGroup(t *testing.T) {
	in := func(id, workflow, group string, hours int) Instance {
		return Instance{ID: id, Workflow: workflow, Group: group, Concurrent: strings.HasPrefix(workflow, "many"), Started: day.Add(time.Duration(hours) * time.Hour)}
	}
	for name, c := range map[string]struct {
		from, into []Instance
		end        string
	}{
		"one only":                      {[]Instance{in("a", "w", "", 1)}, nil, ""},
		"the first is elder":            {[]Instance{in("a", "w", "", 1)}, []Instance{in("b", "w", "", 2)}, "b"},
		"the second is elder":           {[]Instance{in("a", "w", "", 3)}, []Instance{in("b", "w", "", 2)}, "a"},
		"as old, by sequence then id":   {[]Instance{{ID: "a", Workflow: "w", Started: day, Sequence: 9}}, []Instance{{ID: "b", Workflow: "w", Started: day, Sequence: 8}}, "a"},
		"other workflows":               {[]Instance{in("a", "w", "", 1)}, []Instance{in("b", "v", "", 2)}, ""},
		"a group over workflows":        {[]Instance{in("a", "w", "outreach", 1)}, []Instance{in("b", "v", "outreach", 2)}, "b"},
		"several may live":              {[]Instance{in("a", "many", "", 1)}, []Instance{in("b", "many", "", 2)}, ""},
		"several, but one of the group": {[]Instance{in("a", "many", "g", 1)}, []Instance{in("b", "many", "g", 2)}, "b"},
		"one frees no group":            {[]Instance{in("a", "w", "", 1), in("c", "v", "g", 3)}, []Instance{in("b", "w", "g", 2)}, "b"},
	} {
		r := Join(Side{Instances: c.from}, Side{Instances: c.into}, day)
		if got := strings.Join(r.End, " "); got != c.end || !slices.Equal(r.End, r.Joined.Ended) {
			t.Errorf("%s: %q end, want %q", name, got, c.end)
		}
	}
}

func TestJoin_ClaimsAreThoseOfTheSecondElseOfTheFirst(t *testing.T) {
	from := Side{Claims: map[string]pool.Claim{"both": {Member: "ann"}, "first": {Member: "bob"}, "over": {Member: "cai", Until: day}}, Keys: map[string]advance.Keys{
		"w": {Starts: 2, LastStarted: day.Add(time.Hour), LastEnded: day}, "v": {Starts: 1, LastStarted: day}}}
	into := Side{Claims: map[string]pool.Claim{"both": {Member: "dan"}, "own": {Member: "eve"}}, Keys: map[string]advance.Keys{"w": {Starts: 1, LastStarted: day, LastEnded: day.Add(2 * time.Hour)}}}
	r := Join(from, into, day)
	if want := (map[string]pool.Claim{"both": {Member: "dan"}, "first": {Member: "bob"}, "own": {Member: "eve"}}); !reflect.DeepEqual(r.Claims, want) {
		t.Errorf("claims %v", r.Claims)
	}
	if want := (map[string]advance.Keys{"w": {Starts: 3, LastStarted: day.Add(time.Hour), LastEnded: day.Add(2 * time.Hour)}, "v": {Starts: 1, LastStarted: day}}); !reflect.DeepEqual(r.Keys, want) {
		t.Errorf("keys %+v", r.Keys)
	}
	if !reflect.DeepEqual(r.Joined.Claims, []string{"first"}) || !reflect.DeepEqual(r.Joined.Freed, []string{"both"}) || !reflect.DeepEqual(r.Joined.Starts, []string{"v", "w"}) {
		t.Errorf("%+v", r.Joined)
	}
	if len(from.Claims) != 3 || len(into.Claims) != 2 || into.Keys["w"].Starts != 1 {
		t.Error("a side was changed, and an unmerge needs it as it was")
	}
	for _, words := range []string{"starts of v", "starts of w", "pool first stays", "pool both has ended"} {
		if !slices.ContainsFunc(r.Joined.Remains(), func(s string) bool { return strings.Contains(s, words) }) {
			t.Errorf("%q does not list %q", r.Joined.Remains(), words)
		}
	}
}

// TestJoin_LeavesTheFirstAsItWasForAnUnmerge: whatever both had, the first is untouched, what is listed says all that changed of the second, and
// where the first had nothing nothing changes.
func TestJoin_LeavesTheFirstAsItWasForAnUnmerge(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		side := func(name string) Side {
			s := Side{Contact: reach.Contact{Lead: name}, Keys: map[string]advance.Keys{}, Claims: map[string]pool.Claim{}}
			for i := range r.IntN(4) {
				s.Instances = append(s.Instances, Instance{ID: fmt.Sprint(name, i), Workflow: fmt.Sprint("w", r.IntN(3)), Group: []string{"", "g"}[r.IntN(2)], Concurrent: r.IntN(2) == 0, Started: day.Add(time.Duration(r.IntN(5)) * time.Hour)})
				s.Keys[fmt.Sprint("w", r.IntN(3))] = advance.Keys{Starts: int64(r.IntN(3))}
				s.Claims[fmt.Sprint("p", r.IntN(2))] = pool.Claim{Member: name, Until: day.Add(time.Duration(r.IntN(3)-1) * time.Hour)}
				s.Contact = s.Contact.Apply(reach.Change{Channel: []string{"sms", "email", "*"}[r.IntN(3)], Granted: r.IntN(2) == 0, At: day.Add(-time.Duration(r.IntN(9)) * time.Hour)})
			}
			return s
		}
		from, into := side("a"), side("b")
		before := fmt.Sprintf("%+v %+v", from, into)
		res := Join(from, into, day)
		if now := fmt.Sprintf("%+v %+v", from, into); now != before {
			t.Fatalf("seed %d: the sides became\n%s, were\n%s", seed, now, before)
		}
		if len(res.Joined.Revoked) == 0 && res.Joined.Sends == 0 && !reflect.DeepEqual(res.Contact.Consents, into.Contact.Consents) {
			t.Fatalf("seed %d: nothing is listed of consents, and they became %+v", seed, res.Contact)
		}
		kept := map[string]int{}
		for _, in := range slices.Concat(from.Instances, into.Instances) {
			if slices.Contains(res.End, in.ID) {
				continue
			}
			if in.Group != "" {
				kept["group "+in.Group]++
			}
		}
		if kept["group g"] > 1 {
			t.Fatalf("seed %d: %d of a group stay", seed, kept["group g"])
		}
		if none := Join(Side{}, into, day); len(none.Joined.Remains()) > len(none.End) || !reflect.DeepEqual(none.Contact.Consents, into.Contact.Consents) {
			t.Fatalf("seed %d: nothing was joined, and %q remains", seed, none.Joined.Remains())
		}
	}
}
