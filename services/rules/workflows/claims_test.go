package workflows

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/pool"
)

// The counts of a pool in memory are what a walk over all claims finds, whatever is put, taken back and asked of what time.
func TestMemory_CountsClaimsAsAWalkOverAllOfThem(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 9))
		m, now := NewMemory(), monday
		for n := range 400 {
			m.Begin()
			for range 1 + r.IntN(3) {
				c := pool.Claim{}
				if r.IntN(4) > 0 {
					c.Member = fmt.Sprint("m", r.IntN(3))
				}
				switch r.IntN(3) {
				case 0:
					c.Until = now.Add(time.Duration(r.IntN(10)-2) * time.Minute)
				case 1:
					c.Until = monday.Add(time.Duration(r.IntN(200)) * time.Minute)
				}
				m.PutClaim([]string{"a", "b"}[r.IntN(2)], fmt.Sprint(r.IntN(12)), c)
			}
			if r.IntN(3) == 0 {
				m.Rollback()
			}
			if r.IntN(3) == 0 {
				now = now.Add(time.Duration(r.IntN(300)) * time.Second)
			}
			at := now
			if r.IntN(10) == 0 { // as a rerun of a missed event asks
				at = monday.Add(time.Duration(r.IntN(60)) * time.Minute)
			}
			for _, name := range []string{"a", "b"} {
				want := map[string]int64{}
				for k, c := range m.claims {
					if k.Name == name && c.Living(at) {
						want[c.Member]++
					}
				}
				got, err := m.Claims(t.Context(), name, at)
				if err != nil || !maps.Equal(got, want) {
					t.Fatalf("seed %d, step %d, at %s: %v (%v), want %v", seed, n, at, got, err, want)
				}
			}
		}
	}
}
