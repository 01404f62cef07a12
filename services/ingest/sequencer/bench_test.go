package sequencer

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// BenchmarkStage is what the sequencer does with a record besides reading and writing it.
func BenchmarkStage(b *testing.B) {
	keyring := event.NewKeyring()
	s := newState([16]byte{1}, 0, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11", 0)
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
		p.push(ingressRecord(e, int64(i)))
	}
	id, _, err := event.Unframe(p.pending[0].Value)
	if err != nil {
		b.Fatal(err)
	}
	schemas.found[id] = testSchemas.byID[id]
	var rates Rates
	rates.setDefaults()
	c := &session{parts: map[int32]*partition{0: p}, memory: newKeyMemory(1 << 30), sequencer: &sequencer{partitions: 1, schemas: schemas, cfg: Config{
		MaxRecords: 10_000, MaxDuration: time.Minute, Keys: keyring, Rates: rates, Now: func() time.Time { return time.UnixMilli(testNow) },
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
