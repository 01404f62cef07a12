package keys

import (
	"runtime"
	"testing"
	"time"

	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// heapBytes is what is alive.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkKeyWindow(b *testing.B) {
	n := sequencertest.BenchKeys(b)
	const samples = 50
	for b.Loop() {
		before := heapBytes()
		w, key, ms := NewWindow(0), 0, int64(1_700_000_000_000)
		var longest time.Duration
		average := func() float64 {
			sum := 0.0
			for range samples {
				for range n / samples {
					h, v := spread(uint64(key)), Verdict{Number: int64(key) / 50, MS: ms}
					began := time.Now()
					w.Put(h, v)
					w.Expire(ms)
					longest = max(longest, time.Since(began))
					ms += w.spanMS / int64(n)
					key++
				}
				sum += float64(heapBytes()-before) / float64(w.Len())
			}
			return sum / samples
		}
		growing := average()
		ageing := average()
		b.ReportMetric(growing, "bytes/key-growing")
		b.ReportMetric(ageing, "bytes/key-ageing")
		b.ReportMetric((growing+ageing)/2, "bytes/key")
		b.ReportMetric(float64(longest.Microseconds()), "µs-longest")
		runtime.KeepAlive(w)
	}
}
