package admission

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

func BenchmarkRestore(b *testing.B) {
	n := sequencertest.BenchKeys(b)
	chunks := packedSnapshot(n)
	runtime.GC()
	var wall, cpu time.Duration
	for b.Loop() {
		began, used := time.Now(), sequencertest.CPUTime(b)
		l := &Loader{TopicID: [16]byte{1}, Partition: 3}
		for i, c := range chunks {
			if err := l.Add(int64(i), c); err != nil {
				b.Fatal(err)
			}
		}
		wall += time.Since(began)
		cpu += sequencertest.CPUTime(b) - used
		if l.State.Keys.Len() < n-1024 {
			b.Fatalf("%d keys", l.State.Keys.Len())
		}
	}
	keys := float64(b.N) * float64(n)
	b.ReportMetric(keys/wall.Seconds(), "keys/s")
	b.ReportMetric(keys/cpu.Seconds(), "keys/cpu-s")
}

// packedSnapshot is a snapshot of n keys of one day.
func packedSnapshot(n int) [][]byte {
	s := NewState([16]byte{1}, 3, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11", 0)
	s.Position = 1_764_000_000_000 << 20
	span := keys.DefaultWindow.Milliseconds()
	for i := range n {
		s.Keys.Put(keys.HashOf("acme", strconv.Itoa(i)), keys.Verdict{Fingerprint: uint32(i), Number: int64(i) / 50, MS: event.PositionTime(s.Position) - span + span*int64(i)/int64(n)})
	}
	return Snapshot(s)
}
