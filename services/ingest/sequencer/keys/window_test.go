package keys

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func TestWindow_RemembersEveryKeyForADayAndForgetsItAfter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w, model := NewWindow(0), map[Hash]Verdict{}
	ms := int64(1_700_000_000_000)
	for i := range 400_000 {
		ms += rng.Int64N(1200) // about 66 hours in all: the queue turns over
		h := HashOf("t", fmt.Sprint(rng.IntN(300_000)))
		v := Verdict{Fingerprint: rng.Uint32(), Refused: i%7 == 0, Number: int64(i), MS: ms}
		w.Put(h, v)
		model[h] = v
		if i%1000 == 0 {
			w.Expire(ms)
		}
	}
	w.Expire(ms)
	alive := 0
	for h, want := range model {
		got, ok := w.Get(h)
		if ms-want.MS < w.spanMS {
			alive++
			if !ok || w.Expired(got, ms) {
				t.Fatalf("key of %d ms ago is forgotten", ms-want.MS)
			}
			if got.Number != want.Number || got.Fingerprint != want.Fingerprint || got.Refused != want.Refused || want.MS-got.MS >= 1000 || want.MS < got.MS {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		} else if ok && ms-want.MS > w.spanMS+2000 && !w.Expired(got, ms) {
			t.Fatalf("key of %d ms ago is remembered", ms-want.MS)
		}
	}
	if w.Len() < alive || w.Len() > alive+4*chunkKeys {
		t.Fatalf("%d keys kept for %d living ones", w.Len(), alive)
	}
	n := 0
	w.Each(func(Hash, Verdict) { n++ })
	if n != w.Len() {
		t.Fatalf("each visited %d of %d", n, w.Len())
	}
}

// naive is the window as its comment tells it: a map, and a list in order of admission.
type naive struct {
	last int64
	at   map[Hash]int
	list []struct {
		Hash
		Verdict
	}
}

func (n *naive) put(h Hash, v Verdict) {
	n.last = max(n.last, v.MS)
	v.MS = n.last
	n.at[h] = len(n.list)
	n.list = append(n.list, struct {
		Hash
		Verdict
	}{h, v})
}

func TestWindow_AgreesWithANaiveOneWhateverIsDone(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, m := NewWindow(0), &naive{at: map[Hash]int{}}
		w.first = uint32(rng.IntN(3) * (chunkRing - 3) / 2) // numbers wrap
		if seed%2 == 1 {
			w.Reserve(20_000)
			w.Filled()
		}
		ms, keys, step := int64(1_700_000_000_000), 1000, int64(1)
		check := func(h Hash) {
			got, ok := w.Get(h)
			k, known := m.at[h]
			if !known {
				if ok {
					t.Fatalf("seed %d: a key that nobody put has verdict %+v", seed, got)
				}
				return
			}
			want := m.list[k].Verdict
			if !ok && ms-want.MS >= w.spanMS+1000 {
				return // forgotten by right
			}
			if cut := want.MS - got.MS; !ok || got.Fingerprint != want.Fingerprint || got.Number != want.Number || got.Refused != want.Refused || cut < 0 || cut > 999 {
				t.Fatalf("seed %d: got %+v %v, want %+v at %d", seed, got, ok, want, ms)
			}
		}
		for i := range 150_000 {
			switch rng.IntN(20_000) {
			case 0, 1, 2, 3: // another load: few keys put again and again, or many; a lot a second, or few an hour
				keys, step = 1<<rng.IntN(20), 1<<rng.IntN(18)
			case 4: // nothing for a while
				ms += rng.Int64N(2 * w.spanMS)
			}
			ms += rng.Int64N(step)
			h := HashOf("t", fmt.Sprint(rng.IntN(keys)))
			if rng.IntN(3) == 0 {
				check(h)
				continue
			}
			v := Verdict{Fingerprint: rng.Uint32(), Refused: rng.IntN(5) == 0, Number: rng.Int64N(MaxNumber + 1), MS: ms - rng.Int64N(2)*rng.Int64N(5000)}
			w.Put(h, v)
			m.put(h, v)
			if i%500 == 0 {
				w.Expire(ms)
			}
		}
		for h := range m.at {
			check(h)
		}
		// each: what get knows, in order of admission, and as many as len says.
		n, before := 0, -1
		w.Each(func(h Hash, v Verdict) {
			if got, ok := w.Get(h); !ok || got != v {
				t.Fatalf("seed %d: each gives %+v, get %+v %v", seed, v, got, ok)
			}
			if m.at[h] <= before {
				t.Fatalf("seed %d: not in order of admission", seed)
			}
			n, before = n+1, m.at[h]
		})
		if n != w.Len() {
			t.Fatalf("seed %d: each gives %d keys, len is %d", seed, n, w.Len())
		}
		slots := 0
		for i := range w.index.shards {
			slots += len(w.index.shards[i].slots)
		}
		if slots != w.index.slots {
			t.Fatalf("seed %d: %d slots, counted as %d", seed, slots, w.index.slots)
		}
	}
}

func TestWindow_EntryNumbersMayWrap(t *testing.T) {
	w := NewWindow(0)
	w.first = chunkRing - 2
	for i := range 5 * chunkKeys {
		w.Put(HashOf("t", fmt.Sprint(i)), Verdict{Number: int64(i), MS: 1000})
	}
	for i := range 5 * chunkKeys {
		if v, ok := w.Get(HashOf("t", fmt.Sprint(i))); !ok || v.Number != int64(i) {
			t.Fatalf("key %d: %+v %v", i, v, ok)
		}
	}
}

func TestWindow_NumbersOfForgottenEntriesAreTakenOutOfTheIndexBeforeTheyComeAgain(t *testing.T) {
	w := NewWindow(0)
	for i := range 200_000 {
		w.Put(spread(uint64(i)), Verdict{Number: int64(i), MS: 1000})
	}
	w.Expire(1000 + 2*w.spanMS)
	w.Put(spread(1<<40), Verdict{MS: 1000 + 2*w.spanMS})
	w.Expire(1000 + 2*w.spanMS)
	if w.Len() > 1+chunkKeys {
		t.Fatalf("%d keys after everything was forgotten", w.Len())
	}
	for i := range (len(w.index.shards) + 1) * chunkKeys {
		w.Put(spread(1<<41+uint64(i)), Verdict{MS: 1000 + 2*w.spanMS})
	}
	head, span := w.head(), w.span()
	for i := range w.index.shards {
		for _, v := range w.index.shards[i].slots {
			if v > vacant && (v-head)&refMask >= span {
				t.Fatal("a number of a forgotten entry is left")
			}
		}
	}
	if w.Bytes() > 64*int64(w.Len()) {
		t.Fatalf("%d bytes for %d keys after 200,000 were forgotten", w.Bytes(), w.Len())
	}
}

// A tenant has searched for keys of which the hashes are alike in 50 of their bits.
func TestWindow_KeysThatSomebodyChoseDoNotLieTogether(t *testing.T) {
	const keys = 50_000
	w := NewWindow(0)
	for i := range uint64(keys) {
		h := spread(i)
		h.hi = h.hi>>32<<32 | 5
		h.lo = h.lo>>14 | 7<<18
		w.Put(h, Verdict{Number: int64(i), MS: 1000})
	}
	if w.Len() != keys {
		t.Fatal(w.Len())
	}
	run, longest := 0, 0 // of slots in use, which a search may have to go over
	for i := range w.index.shards {
		for _, v := range w.index.shards[i].slots {
			if run++; v == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
	}
	if largest := slices.MaxFunc(w.index.shards, func(a, b shard) int { return a.used - b.used }).used; largest > 3*shardKeys || longest > shardKeys {
		t.Fatalf("%d of %d keys in one shard, and %d side by side", largest, keys, longest)
	}
}

// spread is a hash for number i, as even as a real one.
func spread(i uint64) Hash {
	i = (i + 1) * 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	hi := i ^ i>>31
	return Hash{hi, uint32((hi * 0xd6e8feb86659fd93) >> 32)}
}

func TestWindow_TakesAtMostThirtyBytesAKeyWhileItGrowsAndWhileItAges(t *testing.T) {
	const top, samples = 1_000_000, 20
	w, before := NewWindow(0), heapBytes()
	ms, key := int64(1_700_000_000_000), uint64(0)
	average := func(n int, what string) {
		var sum float64
		for range samples {
			for range n / samples {
				ms += w.spanMS / top
				w.Put(spread(key), Verdict{Number: int64(key), MS: ms})
				w.Expire(ms)
				key++
			}
			real := heapBytes() - before
			if counted := w.Bytes(); real > counted+counted/50+64<<10 || real < counted-counted/33-64<<10 {
				t.Errorf("%s: bytes says %d, the heap %d", what, counted, real)
			}
			sum += float64(real) / float64(w.Len())
		}
		if avg := sum / samples; avg > 30 {
			t.Errorf("%s: %.2f bytes a key on average", what, avg)
		} else {
			t.Logf("%s: %.2f bytes a key on average", what, avg)
		}
	}
	average(top, "growing")
	average(2*top, "ageing")
	runtime.KeepAlive(w)
}

func TestWindow_NoPutTakesLong(t *testing.T) {
	w := NewWindow(0)
	moved := 0 // slots that one put goes over at the most
	for i := range uint64(600_000) {
		w.Put(spread(i), Verdict{Number: int64(i), MS: int64(i)})
		moved = max(moved, len(w.index.buffer))
	}
	if moved > 3*shardKeys {
		t.Fatalf("one put moved %d keys", moved)
	}
}

func BenchmarkWindow_Age(b *testing.B) {
	const n = 1_000_000
	w, key := NewWindow(0), uint64(0)
	put := func() {
		h := spread(key)
		ms := int64(key) * (w.spanMS / n)
		if _, ok := w.Get(h); !ok {
			w.Put(h, Verdict{Number: int64(key), MS: ms})
		}
		if key%1000 == 0 {
			w.Expire(ms)
		}
		key++
	}
	for range 2 * n {
		put()
	}
	b.ResetTimer()
	for b.Loop() {
		put()
	}
}

func TestWindow_ShorterSpanForgetsSooner(t *testing.T) {
	w := NewWindow(0)
	w.spanMS = 1000
	w.Put(HashOf("t", "k"), Verdict{Number: 7, MS: 5_000})
	v, ok := w.Get(HashOf("t", "k"))
	if !ok || w.Expired(v, 6_999) || !w.Expired(v, 7_000) {
		t.Fatalf("%+v %v", v, ok)
	}
}
