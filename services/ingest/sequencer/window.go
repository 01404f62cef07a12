package sequencer

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// KeyWindow is how long a key is remembered if nothing else is configured, in position time, from its first admission.
const KeyWindow = 24 * time.Hour

// keyHash is the first 96 bits of the SHA-256 of tenant and key. A weaker hash would let one tenant craft keys that collide with
// another's and so have its events taken for repeats; 96 bits keep accidental collisions below 1e-13 for 86 million keys.
type keyHash struct {
	hi uint64
	lo uint32
}

func hashKey(tenant, key string) keyHash {
	var buf [512]byte
	b := append(buf[:0], byte(len(tenant)))
	b = append(b, tenant...)
	b = append(b, key...)
	s := sha256.Sum256(b)
	return keyHash{binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint32(s[8:])}
}

// verdict is what became of a key.
type verdict struct {
	fingerprint uint32 // first 32 bits of the fingerprint, or of the event id's hash for a deriver's number
	refused     bool
	number      int64 // the sequence, or the number of the refusal's code
	ms          int64 // position time of the first admission or refusal
}

const (
	chunkKeys = 1024
	chunkRing = 1 << 21 // chunks that entry numbers can tell apart
	// The packed verdict of an entry: 1 bit refused, 17 bits seconds since the chunk's first key, 46 bits number.
	numberBits  = 46
	maxSeconds  = 1<<17 - 1
	maxNumber   = 1<<numberBits - 1
	refusedFlag = 1 << 63
)

// entry is 24 bytes; with its share of the index a key costs about 30.
type entry struct {
	hi          uint64
	lo          uint32
	fingerprint uint32
	packed      uint64
}

type chunk struct {
	baseMS int64
	n      int
	keys   [chunkKeys]entry
}

// window is a queue of keys in order of admission, with an open-addressing index over it. Expiry takes chunks from the front.
// A key that is put again (refused first, admitted later) has its index slot moved to the new entry; the old one dies with its chunk.
type window struct {
	spanMS int64    // how long a key is remembered
	chunks []*chunk // chunks[0] holds entries first*chunkKeys …
	first  uint32   // number of chunks dropped so far, modulo chunkRing
	index  []uint32 // entry number + 1; 0 is empty; length is a power of two
	live   int      // used slots of index
	lastMS int64    // of the newest key; times never run back, so that a chunk's base bounds the chunk before it
}

func newWindow() *window {
	return &window{spanMS: KeyWindow.Milliseconds(), index: make([]uint32, 64)}
}

// expired reports whether v is over at ms of position time. Kept times are cut to a second, so a key lives up to a second longer than
// the window and never shorter.
func (w *window) expired(v verdict, ms int64) bool { return ms-v.ms >= w.spanMS+1000 }

func (w *window) len() int { return w.live }

// ref is the index value of entry k of chunks[n]. Entry numbers wrap after 2^31, far more than can be alive.
func (w *window) ref(n, k int) uint32 {
	return (w.first+uint32(n))%chunkRing*chunkKeys + uint32(k) + 1
}

func (w *window) at(ref uint32) (*chunk, *entry) {
	n := ref - 1
	c := w.chunks[(n/chunkKeys-w.first)%chunkRing]
	return c, &c.keys[n%chunkKeys]
}

func (w *window) slot(h keyHash) (int, bool) {
	mask := len(w.index) - 1
	for i := int(h.lo) & mask; ; i = (i + 1) & mask {
		ref := w.index[i]
		if ref == 0 {
			return i, false
		}
		if _, e := w.at(ref); e.hi == h.hi && e.lo == h.lo {
			return i, true
		}
	}
}

func (w *window) get(h keyHash) (verdict, bool) {
	i, ok := w.slot(h)
	if !ok {
		return verdict{}, false
	}
	c, e := w.at(w.index[i])
	return e.verdict(c), true
}

func (e *entry) verdict(c *chunk) verdict {
	return verdict{
		fingerprint: e.fingerprint,
		refused:     e.packed&refusedFlag != 0,
		number:      int64(e.packed & maxNumber),
		ms:          c.baseMS + int64(e.packed>>numberBits&maxSeconds)*1000,
	}
}

func (w *window) put(h keyHash, v verdict) {
	v.ms = max(v.ms, w.lastMS)
	w.lastMS = v.ms
	var c *chunk
	if n := len(w.chunks); n > 0 {
		c = w.chunks[n-1]
	}
	if c == nil || c.n == chunkKeys || v.ms-c.baseMS > maxSeconds*1000 {
		// Whole seconds, so that cutting a time that a snapshot has cut already changes nothing.
		c = &chunk{baseMS: v.ms / 1000 * 1000}
		w.chunks = append(w.chunks, c)
	}
	packed := uint64(v.number)&maxNumber | uint64((v.ms-c.baseMS)/1000)<<numberBits
	if v.refused {
		packed |= refusedFlag
	}
	c.keys[c.n] = entry{h.hi, h.lo, v.fingerprint, packed}
	ref := w.ref(len(w.chunks)-1, c.n)
	c.n++

	if (w.live+1)*5 > len(w.index)*4 {
		w.grow()
	}
	i, ok := w.slot(h)
	if !ok {
		w.live++
	}
	w.index[i] = ref
}

func (w *window) grow() {
	old := w.index
	w.index = make([]uint32, len(old)*2)
	mask := len(w.index) - 1
	for _, ref := range old {
		if ref == 0 {
			continue
		}
		_, e := w.at(ref)
		i := int(e.lo) & mask
		for w.index[i] != 0 {
			i = (i + 1) & mask
		}
		w.index[i] = ref
	}
}

// expire forgets whole chunks of which every key is over at ms.
func (w *window) expire(ms int64) {
	for len(w.chunks) > 1 {
		// No key of this chunk is younger than the second in which the next one began.
		if ms-w.chunks[1].baseMS < w.spanMS+2000 {
			return
		}
		c := w.chunks[0]
		for k := range c.n {
			w.remove(keyHash{c.keys[k].hi, c.keys[k].lo}, w.ref(0, k))
		}
		w.chunks[0] = nil
		w.chunks = w.chunks[1:]
		w.first = (w.first + 1) % chunkRing
	}
}

// remove frees h's slot if it still points to ref, and closes the hole by moving later entries of the run back.
func (w *window) remove(h keyHash, ref uint32) {
	i, ok := w.slot(h)
	if !ok || w.index[i] != ref {
		return
	}
	mask := len(w.index) - 1
	for j := i; ; {
		j = (j + 1) & mask
		if w.index[j] == 0 {
			break
		}
		_, e := w.at(w.index[j])
		home := int(e.lo) & mask
		if (j-home)&mask >= (j-i)&mask {
			w.index[i] = w.index[j]
			i = j
		}
	}
	w.index[i] = 0
	w.live--
}

// each calls fn for every living key in order of admission.
func (w *window) each(fn func(keyHash, verdict)) {
	for n, c := range w.chunks {
		for k := range c.n {
			e := &c.keys[k]
			h := keyHash{e.hi, e.lo}
			if i, ok := w.slot(h); ok && w.index[i] == w.ref(n, k) {
				fn(h, e.verdict(c))
			}
		}
	}
}
