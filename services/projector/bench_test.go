package projector

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/projector/fold"
)

// BenchmarkApplyBatch projects batches of 2,000 events of 20 tenants into Postgres.
func BenchmarkApplyBatch(b *testing.B) {
	specs, err := fold.Declared()
	if err != nil {
		b.Fatal(err)
	}
	db := postgrestest.New(b, consumer.Migrations(), Migrations())
	pool := db.Pool(b, postgres.RoleProjector)
	f := &fixture{t: b, schemas: newCatalogue(b), specs: specs, heads: map[string]int64{}}
	m, err := newMetrics(nil, specs)
	if err != nil {
		b.Fatal(err)
	}
	p, rng := newProjector(pool, consumer.FeedMain, specs, f.schemas, m, slog.New(slog.DiscardHandler)), rand.New(rand.NewPCG(1, 1))
	events := 0
	for b.Loop() {
		b.StopTimer()
		runs := make([]consumer.Run, 20)
		for i := range runs {
			runs[i] = consumer.Run{TenantID: "tenant-" + string(rune('a'+i)), Generation: 1}
			for len(runs[i].Events) < 100 {
				// A tenant's time zone is set once a year, and then everything that is counted is counted again.
				if e := f.random(rng, runs[i].TenantID); e.Type != fold.TypeZoneSet {
					runs[i].Events = append(runs[i].Events, e)
				}
			}
		}
		b.StartTimer()
		if err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error { return p.ApplyBatch(context.Background(), tx, runs) }); err != nil {
			b.Fatal(err)
		}
		events += 2000
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
