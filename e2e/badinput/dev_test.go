package badinput

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// byDev are the families that need no real Kafka: they end at the HTTP endpoint, at the registry or in the neuronx command.
var byDev = []string{"http", "schema", "rule", "import", "cli"}

// The proof on a real Kafka plays the whole corpus and measures what it costs. Here the engine is that of `neuronx dev`, so that a change
// of a refusal fails the tests that everybody runs.
func TestDev_RefusesEveryInputAsItsFileSays(t *testing.T) {
	inputs, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Dev(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p, _, err := NewPlayer(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Within = 2 * time.Minute // what an input may cost is measured elsewhere
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		if err := p.Tape.Run(ctx, c.Kafka); err != nil {
			t.Errorf("the log and the dead letters can't be followed: %v", err)
		}
	})
	if err := cluster.Eventually(ctx, time.Minute, p.Ready); err != nil {
		t.Fatal(err)
	}
	played := map[string]int{}
	for _, in := range inputs {
		if !slices.Contains(byDev, in.Family) {
			continue
		}
		played[in.Family]++
		t.Run(in.Family+"/"+in.File, func(t *testing.T) {
			if err := p.Prepare(in); err != nil {
				t.Fatal(err)
			}
			if err := p.Play(ctx, in); err != nil {
				t.Errorf("%s: %v", in.Name, err)
			}
		})
	}
	for _, family := range byDev {
		if played[family] == 0 {
			t.Errorf("no input of the family %s was played", family)
		}
	}
}
