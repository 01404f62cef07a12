package alias

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func made(t *testing.T, pairs ...string) Aliases {
	t.Helper()
	var a Aliases
	for i := 0; i < len(pairs); i += 2 {
		next, reason := a.Merge(pairs[i], pairs[i+1], int64(i))
		if reason != "" {
			t.Fatalf("%s into %s: %s", pairs[i], pairs[i+1], reason)
		}
		a = next
	}
	return a
}

func TestMerge_RefusesWhatCannotBeAndChangesNothing(t *testing.T) {
	chain := func(n int) (pairs []string) {
		for i := range n {
			pairs = append(pairs, fmt.Sprint("lead/", i), fmt.Sprint("lead/", i+1))
		}
		return pairs
	}
	for name, c := range map[string]struct {
		before     []string
		from, into string
		reason     string
	}{
		"two leads":                  {nil, "lead/7", "lead/9", ""},
		"one of another kind":        {nil, "lead/7", "opportunity/9", OtherKind},
		"no subject":                 {nil, "7", "lead/9", Malformed},
		"no id":                      {nil, "lead/7", "lead/", Malformed},
		"nothing":                    {nil, "", "", Malformed},
		"itself":                     {nil, "lead/7", "lead/7", Same},
		"again":                      {[]string{"lead/7", "lead/9"}, "lead/7", "lead/9", Same},
		"again, through another":     {[]string{"lead/7", "lead/9", "lead/9", "lead/11"}, "lead/7", "lead/11", Same},
		"the other way round":        {[]string{"lead/7", "lead/9"}, "lead/9", "lead/7", Cycle},
		"the other way, far":         {[]string{"lead/1", "lead/2", "lead/2", "lead/3"}, "lead/3", "lead/1", Cycle},
		"a second target":            {[]string{"lead/7", "lead/9"}, "lead/7", "lead/11", MergedOnce},
		"a third into the same":      {[]string{"lead/7", "lead/9"}, "lead/8", "lead/9", ""},
		"into one that is another":   {[]string{"lead/9", "lead/11"}, "lead/7", "lead/9", ""},
		"the longest chain":          {chain(MaxChain - 1), fmt.Sprint("lead/", MaxChain-1), "lead/x", ""},
		"a longer chain":             {chain(MaxChain), fmt.Sprint("lead/", MaxChain), "lead/x", TooLong},
		"a longer chain at its end":  {chain(MaxChain), "lead/x", "lead/0", TooLong},
		"a branch of a long chain":   {chain(MaxChain), "lead/x", fmt.Sprint("lead/", MaxChain), ""},
		"a tree under a long branch": {append(chain(MaxChain), "lead/y", "lead/z"), "lead/z", "lead/1", TooLong},
	} {
		a := made(t, c.before...)
		was := maps.Clone(a)
		next, reason := a.Merge(c.from, c.into, 99)
		if reason != c.reason || len(a) != len(was) {
			t.Errorf("%s: %q, want %q", name, reason, c.reason)
		}
		if reason != "" && len(next) != len(was) || reason == "" && (len(next) != len(was)+1 || next.Resolve(c.from) != next.Resolve(c.into)) {
			t.Errorf("%s: %v became %v", name, was, next)
		}
	}
}

func TestUnmerge_RefusesWhatIsNoMerge(t *testing.T) {
	a := made(t, "lead/7", "lead/9")
	for name, c := range map[string]struct{ from, into, reason string }{
		"another subject": {"lead/8", "lead/9", NotMerged}, "another target": {"lead/7", "lead/8", OtherTarget}, "turned round": {"lead/9", "lead/7", NotMerged}, "as it was": {"lead/7", "lead/9", ""},
	} {
		if next, _, reason := a.Unmerge(c.from, c.into); reason != c.reason || (len(next) == 0) != (reason == "") {
			t.Errorf("%s: %q, %v", name, reason, next)
		}
	}
}

// TestAliases_ResolveAsTheEdgesSayWhateverTheHistory compares with edges that are followed one by one, over random histories: who is whom is
// always what the merges say that were not unmerged, no chain is longer than its bound, and a merge that was refused changed nothing.
func TestAliases_ResolveAsTheEdgesSayWhateverTheHistory(t *testing.T) {
	reasons := map[string]int{}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var a Aliases
		edges := map[string]string{}
		follow := func(s string) (string, int) {
			n := 0
			for edges[s] != "" {
				s = edges[s]
				if n++; n > 1000 {
					t.Fatalf("seed %d: a cycle at %s: %v", seed, s, edges)
				}
			}
			return s, n
		}
		for range 200 {
			from, into := fmt.Sprint("lead/", r.IntN(60)), fmt.Sprint("lead/", r.IntN(60))
			if r.IntN(4) > 0 {
				next, reason := a.Merge(from, into, 1)
				reasons[reason]++
				if reason == "" {
					edges[from] = into
				}
				a = next
			} else {
				if r.IntN(3) > 0 && edges[from] != "" {
					into = edges[from]
				}
				next, was, reason := a.Unmerge(from, into)
				reasons[reason]++
				if reason == "" {
					if was.Into != into {
						t.Fatal(was)
					}
					delete(edges, from)
				}
				a = next
			}
			for i := range 60 {
				s := fmt.Sprint("lead/", i)
				want, n := follow(s)
				if got := a.Resolve(s); got != want || n > MaxChain || a.Resolve(got) != got {
					t.Fatalf("seed %d: %s is %s, want %s after %d edges", seed, s, got, want, n)
				}
			}
		}
		if len(a) != len(edges) {
			t.Fatalf("seed %d: %d edges, want %d", seed, len(a), len(edges))
		}
	}
	for _, reason := range []string{"", Same, Cycle, MergedOnce, NotMerged, OtherTarget} {
		if reasons[reason] == 0 {
			t.Errorf("no history gives %q: %v", reason, reasons)
		}
	}
}

// TestUnmerge_IsExactForWhatComesAfter: the aliases are those of a history without the merge.
func TestUnmerge_IsExactForWhatComesAfter(t *testing.T) {
	undone := 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		var a, without Aliases
		picked, at := "", r.IntN(10)
		for i := range 20 {
			from, into := fmt.Sprint("lead/", r.IntN(30)), fmt.Sprint("lead/", r.IntN(30))
			next, reason := a.Merge(from, into, int64(i))
			if reason != "" {
				continue
			}
			a = next
			if i >= at && picked == "" {
				picked = from
				continue
			}
			if without, reason = without.Merge(from, into, int64(i)); reason != "" {
				t.Fatalf("seed %d: %s without one edge", seed, reason)
			}
		}
		if picked == "" {
			continue
		}
		undone++
		next, _, reason := a.Unmerge(picked, a[picked].Into)
		if reason != "" {
			t.Fatal(reason)
		}
		for i := range 30 {
			if s := fmt.Sprint("lead/", i); next.Resolve(s) != without.Resolve(s) {
				t.Fatalf("seed %d: %s is %s, and %s without the merge", seed, s, next.Resolve(s), without.Resolve(s))
			}
		}
	}
	if undone < 400 {
		t.Errorf("only %d histories had a merge to take back", undone)
	}
}

func TestResolve_EndsOnEdgesThatNoMergeMade(t *testing.T) {
	a := Aliases{"lead/1": {Into: "lead/2"}, "lead/2": {Into: "lead/1"}, "lead/3": {Into: "lead/3"}}
	for _, s := range []string{"lead/1", "lead/2", "lead/3"} {
		_ = a.Resolve(s)
		_, _ = a.Merge("lead/9", s, 1)
		_, _ = a.Merge(s, "lead/9", 1)
	}
}

func TestKey_IsResolvedOnlyWhereItNamesTheSubject(t *testing.T) {
	a := made(t, "lead/7", "lead/9", "opportunity/5", "opportunity/6")
	for name, c := range map[string]struct{ key, subject, lead, want string }{
		"the id of the event's subject":       {"7", "lead/7", "7", "9"},
		"the lead of another subject":         {"7", "appointment/3", "7", "9"},
		"the subject itself":                  {"lead/7", "appointment/3", "", "lead/9"},
		"the id of an opportunity":            {"5", "opportunity/5", "7", "6"},
		"an opportunity with the lead's id":   {"7", "opportunity/7", "8", "7"},
		"a text that happens to be the same":  {"7", "appointment/3", "8", "7"},
		"one that was merged into":            {"9", "lead/9", "9", "9"},
		"an id whose subject has two slashes": {"a/b", "lead/a/b", "", "a/b"},
		"nothing":                             {"", "", "", ""},
	} {
		if got := a.Key(c.key, c.subject, c.lead); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if a.Lead("7") != "9" || a.Lead("9") != "9" || a.Lead("") != "" || a.Lead("5") != "5" {
		t.Error("the id of a lead resolves otherwise")
	}
}
