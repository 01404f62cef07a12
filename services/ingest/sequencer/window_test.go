package sequencer

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestWindow_RemembersEveryKeyForADayAndForgetsItAfter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w, model := newWindow(), map[keyHash]verdict{}
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

func TestWindow_EntryNumbersMayWrap(t *testing.T) {
	w := newWindow()
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

func BenchmarkWindow_Put(b *testing.B) {
	w := newWindow()
	for i := 0; b.Loop(); i++ {
		h := keyHash{uint64(i) * 0x9e3779b97f4a7c15, uint32(i) * 2654435761}
		if _, ok := w.get(h); !ok {
			w.put(h, verdict{number: int64(i), ms: int64(i)})
		}
	}
}

func TestWindow_ShorterSpanForgetsSooner(t *testing.T) {
	w := newWindow()
	w.spanMS = 1000
	w.put(hashKey("t", "k"), verdict{number: 7, ms: 5_000})
	v, ok := w.get(hashKey("t", "k"))
	if !ok || w.expired(v, 6_999) || !w.expired(v, 7_000) {
		t.Fatalf("%+v %v", v, ok)
	}
}
