package sequencer

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// BenchmarkStage is what the sequencer does with a record besides reading and writing it.
func BenchmarkStage(b *testing.B) {
	keyring := event.NewKeyring()
	s := admission.NewState([16]byte{1}, 0, "6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11", 0)
	s.Position = sequencertest.Now << 20
	s.Tenants["a"] = &admission.Tenant{Status: admission.StatusActive, Sequence: 1}
	schemas := newSchemaCache(sequencertest.Schemas)
	defer schemas.close()
	p := &partition{phase: running, state: s}
	const records = 10_000
	for i := range records {
		e := sequencertest.Lead("a", fmt.Sprintf("0191f7c2-6f1f-4d53-9a2e-%012d", i))
		e.Subject = "lead/" + e.ID
		e.CorrelationID, e.TraceParent = e.ID, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		p.push(ingressRecord(e, int64(i)))
	}
	id, _, err := event.Unframe(p.pending[0].Value)
	if err != nil {
		b.Fatal(err)
	}
	schemas.found[id] = sequencertest.Schemas.ByID[id]
	var rates admission.Rates
	rates.SetDefaults()
	c := &session{parts: map[int32]*partition{0: p}, memory: keys.NewMemory(1 << 30), sequencer: &sequencer{partitions: 1, schemas: schemas, cfg: Config{
		MaxRecords: 10_000, MaxDuration: time.Minute, Keys: keyring, Rates: rates, Now: func() time.Time { return time.UnixMilli(sequencertest.Now) },
	}}}
	pending := p.pending
	b.ReportAllocs()
	began, n := sequencertest.CPUTime(b), 0
	for b.Loop() {
		batch := c.stage()
		if runs := batch.parts[0].tally.runs; len(runs) != 1 || runs[0].outcome != admission.Admitted {
			b.Fatalf("%+v", runs)
		}
		batch.records()
		n += batch.n
		p.pending = pending
	}
	if n != b.N*records {
		b.Fatalf("%d records", n)
	}
	b.ReportMetric(float64((sequencertest.CPUTime(b)-began).Nanoseconds())/float64(n), "cpu-ns/record")
}
