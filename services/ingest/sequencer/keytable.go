package sequencer

import "math/bits"

// keyed is a key and what became of it.
type keyed struct {
	hash    keyHash
	verdict verdict
}

// keyBatch is how many keys are put at a time: enough that the memory that each of them needs is fetched at once.
const keyBatch = 64

// keyTable has the keys of one transaction in the order in which they were put first, so that its delta is deterministic, under an index
// with open addressing. There is one look-up or more of every record, and the keys are hashes already.
type keyTable struct {
	entries []keyed
	slots   []int32 // one more than the place in entries; 0 is free; a power of two of them, at most half in use
	factor  uint64  // odd and secret: a tenant can choose keys of which the hashes begin alike, but not where they lie here
	shift   int
}

// newKeyTable is a table with room for n keys.
func newKeyTable(n int, factor uint64) keyTable {
	t := keyTable{entries: make([]keyed, 0, n), factor: factor | 1}
	if n > 0 {
		t.index(n)
	}
	return t
}

// index rebuilds the slots, with room for n keys.
func (t *keyTable) index(n int) {
	width := max(4, bits.Len(uint(2*n-1)))
	t.slots, t.shift = make([]int32, 1<<width), 64-width
	for i := range t.entries {
		*t.slot(t.entries[i].hash) = int32(i + 1)
	}
}

// slot is where h is, or would be put.
func (t *keyTable) slot(h keyHash) *int32 {
	mask := uint64(len(t.slots) - 1)
	for i := (h.hi ^ uint64(h.lo)) * t.factor >> t.shift; ; i = (i + 1) & mask {
		if n := t.slots[i]; n == 0 || t.entries[n-1].hash == h {
			return &t.slots[i]
		}
	}
}

func (t *keyTable) get(h keyHash) (verdict, bool) {
	if len(t.entries) == 0 {
		return verdict{}, false
	}
	n := *t.slot(h)
	if n == 0 {
		return verdict{}, false
	}
	return t.entries[n-1].verdict, true
}

func (t *keyTable) put(h keyHash, v verdict) {
	if 2*(len(t.entries)+1) > len(t.slots) {
		t.index(2 * (len(t.entries) + 1))
	}
	slot := t.slot(h)
	if *slot == 0 {
		t.entries = append(t.entries, keyed{hash: h})
		*slot = int32(len(t.entries))
	}
	t.entries[*slot-1].verdict = v
}
