package projector

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/projector/fold"
)

// redeclare makes what is missing in both feeds and returns how many generations that are.
func (f *fixture) redeclare() (n int) {
	f.t.Helper()
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	for _, feed := range Feeds() {
		found, err := f.projector(feed).redeclareOnce(context.Background(), []int32{partition})
		if err != nil {
			f.t.Fatal(err)
		}
		n += found.made
	}
	return n
}

func TestUpgrade_EndsWithTheTablesOfThisBuild(t *testing.T) {
	t.Parallel()
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	old := Migrations()
	old.FS = upTo{old.FS, "00005"}
	f := &fixture{t: t, db: postgrestest.New(t, consumer.Migrations(), old), schemas: newCatalogue(t), specs: specs, heads: map[string]int64{}, kafka: kafkatest.Start(t)}
	f.pool, f.admin = f.db.Pool(t, postgres.RoleProjector), f.db.Pool(t, "")
	// What the build before made of these: the late creation counts, the deal that is open again is won, and dollars are yen.
	events := []event.Recorded{
		f.event("acme", "tenant.created", map[string]any{"name": "Acme"}),
		f.event("acme", "lead.updated", map[string]any{"lead_id": "1", "email": "new@example.com", "status": "qualified"}),
		f.event("acme", "lead.created", map[string]any{"lead_id": "1", "email": "old@example.com"}),
		f.event("acme", "opportunity.won", map[string]any{"opportunity_id": "1", "value": "100", "currency": "USD"}),
		f.event("acme", "opportunity.stage_changed", map[string]any{"opportunity_id": "1", "stage": "talk"}),
		f.event("acme", "opportunity.won", map[string]any{"opportunity_id": "2", "value": "5", "currency": "JPY"}),
	}
	f.log[2].Time = monday.AddDate(0, 0, -7)
	events[2] = f.log[2]
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id) SELECT c, 1, 'acme', ` +
		fmt.Sprint(kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)) + `, 6, 'acme-6', '` + events[0].LogID + `' FROM unnest('{neuronx.projector,neuronx.projector.control}'::text[]) c`)
	f.exec(`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'main', 1), ('acme', 'control', 1)`)
	f.exec(`INSERT INTO projection.tenants (tenant_id, generation, id, name, status, created_at, updated_at, sequence) VALUES ('acme', 1, 'acme', 'Acme', 'active', '2026-11-23T22:07Z', '2026-11-23T22:07Z', 1)`)
	f.exec(`INSERT INTO projection.leads (tenant_id, generation, lead_id, status, email, sequence) VALUES ('acme', 1, '1', 'qualified', 'old@example.com', 3)`)
	f.exec(`INSERT INTO projection.opportunities (tenant_id, generation, opportunity_id, status, stage, value, closed_at, sequence) VALUES ('acme', 1, '1', 'won', 'talk', 100, now(), 5), ('acme', 1, '2', 'won', NULL, 5, now(), 6)`)
	f.exec(`INSERT INTO projection.funnel_daily (tenant_id, generation, day, opportunities_won, value_won, sequence) VALUES ('acme', 1, '2026-11-23', 2, 105, 6)`)
	if _, err := postgres.Migrate(context.Background(), f.admin.Config().ConnString(), consumer.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	// Until its tables are built again, the tenant goes on from what they hold.
	score := f.event("acme", "lead.scored", map[string]any{"lead_id": "1", "score": int64(7)})
	f.produce(append(events, score)...)
	stop := f.start()
	f.await("acme", 1, 7, consumer.Live)
	var status string
	if err := f.admin.QueryRow(context.Background(), `SELECT status FROM read.leads WHERE lead_id = '1' AND score = 7`).Scan(&status); err != nil || status != "qualified" {
		t.Errorf("meanwhile the lead is %q, %v", status, err)
	}
	if n := f.redeclare(); n != 2 {
		t.Errorf("%d generations are made, want one a feed", n)
	}
	if n := f.redeclare(); n != 0 {
		t.Errorf("%d generations are made again", n)
	}
	for _, feed := range Feeds() {
		f.awaitFeed(feed, "acme", 2, 7, consumer.Live)
	}
	f.want()
	stop()
	if n := f.redeclare(); n != 0 {
		t.Errorf("%d generations are made of tables that are right", n)
	}
	var email, deal string
	err = f.admin.QueryRow(context.Background(), `SELECT email, o.status FROM read.leads l, read.opportunities o WHERE l.lead_id = '1' AND o.opportunity_id = '1' AND closed_at IS NULL`).Scan(&email, &deal)
	if err != nil || email != "new@example.com" || deal != "open" {
		t.Errorf("the lead has %q, the deal is %q, %v", email, deal, err)
	}
}

func TestRedeclare_BuildsAgainWhatAnotherBuildHadAHandIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.produce(f.event("acme", "lead.created", map[string]any{"lead_id": "1"}))
	f.start()
	f.await("acme", 1, 1, consumer.Live)
	if n := f.redeclare(); n != 0 {
		t.Fatalf("%d generations are made of tables that are right", n)
	}
	definition := func(generation int) (d string) {
		t.Helper()
		if err := f.admin.QueryRow(context.Background(), `SELECT definition FROM neuronx.progress WHERE consumer = 'neuronx.projector' AND generation = $1`, generation).Scan(&d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	f.exec(`UPDATE neuronx.progress SET definition = 'of another build' WHERE consumer = 'neuronx.projector'`)
	f.produce(f.event("acme", "lead.created", map[string]any{"lead_id": "2"}))
	f.await("acme", 1, 2, consumer.Live)
	if d := definition(1); d != consumer.DefinitionMixed {
		t.Errorf("a generation that two builds have fed is of %q", d)
	}
	if n := f.redeclare(); n != 1 {
		t.Errorf("%d generations are made, want 1", n)
	}
	f.await("acme", 2, 2, consumer.Live)
	f.await("acme", 1, 2, consumer.Retired)
	if d := definition(2); d != f.projector(consumer.FeedMain).hash {
		t.Errorf("the new generation is of %q", d)
	}
	f.want()
	if _, err := f.projector(consumer.FeedMain).purgeOnce(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := f.admin.QueryRow(context.Background(), `SELECT count(*) FROM projection.generations WHERE generation = 1 AND feed = 'main'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d retired generations are still described, %v", left, err)
	}
}

func TestRedeclare_LeavesStalledTenantsAndThoseOfOtherMembersAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mine := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	err := f.inTx(func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state) VALUES
			('neuronx.projector', 1, 'stalled', $1, 5, 'stalled'), ('neuronx.projector', 1, 'theirs', $2, 5, 'live'), ('neuronx.projector', 1, 'new', $1, 0, 'live')`, mine, mine+1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := f.redeclare(); n != 0 {
		t.Errorf("%d generations are made", n)
	}
}
