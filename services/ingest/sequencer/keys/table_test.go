package keys

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestKeyTable_IsAMapInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i, room := range []int{0, 1, 3000, 3000} {
		factor := rng.Uint64()
		if i == 3 {
			factor = 0 // all begin at one slot, so that each is compared with each
		}
		table, want, order := NewTable(room, factor), map[Hash]Verdict{}, []Hash(nil)
		for i := range 6000 {
			h := Hash{uint64(rng.IntN(3)) << 40, uint32(rng.IntN(1500))}
			got, ok := table.Get(h)
			if v, there := want[h]; ok != there || got != v {
				t.Fatalf("room %d, step %d: %v, %v; want %v, %v", room, i, got, ok, v, there)
			}
			if !ok {
				order = append(order, h)
			}
			want[h] = Verdict{Number: int64(i)}
			table.Put(h, want[h])
		}
		if len(table.Entries) != len(want) || len(slices.Collect(maps.Keys(want))) != len(order) {
			t.Fatalf("%d entries, want %d", len(table.Entries), len(want))
		}
		for i, e := range table.Entries {
			if e.Hash != order[i] || e.Verdict != want[e.Hash] {
				t.Fatalf("entry %d is %v", i, e)
			}
		}
	}
}
