package keys

import (
	"math/rand/v2"
	"testing"
)

func TestKeyMemory_IsNeverPassedAndKeepsAPartForEveryPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		parts := 1 + rng.IntN(12)
		limit := int64(1000 + rng.IntN(100_000))
		used := map[int32]int64{}
		for p := range parts {
			used[int32(p)] = 0
		}
		greedy := rng.IntN(parts)
		for range 2000 {
			p := int32(rng.IntN(parts))
			if rng.IntN(2) == 0 {
				p = int32(greedy)
			}
			n := 1 + rng.Int64N(limit/50)
			if fits(limit, used, p, n) {
				used[p] += n
			} else if used[p]+n <= limit/2/int64(parts) {
				t.Fatalf("partition %d was refused its own part: %v of %d", p, used, limit)
			}
			var all int64
			for _, b := range used {
				all += b
			}
			if all > limit {
				t.Fatalf("%d bytes of %d", all, limit)
			}
		}
		if parts > 1 && used[int32(greedy)] < limit/4 {
			t.Fatalf("half of the memory is for the partition that needs it, but %d of %d was given to one", used[int32(greedy)], limit)
		}
	}
}

func TestWindow_HasABoundThatIsCheckedBeforeItsNumbersRunOut(t *testing.T) {
	w := NewWindow(0)
	w.chunks = make([]*chunk, maxChunks-4)
	if w.full(chunkKeys) || !w.full(3*chunkKeys) {
		t.Fatal("not at the bound")
	}
	if err := NewMemory(1<<60).Admit(0, w, 3*chunkKeys); err == nil {
		t.Fatal("more keys than there are numbers were accepted")
	}
}
