package soak

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

func TestNemesis_ChoosesWhatIsFreeAndNoKindTwiceInARow(t *testing.T) {
	n := Nemesis{taken: map[string]string{}, Faults: []Fault{
		{Kind: "kill", Takes: []string{"brokers"}}, {Kind: "move", Takes: []string{"brokers"}}, {Kind: "stop", Takes: []string{"ingest"}}, {Kind: "cut"},
	}}
	rng := rand.New(rand.NewPCG(1, 1))
	seen, last := map[string]int{}, ""
	for range 200 {
		f := n.choose(context.Background(), rng, last)
		if f.Kind == last {
			t.Fatalf("%s twice in a row", last)
		}
		for _, k := range f.Takes {
			if n.taken[k] != f.Kind {
				t.Errorf("%s is not taken by %s", k, f.Kind)
			}
			delete(n.taken, k)
		}
		seen[f.Kind]++
		last = f.Kind
	}
	if len(seen) != 4 {
		t.Errorf("chosen were %v", seen)
	}
	n.taken["brokers"] = "kill"
	for range 50 {
		f := n.choose(context.Background(), rng, "cut")
		if f.Kind != "stop" {
			t.Fatalf("%s was chosen while the brokers are taken", f.Kind)
		}
		delete(n.taken, "ingest")
	}
	n.taken["ingest"] = "stop"
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if f := n.choose(ctx, rng, "cut"); f.Kind != "" {
		t.Errorf("%s was chosen while nothing is free", f.Kind)
	}
}

func TestSummarize_CountsWhatLandedAndWhatHasNotRecovered(t *testing.T) {
	landed, by := Summarize([]Struck{
		{Kind: "kill", Landed: true, RecoveryS: 9}, {Kind: "kill", Landed: true, RecoveryS: 3}, {Kind: "kill", Landed: true, RecoveryS: 5},
		{Kind: "kill", Error: "no leader"}, {Kind: "cut", Landed: true, Error: "not recovered"},
	})
	if want := (Summary{Planned: 4, Landed: 3, Recovered: 3, Median: 5, Worst: 9}); landed != 4 || by["kill"] != want {
		t.Errorf("%d landed, %+v instead of %+v", landed, by["kill"], want)
	}
	if got := by["cut"]; got.Landed != 1 || got.Recovered != 0 {
		t.Errorf("what has not recovered counts as %+v", got)
	}
}
