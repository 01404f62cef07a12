package projector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/projector/fold"
)

// Whatever statement fails of what the projector writes, swaps, counts and removes, the error is told and the rows stay as they were.
func TestProjector_TellsEveryStatementThatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	breaker, url := postgrestest.NewBreaker(t, f.db.URL(postgres.RoleProjector))
	pool, err := postgres.Open(t.Context(), url, postgres.MaxConns(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f.pool = pool
	ctx := context.Background()
	main, control := f.projector(consumer.FeedMain), f.projector(FeedControl)
	apply := func(p *Projector, generation int64, events ...event.Recorded) {
		t.Helper()
		breaker.Each(t, events[0].Type+" of feed "+p.feed, func() error {
			return f.inTx(func(tx pgx.Tx) error {
				return p.ApplyBatch(ctx, tx, []consumer.Run{{TenantID: "acme", Generation: generation, Events: events}})
			})
		})
	}
	for _, e := range []event.Recorded{
		f.event("acme", "tenant.created", map[string]any{"name": "Acme"}),
		f.event("acme", "lead.created", map[string]any{"lead_id": "1", "email": "a@example.com", "source": "web"}),
		f.event("acme", "tenant.key_issued", map[string]any{"key_id": "k1", "secret_sha256": "ab", "scopes": []any{"events:write"}}),
		f.event("acme", "opportunity.created", map[string]any{"opportunity_id": "o1", "lead_id": "1", "value": "1.5", "currency": "EUR"}),
		f.event("acme", "lead.created", map[string]any{"lead_id": strings.Repeat("l", 3000)}), // left out, and counted as that
		f.event("acme", fold.TypeZoneSet, map[string]any{"zone": "Europe/Berlin"}),
		f.event("acme", "opportunity.won", map[string]any{"opportunity_id": "o1", "value": "2"}),
	} {
		apply(main, 1, e)
		apply(control, 1, e)
	}
	f.want()
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, definition) VALUES ('neuronx.projector', 1, 'acme', 0, 7, 'old'), ('neuronx.projector.control', 1, 'acme', 0, 7, 'old')`)
	f.exec(`UPDATE neuronx.progress SET partition = ` + fmt.Sprint(partition))
	inTx := func(what string, fn func(tx pgx.Tx) error) {
		t.Helper()
		breaker.Each(t, what, func() error { return f.inTx(fn) })
	}
	inTx("caught up", func(tx pgx.Tx) error { return main.CaughtUp(ctx, tx, "acme", 1) })
	breaker.Each(t, "another definition", func() error { _, err := control.redeclareOnce(ctx, []int32{partition}); return err })
	f.exec(`UPDATE neuronx.progress SET state = 'retired', updated_at = now() - interval '2 days' WHERE generation = 1`)
	f.exec(`DELETE FROM projection.active`)
	breaker.Each(t, "a purge", func() error { _, err := main.purgeOnce(ctx, time.Hour); return err })
	breaker.Each(t, "a purge of feed control", func() error { _, err := control.purgeOnce(ctx, time.Hour); return err })
	for _, table := range []string{"leads", "opportunities", "funnel_daily", "untouched", "tenants", "api_keys"} {
		var n int
		if err := f.admin.QueryRow(ctx, `SELECT count(*) FROM projection.`+table+` WHERE generation = 1`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows of %s are left after the purge, %v", n, table, err)
		}
	}
	opsBreaker, opsURL := postgrestest.NewBreaker(t, f.db.URL(postgres.RoleOps))
	ops, err := postgres.Open(ctx, opsURL, postgres.MaxConns(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ops.Close)
	for what, ask := range map[string]func() error{
		"what is shown":   func() error { _, _, err := Shown(ctx, ops, "acme", FeedControl); return err },
		"the generations": func() error { _, err := Generations(ctx, ops, "", "", 10); return err },
		"the rebuilds":    func() error { _, err := Rebuilds(ctx, ops); return err },
	} {
		opsBreaker.Each(t, what, ask)
	}
}
