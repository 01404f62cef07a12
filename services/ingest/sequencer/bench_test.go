package sequencer

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// The jobs key_window and restore of e2e/bench run these with NEURONX_BENCH_KEYS=5000000.

func benchKeys(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("NEURONX_BENCH_KEYS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

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
		w, key, ms := newWindow(), 0, int64(1_700_000_000_000)
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

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkRestore(b *testing.B) {
	n := benchKeys(b)
	chunks := packedSnapshot(n)
	runtime.GC()
	var wall, cpu time.Duration
	for b.Loop() {
		began, used := time.Now(), cpuTime(b)
		l := &loader{topicID: [16]byte{1}, partition: 3}
		for i, c := range chunks {
			if err := l.add(int64(i), c); err != nil {
				b.Fatal(err)
			}
		}
		wall += time.Since(began)
		cpu += cpuTime(b) - used
		if l.s.keys.len() < n-chunkKeys {
			b.Fatalf("%d keys", l.s.keys.len())
		}
	}
	keys := float64(b.N) * float64(n)
	b.ReportMetric(keys/wall.Seconds(), "keys/s")
	b.ReportMetric(keys/cpu.Seconds(), "keys/cpu-s")
}

// packedSnapshot is a snapshot of n keys of one day.
func packedSnapshot(n int) [][]byte {
	s := newState([16]byte{1}, 3, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11")
	s.position = 1_764_000_000_000 << 20
	span := s.keys.spanMS
	for i := range n {
		s.keys.put(spread(uint64(i)), verdict{fingerprint: uint32(i), number: int64(i) / 50, ms: event.PositionTime(s.position) - span + span*int64(i)/int64(n)})
	}
	return s.snapshot()
}

// BenchmarkStage is what the sequencer does with a record besides reading and writing it.
func BenchmarkStage(b *testing.B) {
	keys := event.NewKeyring()
	s := newState([16]byte{1}, 0, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11")
	s.position = testNow << 20
	s.tenants["a"] = &tenant{status: statusActive, sequence: 1}
	schemas := newSchemaCache(testSchemas)
	defer schemas.close()
	p := &partition{phase: running, state: s}
	const records = 10_000
	for i := range records {
		e := lead("a", fmt.Sprintf("0191f7c2-6f1f-4d53-9a2e-%012d", i))
		e.Subject = "lead/" + e.ID
		e.CorrelationID, e.TraceParent = e.ID, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		r := kafka.ToRecord(kafka.TopicIngress, e)
		r.Offset, r.Timestamp = int64(i), time.UnixMilli(testNow)
		p.push(r)
	}
	id, _, err := event.Unframe(p.pending[0].Value)
	if err != nil {
		b.Fatal(err)
	}
	if schemas.found[id], err = testSchemas.get(id); err != nil {
		b.Fatal(err)
	}
	var rates Rates
	rates.setDefaults()
	c := &session{parts: map[int32]*partition{0: p}, memory: newKeyMemory(1 << 30), sequencer: &sequencer{partitions: 1, schemas: schemas, cfg: Config{
		MaxRecords: 10_000, MaxDuration: time.Minute, Keys: keys, Rates: rates, Now: func() time.Time { return time.UnixMilli(testNow) },
	}}}
	pending := p.pending
	b.ReportAllocs()
	began, n := cpuTime(b), 0
	for b.Loop() {
		batch := c.stage()
		if runs := batch.parts[0].tally.runs; len(runs) != 1 || runs[0].outcome != admitted {
			b.Fatalf("%+v", runs)
		}
		batch.records()
		n += batch.n
		p.pending = pending
	}
	if n != b.N*records {
		b.Fatalf("%d records", n)
	}
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/float64(n), "cpu-ns/record")
}
