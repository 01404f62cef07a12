package backtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// made is an archive that makes its events when they are read, as a database would send them.
type made struct {
	schemas *schemas
	n       int64
}

func (m made) Events(ctx context.Context, _ string, from int64, limit int) (out []event.Recorded, err error) {
	for sequence := from; sequence <= m.n && len(out) < limit; sequence++ {
		at := day.Add(time.Duration(sequence) * 2 * time.Second)
		channel := []string{"referral", "paid search", "organic search", "social", "email"}[sequence%5]
		subject, value, err := m.schemas.encode(ctx, "lead.created", map[string]any{"lead_id": fmt.Sprint(sequence), "email": fmt.Sprintf("lead-%d@example.com", sequence), "first_name": "Ann", "channel": channel})
		if err != nil {
			return nil, err
		}
		out = append(out, event.Recorded{Event: event.Event{TenantID: acme, ID: fmt.Sprintf("lead-%d", sequence), Source: "/bench", Type: "lead.created", Subject: subject, Time: at, ContentType: event.ContentTypeAvro, Value: value},
			Sequence: sequence, Position: event.PositionAt(at.UnixMilli()), RecordedTime: at, LogID: "bench"})
	}
	return out, nil
}

// demo is the rules of the demo, in files that a text is replaced in.
func demo(b *testing.B, old, with string) (out []ruleset.File) {
	b.Helper()
	paths, err := filepath.Glob("../../neuronx/demo/rules/*.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.yaml") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, ruleset.File{Name: filepath.Base(path), Text: strings.ReplaceAll(string(text), old, with)})
	}
	if len(out) < 3 {
		b.Fatalf("the demo has %d rules", len(out))
	}
	return out
}

// BenchmarkBacktest runs the demo's rules against themselves with another threshold, over the facts of a tenant. NEURONX_BENCH_FACTS says how
// many. The raw limit is reading the same events and decoding each once.
func BenchmarkBacktest(b *testing.B) {
	n := int64(100_000)
	if text := os.Getenv("NEURONX_BENCH_FACTS"); text != "" {
		var err error
		if n, err = strconv.ParseInt(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	source := made{newSchemas(catalogue(b)), n}
	cfg := Config{Tenant: acme, First: 1, From: day, To: day.Add(time.Duration(n+1) * 2 * time.Second), Against: Rules{Name: "demo", Files: demo(b, "\x00", "")}, Candidate: Rules{Name: "other", Files: demo(b, ">= 50", ">= 40")}}
	for range b.N {
		begun := time.Now()
		decoder := newSchemas(catalogue(b))
		err := stream.Fold(b.Context(), source, acme, 1, n, func(e *event.Recorded) error {
			_, _, err := decoder.decode(b.Context(), e.Value)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		raw := time.Since(begun)
		begun = time.Now()
		r, err := Run(b.Context(), cfg, source, catalogue(b))
		if err != nil || int64(r.Facts.Total) != n {
			b.Fatal(err, r.Facts)
		}
		took := time.Since(begun)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(n)/took.Seconds(), "facts/s")
		b.ReportMetric(float64(n)/raw.Seconds(), "decodes/s")
		b.ReportMetric(peak(b), "MiB")
	}
}

// peak is the most memory that this process has had resident, in MiB.
func peak(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\nVmHWM:")
	line, _, _ := strings.Cut(after, " kB")
	kb, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}
