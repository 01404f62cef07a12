package keys

import (
	"math/bits"
	"slices"
)

// index finds the entries of a window by their hash: an open-addressing table in many small parts, which are made larger, divided and
// cleaned one at a time (linear hashing over parts). Thus it is always nearly as full as it may be, four bytes a slot, and there is
// never a moment at which all of it is moved.
//
// A slot holds the number of an entry, 27 bits, under a tag of 5 bits of its hash, which spares most looks at entries that are not it.
type index struct {
	shards  []shard
	secret  [2]uint64
	level   uint   // shards are told apart by level low bits of a probe, those that are divided already by level+1
	slots   int    // of all shards
	turn    int    // the shard to be tidied next
	filling bool   // as reserved: nothing is made smaller
	touched uint32 // means nothing; it keeps the compiler from leaving out reads that only fetch memory
	// For rebuilding: slots, and where their keys are looked for.
	buffer []uint32
	probes []probe
}

type shard struct {
	slots []uint32 // 0 is empty
	used  int      // slots that are not empty: of living entries, of entries that are gone, and vacant ones
}

const (
	shardKeys = 2048 // keys of a shard, on average, at which one is divided
	vacant    = 1    // a slot of an entry that was gone, without a tag; probing goes on behind it
	minSlots  = 16
)

// probe says where a key is looked for in the index: its shard by the low bits, the slot where the search begins by those in the middle, and the
// tag by the highest.
type probe uint64

// probe mixes a hash with a secret of this index. A tenant can choose keys of which the hashes are alike in as many bits as it has time to
// search for, but not keys that lie together here: they would make every search slow, also for others.
func (x *index) probe(h Hash) probe {
	hi, lo := bits.Mul64(h.hi^x.secret[0], uint64(h.lo)*0x9e3779b97f4a7c15^x.secret[1])
	return probe(hi ^ lo)
}

// tag is never 0.
func (p probe) tag() uint32 { return uint32(p>>59)%31 + 1 }

func (x *index) shard(p probe) *shard {
	if len(x.shards) == 0 {
		x.shards = make([]shard, 1)
	}
	i := uint64(p) & (2<<x.level - 1)
	if i >= uint64(len(x.shards)) {
		i &= 1<<x.level - 1
	}
	return &x.shards[i]
}

func (x *index) bytes() int64 { return int64(x.slots)*4 + int64(cap(x.shards))*32 }

func (s *shard) home(p probe) int { return int(uint64(uint32(p>>27)) * uint64(len(s.slots)) >> 32) }

func (s *shard) after(i int) int {
	if i++; i == len(s.slots) {
		return 0
	}
	return i
}

// crowded reports whether one more slot than used would make probing slow. At 8/9 a search for a key that is not there goes over some
// 40 slots, two or three cache lines, and looks at one entry that is not it.
func (s *shard) crowded() bool { return (s.used+1)*9 > len(s.slots)*8 }

// roomFor is the number of slots for n keys, of which a quarter more fit in before the shard is crowded.
func roomFor(n int) int { return max(minSlots, (n+1)*10/7) }

// enough reports whether so many slots do for n keys, when what is gone has been taken out.
func enough(slots, n int) bool { return slots >= max(minSlots, (n+1)*6/5) && slots <= roomFor(n)*3/2 }

// point makes h's slot hold ref, and marks the entry that it held before.
func (w *Window) point(h Hash, ref uint32) {
	p := w.index.probe(h)
	s := w.index.shard(p)
	if s.crowded() {
		w.rebuild(s, w.living(s))
	}
	tag, free := p.tag(), -1
	ref |= tag << refBits
	head, span := w.head(), w.span()
	i := s.home(p)
	for ; s.slots[i] != 0; i = s.after(i) {
		v := s.slots[i]
		if gone := v == vacant || (v-head)&refMask >= span; gone {
			if free < 0 {
				free = i
			}
			continue
		}
		if v>>refBits != tag {
			continue
		}
		c, e := w.at(v & refMask)
		if e.hi == h.hi && e.lo == h.lo {
			e.packed |= supersededFlag
			c.superseded++
			s.slots[i] = ref
			return
		}
	}
	if free < 0 {
		free = i
		s.used++
	}
	s.slots[free] = ref
	if w.live++; w.live > shardKeys*len(w.index.shards) {
		w.divide()
	}
}

// living copies the slots of s that point to living entries. The copy is good until the next one.
func (w *Window) living(s *shard) []uint32 {
	out := w.index.buffer[:0]
	head, span := w.head(), w.span()
	for _, v := range s.slots {
		if v > vacant && (v-head)&refMask < span {
			out = append(out, v)
		}
	}
	w.index.buffer = out
	return out
}

// probed is the probe of the entry that a slot points to, which must be living.
func (w *Window) probed(slot uint32) probe {
	_, e := w.at(slot & refMask)
	return w.index.probe(e.hash())
}

// rebuild makes s hold refs and nothing else, in as many slots as they need.
func (w *Window) rebuild(s *shard, refs []uint32) {
	if have := len(s.slots); enough(have, len(refs)) {
		clear(s.slots)
	} else {
		s.slots = slices.Grow([]uint32(nil), roomFor(len(refs)))
		s.slots = s.slots[:cap(s.slots)] // with what the allocator rounds up to
		w.index.slots += len(s.slots) - have
	}
	s.used = len(refs)
	// All hashes first: entries lie anywhere in memory, and these reads don't wait for one another.
	probes := slices.Grow(w.index.probes[:0], len(refs))
	for _, v := range refs {
		probes = append(probes, w.probed(v))
	}
	w.index.probes = probes
	for k, v := range refs {
		i := s.home(probes[k])
		for s.slots[i] != 0 {
			i = s.after(i)
		}
		s.slots[i] = v
	}
}

// divide gives half of the next shard's keys to a new one.
func (w *Window) divide() {
	x := &w.index
	n := len(x.shards)
	x.shards = append(x.shards, shard{})
	old, bit := &x.shards[n-1<<x.level], probe(1)<<x.level
	var stay, leave []uint32
	for _, v := range w.living(old) {
		if w.probed(v)&bit == 0 {
			stay = append(stay, v)
		} else {
			leave = append(leave, v)
		}
	}
	w.rebuild(old, stay)
	w.rebuild(&x.shards[n], leave)
	if len(x.shards) == 2<<x.level {
		x.level++
	}
}

// tidy goes over one shard, at each new chunk: the numbers of entries that are gone are taken out, long before they are given out
// again, and a shard of which little is left becomes smaller.
func (w *Window) tidy() {
	x := &w.index
	if len(x.shards) == 0 {
		return
	}
	x.turn = (x.turn + 1) % len(x.shards)
	s := &x.shards[x.turn]
	head, span := w.head(), w.span()
	living := 0
	for i, v := range s.slots {
		switch {
		case v <= vacant:
		case (v-head)&refMask < span:
			living++
		default:
			s.slots[i] = vacant
		}
	}
	if !x.filling && len(s.slots) > roomFor(living)*3/2 {
		w.rebuild(s, w.living(s))
	}
}

// Reserve makes room in the index of a window without keys for n of them, so that putting them moves nothing. Filled ends it.
func (w *Window) Reserve(n int) {
	x := &w.index
	if w.live > 0 || n < shardKeys {
		return
	}
	x.filling = true
	x.level = uint(bits.Len(uint((n - 1) / shardKeys)))
	x.shards, x.slots, x.turn = make([]shard, 1<<x.level), 0, 0
	for i := range x.shards {
		x.shards[i].slots = make([]uint32, roomFor(n>>x.level))
		x.slots += len(x.shards[i].slots)
	}
}

// Filled is for when all that was reserved for has been put.
func (w *Window) Filled() { w.index.filling = false }
