package projector

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

func TestProjector_AFailedQueryIsTheErrorThatIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.event("acme", "tenant.created", map[string]any{"name": "Acme"})
	f.apply([]consumer.Run{{TenantID: "acme", Generation: 1, Events: []event.Recorded{first}}})
	lead := f.event("acme", "lead.created", map[string]any{"lead_id": "1", "email": "a@example.com"})
	zone := f.event("acme", fold.TypeZoneSet, map[string]any{"zone": "Europe/Berlin"})
	merge := f.event("acme", "subject.merged", map[string]any{"from": "lead/1", "into": "lead/2"})
	key := f.event("acme", "tenant.suspended", map[string]any{"reason": nil})
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	main, control := f.projector(consumer.FeedMain), f.projector(FeedControl)
	apply := func(p *Projector, e event.Recorded) func() error {
		return func() error {
			return f.inTx(func(tx pgx.Tx) error {
				return p.ApplyBatch(context.Background(), tx, []consumer.Run{{TenantID: "acme", Generation: 1, Events: []event.Recorded{e}}})
			})
		}
	}
	caughtUp := func() error {
		return f.inTx(func(tx pgx.Tx) error { return main.CaughtUp(context.Background(), tx, "acme", 1) })
	}
	for _, x := range []struct {
		table string
		fn    func() error
	}{
		{"projection.leads", apply(main, first)}, {"projection.funnel_daily", apply(main, first)}, {"projection.untouched", apply(main, first)},
		{"projection.generations", apply(main, first)}, {"projection.active", apply(main, first)}, {"projection.tenants", apply(control, first)},
		{"projection.merged_subjects", apply(main, first)}, {"projection.merged_subjects", apply(main, lead)}, {"projection.merged_subjects", apply(main, merge)},
		{"projection.generations", apply(main, lead)}, {"projection.leads", apply(main, lead)}, {"projection.funnel_daily", apply(main, lead)},
		{"projection.tenants", apply(control, key)},
		{"projection.generations", apply(main, zone)}, {"projection.funnel_daily", apply(main, zone)},
		{"projection.active", caughtUp}, {"neuronx.progress", caughtUp}, {"projection.generations", caughtUp},
		{"neuronx.definitions", func() error { _, err := main.redeclareOnce(context.Background(), []int32{partition}); return err }},
		{"neuronx.progress", func() error { _, err := main.redeclareOnce(context.Background(), []int32{partition}); return err }},
	} {
		f.db.Without(t, postgres.RoleProjector, x.table, x.fn)
	}
	// Purging goes on with the other tables, and tells of each that it could not.
	for _, table := range []string{"projection.leads", "projection.opportunities", "projection.funnel_daily", "projection.untouched", "projection.merged_subjects", "projection.generations", "neuronx.progress"} {
		f.db.Without(t, postgres.RoleProjector, table, func() error { _, err := main.purgeOnce(context.Background(), time.Hour); return err })
	}
	reset := consumer.Reset{ID: "r1", Topic: kafka.TopicEvents, Partition: partition, From: 1, To: 0, Tenants: []string{"acme"}, Report: &consumer.ResetReport{}}
	f.db.Without(t, postgres.RoleProjector, "neuronx.progress", func() error {
		err := main.Reset(context.Background(), reset)
		if !consumer.IsTransient(err) {
			t.Errorf("a reset that failed is not tried again: %v", err)
		}
		return err
	})
	ops := f.db.Pool(t, postgres.RoleOps)
	for _, table := range []string{"projection.active", "neuronx.progress"} {
		f.db.Without(t, postgres.RoleOps, table, func() error { _, _, err := Shown(context.Background(), ops, "acme", FeedControl); return err })
		f.db.Without(t, postgres.RoleOps, table, func() error { _, err := Generations(context.Background(), ops, "", "", 10); return err })
		f.db.Without(t, postgres.RoleOps, table, func() error { _, err := Rebuilds(context.Background(), ops); return err })
	}
	f.db.Without(t, postgres.RoleOps, "neuronx.progress", func() error { _, err := listRows(context.Background(), ops, "", ""); return err })
}
