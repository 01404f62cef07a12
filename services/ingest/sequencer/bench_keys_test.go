package sequencer

import (
	"runtime"
	"testing"
	"time"
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
	n := benchKeys(b)
	const samples = 50
	for b.Loop() {
		before := heapBytes()
		w, key, ms := newWindow(0), 0, int64(1_700_000_000_000)
		var longest time.Duration
		average := func() float64 {
			sum := 0.0
			for range samples {
				for range n / samples {
					h, v := spread(uint64(key)), verdict{number: int64(key) / 50, ms: ms}
					began := time.Now()
					w.put(h, v)
					w.expire(ms)
					longest = max(longest, time.Since(began))
					ms += w.spanMS / int64(n)
					key++
				}
				sum += float64(heapBytes()-before) / float64(w.len())
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
