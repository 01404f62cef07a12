package keys

import "math/bits"

// Item is a key and what became of it.
type Item struct {
	Hash    Hash
	Verdict Verdict
}

// BatchSize is how many keys are put at a time: enough that the memory that each of them needs is fetched at once.
const BatchSize = 64

// Table has the keys of one transaction in the order in which they were put first, so that its delta is deterministic, under an index
// with open addressing. There is one look-up or more of every record, and the keys are hashes already.
type Table struct {
	Entries []Item
	slots   []int32 // one more than the number in entries; 0 is free; a power of two of them, at most half in use
	factor  uint64  // odd and secret: a tenant can choose keys of which the hashes begin alike, but not where they lie here
	shift   int
}

// NewTable is a table with room for n keys.
func NewTable(n int, factor uint64) Table {
	t := Table{Entries: make([]Item, 0, n), factor: factor | 1}
	if n > 0 {
		t.index(n)
	}
	return t
}

// index rebuilds the slots, with room for n keys.
func (t *Table) index(n int) {
	width := max(4, bits.Len(uint(2*n-1)))
	t.slots, t.shift = make([]int32, 1<<width), 64-width
	for i := range t.Entries {
		*t.slot(t.Entries[i].Hash) = int32(i + 1)
	}
}

// slot is where h is, or would be put.
func (t *Table) slot(h Hash) *int32 {
	mask := uint64(len(t.slots) - 1)
	for i := (h.hi ^ uint64(h.lo)) * t.factor >> t.shift; ; i = (i + 1) & mask {
		if n := t.slots[i]; n == 0 || t.Entries[n-1].Hash == h {
			return &t.slots[i]
		}
	}
}

func (t *Table) Get(h Hash) (Verdict, bool) {
	if len(t.Entries) == 0 {
		return Verdict{}, false
	}
	n := *t.slot(h)
	if n == 0 {
		return Verdict{}, false
	}
	return t.Entries[n-1].Verdict, true
}

func (t *Table) Put(h Hash, v Verdict) {
	if 2*(len(t.Entries)+1) > len(t.slots) {
		t.index(2 * (len(t.Entries) + 1))
	}
	slot := t.slot(h)
	if *slot == 0 {
		t.Entries = append(t.Entries, Item{Hash: h})
		*slot = int32(len(t.Entries))
	}
	t.Entries[*slot-1].Verdict = v
}
