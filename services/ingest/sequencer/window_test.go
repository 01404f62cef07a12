package sequencer

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func TestWindow_RemembersEveryKeyForADayAndForgetsItAfter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w, model := newWindow(0), map[keyHash]verdict{}
	ms := int64(1_700_000_000_000)
	for i := range 400_000 {
		ms += rng.Int64N(1200) // about 66 hours in all: the queue turns over
		h := hashKey("t", fmt.Sprint(rng.IntN(300_000)))
		v := verdict{fingerprint: rng.Uint32(), refused: i%7 == 0, number: int64(i), ms: ms}
		w.put(h, v)
		model[h] = v
		if i%1000 == 0 {
			w.expire(ms)
		}
	}
	w.expire(ms)
	alive := 0
	for h, want := range model {
		got, ok := w.get(h)
		if ms-want.ms < w.spanMS {
			alive++
			if !ok || w.expired(got, ms) {
				t.Fatalf("key of %d ms ago is forgotten", ms-want.ms)
			}
			if got.number != want.number || got.fingerprint != want.fingerprint || got.refused != want.refused || want.ms-got.ms >= 1000 || want.ms < got.ms {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		} else if ok && ms-want.ms > w.spanMS+2000 && !w.expired(got, ms) {
			t.Fatalf("key of %d ms ago is remembered", ms-want.ms)
		}
	}
	if w.len() < alive || w.len() > alive+4*chunkKeys {
		t.Fatalf("%d keys kept for %d living ones", w.len(), alive)
	}
	n := 0
	w.each(func(keyHash, verdict) { n++ })
	if n != w.len() {
		t.Fatalf("each visited %d of %d", n, w.len())
	}
}

// naive is the window as its comment tells it: a map, and a list in order of admission.
type naive struct {
	last int64
	at   map[keyHash]int
	list []struct {
		keyHash
		verdict
	}
}

func (n *naive) put(h keyHash, v verdict) {
	n.last = max(n.last, v.ms)
	v.ms = n.last
	n.at[h] = len(n.list)
	n.list = append(n.list, struct {
		keyHash
		verdict
	}{h, v})
}

func TestWindow_AgreesWithANaiveOneWhateverIsDone(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, m := newWindow(0), &naive{at: map[keyHash]int{}}
		w.first = uint32(rng.IntN(3) * (chunkRing - 3) / 2) // numbers wrap
		if seed%2 == 1 {
			w.reserve(20_000)
			w.settle()
		}
		ms, keys, step := int64(1_700_000_000_000), 1000, int64(1)
		check := func(h keyHash) {
			got, ok := w.get(h)
			k, known := m.at[h]
			if !known {
				if ok {
					t.Fatalf("seed %d: a key that nobody put has verdict %+v", seed, got)
				}
				return
			}
			want := m.list[k].verdict
			if !ok && ms-want.ms >= w.spanMS+1000 {
				return // forgotten by right
			}
			if cut := want.ms - got.ms; !ok || got.fingerprint != want.fingerprint || got.number != want.number || got.refused != want.refused || cut < 0 || cut > 999 {
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
			h := hashKey("t", fmt.Sprint(rng.IntN(keys)))
			if rng.IntN(3) == 0 {
				check(h)
				continue
			}
			v := verdict{fingerprint: rng.Uint32(), refused: rng.IntN(5) == 0, number: rng.Int64N(maxNumber + 1), ms: ms - rng.Int64N(2)*rng.Int64N(5000)}
			w.put(h, v)
			m.put(h, v)
			if i%500 == 0 {
				w.expire(ms)
			}
		}
		for h := range m.at {
			check(h)
		}
		// each: what get knows, in order of admission, and as many as len says.
		n, before := 0, -1
		w.each(func(h keyHash, v verdict) {
			if got, ok := w.get(h); !ok || got != v {
				t.Fatalf("seed %d: each gives %+v, get %+v %v", seed, v, got, ok)
			}
			if m.at[h] <= before {
				t.Fatalf("seed %d: not in order of admission", seed)
			}
			n, before = n+1, m.at[h]
		})
		if n != w.len() {
			t.Fatalf("seed %d: each gives %d keys, len is %d", seed, n, w.len())
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
	w := newWindow(0)
	w.first = chunkRing - 2
	for i := range 5 * chunkKeys {
		w.put(hashKey("t", fmt.Sprint(i)), verdict{number: int64(i), ms: 1000})
	}
	for i := range 5 * chunkKeys {
		if v, ok := w.get(hashKey("t", fmt.Sprint(i))); !ok || v.number != int64(i) {
			t.Fatalf("key %d: %+v %v", i, v, ok)
		}
	}
}

func TestWindow_NumbersOfForgottenEntriesAreTakenOutOfTheIndexBeforeTheyComeAgain(t *testing.T) {
	w := newWindow(0)
	for i := range 200_000 {
		w.put(spread(uint64(i)), verdict{number: int64(i), ms: 1000})
	}
	w.expire(1000 + 2*w.spanMS)
	w.put(spread(1<<40), verdict{ms: 1000 + 2*w.spanMS})
	w.expire(1000 + 2*w.spanMS)
	if w.len() > 1+chunkKeys {
		t.Fatalf("%d keys after everything was forgotten", w.len())
	}
	for i := range (len(w.index.shards) + 1) * chunkKeys {
		w.put(spread(1<<41+uint64(i)), verdict{ms: 1000 + 2*w.spanMS})
	}
	head, span := w.head(), w.span()
	for i := range w.index.shards {
		for _, v := range w.index.shards[i].slots {
			if v > vacant && (v-head)&refMask >= span {
				t.Fatal("a number of a forgotten entry is left")
			}
		}
	}
	if w.bytes() > 64*int64(w.len()) {
		t.Fatalf("%d bytes for %d keys after 200,000 were forgotten", w.bytes(), w.len())
	}
}

// A tenant has searched for keys of which the hashes are alike in 50 of their bits.
func TestWindow_KeysThatSomebodyChoseDoNotLieTogether(t *testing.T) {
	const keys = 50_000
	w := newWindow(0)
	for i := range uint64(keys) {
		h := spread(i)
		h.hi = h.hi>>32<<32 | 5
		h.lo = h.lo>>14 | 7<<18
		w.put(h, verdict{number: int64(i), ms: 1000})
	}
	if w.len() != keys {
		t.Fatal(w.len())
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
func spread(i uint64) keyHash {
	i = (i + 1) * 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	hi := i ^ i>>31
	return keyHash{hi, uint32((hi * 0xd6e8feb86659fd93) >> 32)}
}

func TestWindow_TakesAtMostThirtyBytesAKeyWhileItGrowsAndWhileItAges(t *testing.T) {
	const top, samples = 1_000_000, 20
	w, before := newWindow(0), heapBytes()
	ms, key := int64(1_700_000_000_000), uint64(0)
	average := func(n int, what string) {
		var sum float64
		for range samples {
			for range n / samples {
				ms += w.spanMS / top
				w.put(spread(key), verdict{number: int64(key), ms: ms})
				w.expire(ms)
				key++
			}
			real := heapBytes() - before
			if counted := w.bytes(); real > counted+counted/50+64<<10 || real < counted-counted/33-64<<10 {
				t.Errorf("%s: bytes says %d, the heap %d", what, counted, real)
			}
			sum += float64(real) / float64(w.len())
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
	w := newWindow(0)
	moved := 0 // slots that one put goes over at the most
	for i := range uint64(600_000) {
		w.put(spread(i), verdict{number: int64(i), ms: int64(i)})
		moved = max(moved, len(w.index.buffer))
	}
	if moved > 3*shardKeys {
		t.Fatalf("one put moved %d keys", moved)
	}
}

func BenchmarkWindow_Age(b *testing.B) {
	const n = 1_000_000
	w, key := newWindow(0), uint64(0)
	put := func() {
		h := spread(key)
		ms := int64(key) * (w.spanMS / n)
		if _, ok := w.get(h); !ok {
			w.put(h, verdict{number: int64(key), ms: ms})
		}
		if key%1000 == 0 {
			w.expire(ms)
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
	w := newWindow(0)
	w.spanMS = 1000
	w.put(hashKey("t", "k"), verdict{number: 7, ms: 5_000})
	v, ok := w.get(hashKey("t", "k"))
	if !ok || w.expired(v, 6_999) || !w.expired(v, 7_000) {
		t.Fatalf("%+v %v", v, ok)
	}
}
