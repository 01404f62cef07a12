package sequencer

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func BenchmarkRestore(b *testing.B) {
	n := benchKeys(b)
	chunks := packedSnapshot(n)
	runtime.GC()
	var wall, cpu time.Duration
	for b.Loop() {
		began, used := time.Now(), cpuTime(b)
		l := &loader{TopicID: [16]byte{1}, Partition: 3}
		for i, c := range chunks {
			if err := l.add(int64(i), c); err != nil {
				b.Fatal(err)
			}
		}
		wall += time.Since(began)
		cpu += cpuTime(b) - used
		if l.State.keys.len() < n-1024 {
			b.Fatalf("%d keys", l.State.keys.len())
		}
	}
	keys := float64(b.N) * float64(n)
	b.ReportMetric(keys/wall.Seconds(), "keys/s")
	b.ReportMetric(keys/cpu.Seconds(), "keys/cpu-s")
}

// packedSnapshot is a snapshot of n keys of one day.
func packedSnapshot(n int) [][]byte {
	s := newState([16]byte{1}, 3, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11", 0)
	s.position = 1_764_000_000_000 << 20
	span := KeyWindow.Milliseconds()
	for i := range n {
		s.keys.put(hashKey("acme", strconv.Itoa(i)), verdict{fingerprint: uint32(i), number: int64(i) / 50, ms: event.PositionTime(s.position) - span + span*int64(i)/int64(n)})
	}
	return snapshot(s)
}
