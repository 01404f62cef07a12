package projector

import (
	"context"
	"io/fs"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/tenant"
)

// revoked reports whether the directory, as the HTTP role reads it, has a key of acme as revoked.
func (f *fixture) revoked(key string) bool {
	f.t.Helper()
	snap, err := tenant.FromPool(f.db.Pool(f.t, postgres.RoleIngest)).Load(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return snap["acme"].Keys[key].Revoked
}

const someHash = "abababababababababababababababababababababababababababababababab"

func TestControl_GoesOnWhileReadModelsAreStalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.produce(f.event("acme", "tenant.created", map[string]any{}), f.event("acme", "tenant.key_issued", map[string]any{"key_id": "k1", "secret_sha256": someHash, "scopes": []any{}}))
	bad := f.event("acme", "lead.created", map[string]any{"lead_id": "2"})
	f.log[len(f.log)-1].Value = append(slices.Clone(bad.Value), 0xff)
	f.produce(f.log[len(f.log)-1])
	f.start()
	f.await("acme", 1, 2, consumer.Stalled)
	if f.revoked("k1") {
		t.Fatal("the key is revoked already")
	}
	f.produce(f.event("acme", "tenant.key_revoked", map[string]any{"key_id": "k1"}), f.event("acme", "tenant.suspended", map[string]any{}))
	f.awaitFeed(FeedControl, "acme", 1, 5, consumer.Live)
	f.await("acme", 1, 2, consumer.Stalled)
	if !f.revoked("k1") {
		t.Error("the key still works")
	}
}

func TestControl_GoesOnWhileATableOfTheReadModelsIsMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.produce(f.event("acme", "tenant.created", map[string]any{}), f.event("acme", "tenant.key_issued", map[string]any{"key_id": "k1", "secret_sha256": someHash, "scopes": []any{}}))
	f.start()
	f.await("acme", 1, 2, consumer.Live)
	f.exec(`ALTER TABLE projection.leads RENAME TO away`)
	for _, name := range []string{"acme", "globex"} {
		f.produce(f.event(name, "lead.created", map[string]any{"lead_id": "1"}))
		f.awaitFeed(FeedControl, name, 1, f.heads[name], consumer.Live)
	}
	f.await("acme", 1, 2, consumer.CatchingUp)
	f.produce(f.event("acme", "tenant.key_revoked", map[string]any{"key_id": "k1"}))
	f.awaitFeed(FeedControl, "acme", 1, 4, consumer.Live)
	if !f.revoked("k1") {
		t.Error("the key still works")
	}
	f.exec(`ALTER TABLE projection.away RENAME TO leads`)
	f.await("acme", 1, 4, consumer.Live)
	f.await("globex", 1, 1, consumer.Live)
	f.produce(f.event("acme", "lead.scored", map[string]any{"lead_id": "1", "score": int64(3)}))
	f.await("acme", 1, 5, consumer.Live)
	f.want()
}

func TestFeeds_AreRebuiltAndShownEachByItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.produce(f.event("acme", "tenant.created", map[string]any{}), f.event("acme", "lead.created", map[string]any{"lead_id": "1"}))
	f.start()
	f.await("acme", 1, 2, consumer.Live)
	err := f.inTx(func(tx pgx.Tx) error {
		_, err := consumer.NewGeneration(context.Background(), tx, consumer.RowName(kafka.GroupProjector, FeedControl), "acme",
			kafka.PartitionFor([]byte("acme"), kafkatest.Partitions), "test")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.awaitFeed(FeedControl, "acme", 2, 2, consumer.Live)
	f.awaitFeed(FeedControl, "acme", 1, 2, consumer.Retired)
	f.await("acme", 1, 2, consumer.Live)
	if _, err := f.projector(FeedControl).purgeOnce(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	f.want()
}

// upTo gives the migrations of this set up to a version.
type upTo struct {
	fs.FS
	last string
}

func (u upTo) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(u.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() > u.last }), err
}

func TestUpgrade_KeepsEveryKeyAndHealsAStalledTenant(t *testing.T) {
	t.Parallel()
	old := Migrations()
	old.FS = upTo{old.FS, "00003"}
	f := &fixture{t: t, db: postgrestest.New(t, consumer.Migrations(), old)}
	f.admin = f.db.Pool(t, "")
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, seen, state, reason) VALUES
		('neuronx.projector', 1, 'acme', 2, 7, 9, 'stalled', 'index row size'), ('neuronx.projector', 3, 'globex', 1, 5, 0, 'live', ''),
		('neuronx.projector', 1, 'globex', 1, 5, 0, 'retired', '')`)
	f.exec(`INSERT INTO projection.active (tenant_id, generation) VALUES ('acme', 1), ('globex', 3)`)
	f.exec(`INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ('acme', 1, 'acme', 'active', 1), ('globex', 3, 'globex', 'active', 1)`)
	f.exec(`INSERT INTO projection.api_keys (tenant_id, generation, key_id, secret_sha256, scopes, sequence) VALUES ('acme', 1, 'k1', '` + someHash + `', '{}', 2)`)
	if _, err := postgres.Migrate(context.Background(), f.admin.Config().ConnString(), consumer.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	// A projector of the build before that still runs, at a new tenant's first event.
	if _, err := f.db.Pool(t, postgres.RoleProjector).Exec(context.Background(), `INSERT INTO projection.active (tenant_id, generation)
		SELECT v.tenant_id, v.generation FROM unnest('{initech}'::text[], '{1}'::bigint[]) AS v (tenant_id, generation) WHERE v.generation = 1
		ON CONFLICT DO NOTHING`); err != nil {
		t.Errorf("the build before can't show a new tenant: %v", err)
	}
	snap, err := tenant.FromPool(f.db.Pool(t, postgres.RoleIngest)).Load(context.Background())
	if err != nil || len(snap) != 2 || len(snap["acme"].Keys) != 1 {
		t.Errorf("after the upgrade the directory is %+v, %v", snap, err)
	}
	rows, err := listRows(context.Background(), f.admin, "acme", "")
	if err != nil || len(rows) != 2 {
		t.Fatalf("rows of acme: %+v, %v", rows, err)
	}
	if r := rows[0]; r.Feed() != FeedControl || r.State != consumer.CatchingUp || r.Sequence != 7 || r.Seen != 9 {
		t.Errorf("control of the stalled tenant is %+v", r)
	}
	if r := rows[1]; r.Feed() != consumer.FeedMain || r.State != consumer.Stalled {
		t.Errorf("the read models of the stalled tenant are %+v", r)
	}
}
