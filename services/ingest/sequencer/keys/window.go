package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// DefaultWindow is how long a key is remembered if nothing else is configured, in position time, from its first admission.
const DefaultWindow = 24 * time.Hour

// Hash is the first 96 bits of the SHA-256 of tenant and key. A weaker hash would let one tenant craft keys that collide with
// another's and so have its events taken for repeats; 96 bits keep accidental collisions below 1e-13 for 86 million keys.
type Hash struct {
	hi uint64
	lo uint32
}

// ReadHash reads what append wrote.
func ReadHash(b []byte) Hash {
	return Hash{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}
}

// Append writes the hash in 12 bytes.
func (h Hash) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, h.hi), h.lo)
}

// HashOf is the hash of a key that consists of parts.
func HashOf(tenant string, parts ...string) Hash {
	var room [512]byte
	b := append(append(room[:0], byte(len(tenant))), tenant...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return hashed(b)
}

// HashOfEvent is HashOf of what makes a repeat of the event.
func HashOfEvent(e *event.Event) Hash {
	var room [512]byte
	return hashed(e.AppendKey(append(append(room[:0], byte(len(e.TenantID))), e.TenantID...)))
}

func hashed(b []byte) Hash {
	s := sha256.Sum256(b)
	return Hash{binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint32(s[8:])}
}

// Verdict is what became of a key.
type Verdict struct {
	Fingerprint uint32 // first 32 bits of the fingerprint, or of the event id's hash for a deriver's number
	Refused     bool
	Number      int64 // the sequence, or the number of the refusal's code
	MS          int64 // position time of the first admission or refusal
}

const (
	chunkKeys = 1024
	// Entries are numbered around a ring. Half of it is never in use, so that the index can be cleaned of the numbers of forgotten
	// entries long before they are given out again.
	refBits   = 27
	refMask   = 1<<refBits - 1
	chunkRing = 1 << refBits / chunkKeys
	maxChunks = chunkRing / 2 // 67 million keys, 2 GB
	// The packed verdict of an entry: 1 bit refused, 1 bit superseded, 16 bits seconds since the chunk's first key, 46 bits number.
	numberBits     = 46
	maxSeconds     = 1<<16 - 1
	MaxNumber      = 1<<numberBits - 1
	refusedFlag    = 1 << 63
	supersededFlag = 1 << 62
)

// entry is 24 bytes; with its share of the index a key costs about 29.
type entry struct {
	hi          uint64
	lo          uint32
	fingerprint uint32
	packed      uint64
}

// chunk is a run of entries in order of admission. Its array is of a size that the allocator has, so nothing is lost by rounding up.
type chunk struct {
	baseMS     int64
	n          int
	superseded int // of the n: put again later
	keys       []entry
}

// Window is a queue of keys in order of admission, with an index over it. Expiry takes whole chunks from the front, in no time: what the
// index holds of them is recognised by its number and replaced later. Nothing that is done in one put grows with the number of keys.
// A key that is put again (refused first, admitted later) has its index slot moved to the new entry; the old one dies with its chunk.
type Window struct {
	spanMS int64    // how long a key is remembered
	chunks []*chunk // chunks[0] holds entries first*chunkKeys …
	first  uint32   // number of chunks dropped so far, modulo chunkRing
	index  index
	live   int     // keys
	lastMS int64   // of the newest key; times never run back, so that a chunk's base bounds the chunk before it
	spare  []entry // of a dropped chunk, for the next new one
}

// NewWindow is an empty window. span is how long keys are remembered; 0: DefaultWindow.
func NewWindow(span time.Duration) *Window {
	if span == 0 {
		span = DefaultWindow
	}
	return &Window{spanMS: span.Milliseconds(), index: index{secret: [2]uint64{rand.Uint64(), rand.Uint64()}}}
}

// Expired reports whether v is over at ms of position time. Kept times are cut to a second, so a key lives up to a second longer than
// the window and never shorter.
func (w *Window) Expired(v Verdict, ms int64) bool { return ms-v.MS >= w.spanMS+1000 }

func (w *Window) Len() int { return w.live }

// Bytes is the memory that the window takes.
func (w *Window) Bytes() int64 {
	const perChunk = chunkKeys*24 + 64 // the chunk's own fields, and the pointer to it
	n := int64(len(w.chunks)) * perChunk
	if w.spare != nil {
		n += perChunk
	}
	return n + w.index.bytes()
}

// keyBytes bounds what a further key takes, with its share of an index that has just grown; keySlack comes to it once.
const keyBytes, keySlack = 32, 2 * chunkKeys * 24

// full reports whether n more keys could pass the bound on one window that the numbering of entries sets.
func (w *Window) full(n int) bool { return len(w.chunks)+n/chunkKeys+2 > maxChunks }

// head is the number of the first entry; numbers of entries that are gone lie outside of [head, head+span), modulo the ring.
func (w *Window) head() uint32 { return w.first * chunkKeys & refMask }
func (w *Window) span() uint32 { return uint32(len(w.chunks)) * chunkKeys }

// at returns entry number n and its chunk, or nil when it is gone.
func (w *Window) at(n uint32) (*chunk, *entry) {
	k := (n - w.head()) & refMask
	if k >= w.span() {
		return nil, nil
	}
	c := w.chunks[k/chunkKeys]
	return c, &c.keys[n%chunkKeys]
}

// find returns the living entry of h.
func (w *Window) find(h Hash) (*chunk, *entry) {
	p := w.index.probe(h)
	s := w.index.shard(p)
	if len(s.slots) == 0 {
		return nil, nil
	}
	tag := p.tag()
	for i := s.home(p); s.slots[i] != 0; i = s.after(i) {
		if s.slots[i]>>refBits != tag {
			continue
		}
		if c, e := w.at(s.slots[i] & refMask); e != nil && e.hi == h.hi && e.lo == h.lo {
			return c, e
		}
	}
	return nil, nil
}

func (w *Window) Get(h Hash) (Verdict, bool) {
	c, e := w.find(h)
	if e == nil {
		return Verdict{}, false
	}
	return e.verdict(c), true
}

func (e *entry) hash() Hash { return Hash{e.hi, e.lo} }

func (e *entry) verdict(c *chunk) Verdict {
	return Verdict{
		Fingerprint: e.fingerprint,
		Refused:     e.packed&refusedFlag != 0,
		Number:      int64(e.packed & MaxNumber),
		MS:          c.baseMS + int64(e.packed>>numberBits&maxSeconds)*1000,
	}
}

// PutAll puts some keys, in their order. It looks at all of their slots in the index first: these reads are misses of the cache that
// don't wait for one another, while those of put do.
func (w *Window) PutAll(some []Item) {
	for i := range some {
		p := w.index.probe(some[i].Hash)
		if s := w.index.shard(p); len(s.slots) > 0 {
			w.index.touched ^= s.slots[s.home(p)]
		}
	}
	for i := range some {
		w.Put(some[i].Hash, some[i].Verdict)
	}
}

func (w *Window) Put(h Hash, v Verdict) {
	v.MS = max(v.MS, w.lastMS)
	w.lastMS = v.MS
	var c *chunk
	if n := len(w.chunks); n > 0 {
		c = w.chunks[n-1]
	}
	if c == nil || c.n == chunkKeys || v.MS-c.baseMS > maxSeconds*1000 {
		// Whole seconds, so that cutting a time that a snapshot has cut already changes nothing.
		c = &chunk{baseMS: v.MS / 1000 * 1000, keys: w.spare}
		if w.spare = nil; c.keys == nil {
			c.keys = make([]entry, chunkKeys)
		}
		w.chunks = append(w.chunks, c)
		w.tidy()
	}
	packed := uint64(v.Number)&MaxNumber | uint64((v.MS-c.baseMS)/1000)<<numberBits
	if v.Refused {
		packed |= refusedFlag
	}
	c.keys[c.n] = entry{h.hi, h.lo, v.Fingerprint, packed}
	ref := w.head() + uint32(len(w.chunks)-1)*chunkKeys + uint32(c.n)
	c.n++
	w.point(h, ref&refMask)
}

// Expire forgets whole chunks of which every key is over at ms.
func (w *Window) Expire(ms int64) {
	for len(w.chunks) > 1 {
		// No key of this chunk is younger than the second in which the next one began.
		if ms-w.chunks[1].baseMS < w.spanMS+2000 {
			return
		}
		c := w.chunks[0]
		w.live -= c.n - c.superseded
		w.spare = c.keys
		w.chunks[0] = nil
		w.chunks = w.chunks[1:]
		w.first = (w.first + 1) % chunkRing
	}
}

// Each calls fn for every key in order of admission.
func (w *Window) Each(fn func(Hash, Verdict)) {
	for _, c := range w.chunks {
		for k := range c.n {
			if e := &c.keys[k]; e.packed&supersededFlag == 0 {
				fn(e.hash(), e.verdict(c))
			}
		}
	}
}
