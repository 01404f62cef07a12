package projector

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/projector/fold"
)

func TestApplyBatch_EqualsTheFoldHoweverTheLogIsCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		f := newFixture(t)
		rng := rand.New(rand.NewPCG(seed, 7))
		tenants := []string{"acme", "globex", "initech"}
		for range 25 {
			var runs []consumer.Run
			for _, name := range tenants {
				run := consumer.Run{TenantID: name, Generation: 1}
				for range rng.IntN(12) {
					run.Events = append(run.Events, f.random(rng, name))
				}
				if len(run.Events) > 0 {
					runs = append(runs, run)
				}
			}
			f.apply(runs)
		}
		f.want()
	}
}

func TestMigrations_MatchTheDeclaredColumns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, s := range f.specs {
		var base []string
		rows, err := f.admin.Query(context.Background(), `SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
			WHERE attrelid = ('projection.' || $1)::regclass AND attnum > 0`, s.Table)
		if err != nil {
			t.Fatal(err)
		}
		if base, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		want := []string{"tenant_id text", "generation bigint"}
		for _, c := range s.Stored() {
			typ := map[fold.Type]string{fold.Timestamptz: "timestamp with time zone", fold.Numeric: "numeric(24,4)", fold.Total: "numeric(40,4)", fold.Zone: "text"}[c.Type]
			if typ == "" {
				typ = string(c.Type)
			}
			want = append(want, c.Name+" "+typ)
		}
		want = append(want, "sequence bigint")
		if s.Stamped() {
			want = append(want, "stamps bytea")
		}
		slices.Sort(base) // a column that came with a later migration is the last one of its table
		slices.Sort(want)
		if !slices.Equal(base, want) {
			t.Errorf("projection.%s has\n  %v, declared are\n  %v", s.Table, base, want)
		}
	}
	rows, err := f.admin.Query(context.Background(), `SELECT attname::text FROM pg_attribute WHERE attrelid = 'read.leads'::regclass AND attnum > 0 ORDER BY attnum`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if want := []string{"tenant_id", "lead_id", "status", "score", "owner_id", "channel", "source", "email", "phone", "created_at", "updated_at", "sequence",
		"contacted_at", "qualified_at", "converted_at", "lost_at", "merged_into"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read.leads has %v, %v", got, err)
	}
}

func TestViews_KeepTenantsApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var runs []consumer.Run
	for _, name := range []string{"acme", "globex"} {
		runs = append(runs, consumer.Run{TenantID: name, Generation: 1, Events: []event.Recorded{
			f.event(name, "tenant.created", map[string]any{"name": name}),
			f.event(name, "tenant.key_issued", map[string]any{"key_id": "k1", "secret_sha256": "00", "scopes": []any{"events:write"}}),
			f.event(name, "lead.created", map[string]any{"lead_id": "1"}),
			f.event(name, "opportunity.created", map[string]any{"opportunity_id": "1"}),
			f.event(name, "tenant.limits_set", map[string]any{"events_per_second": int64(50), "bytes_per_second": int64(7)}),
		}})
	}
	runs[1].Events = append(runs[1].Events, f.event("globex", "tenant.limits_set", map[string]any{"events_per_second": int64(0)}))
	f.apply(runs)
	count := func(role, tenantID, from string) int {
		t.Helper()
		n := -1
		err := pgx.BeginFunc(context.Background(), f.db.Pool(t, role), func(tx pgx.Tx) error {
			if tenantID != "" {
				if err := postgres.SetTenant(context.Background(), tx, tenantID); err != nil {
					return err
				}
			}
			return tx.QueryRow(context.Background(), `SELECT count(*) FROM `+from).Scan(&n)
		})
		if err != nil {
			return -1
		}
		return n
	}
	for _, tc := range []struct {
		role, tenant, from string
		want               int
	}{
		{postgres.RoleReader, "acme", "read.leads", 1}, {postgres.RoleReader, "", "read.leads", 0}, {postgres.RoleReader, "acme", "projection.leads", 1},
		{postgres.RoleReader, "acme", "read.leads WHERE tenant_id = 'globex'", 0}, {postgres.RoleReader, "acme", "read.opportunities", 1},
		{postgres.RoleReader, "acme", "read.funnel_daily", 1}, {postgres.RoleReader, "acme", "read.activities", 0},
		{postgres.RoleReader, "acme", "neuronx.api_keys", -1}, {postgres.RoleReader, "acme", "neuronx.progress", -1},
		{postgres.RoleOps, "", "read.leads", 2}, {postgres.RoleOps, "", "neuronx.tenants", 2}, {postgres.RoleOps, "", "neuronx.api_keys", 2},
		{postgres.RoleIngest, "", "neuronx.tenants", 2}, {postgres.RoleIngest, "", "neuronx.api_keys", 2}, {postgres.RoleIngest, "", "read.leads", 0},
		{postgres.RoleRules, "acme", "read.leads", 1}, {postgres.RoleRules, "", "neuronx.api_keys", -1},
	} {
		if got := count(tc.role, tc.tenant, tc.from); got != tc.want {
			t.Errorf("%s of tenant %q counts %d in %s, want %d", tc.role, tc.tenant, got, tc.from, tc.want)
		}
	}
	snap, err := tenant.FromPool(f.db.Pool(t, postgres.RoleIngest)).Load(context.Background())
	if err != nil || len(snap) != 2 || snap["acme"].Status != tenant.StatusActive {
		t.Errorf("the directory reads %+v, %v", snap, err)
	}
	if a, g := snap["acme"].Limits, snap["globex"].Limits; a != (tenant.Limits{EventsPerSecond: 50, BytesPerSecond: 7}) || g != (tenant.Limits{BytesPerSecond: 7}) {
		t.Errorf("limits of acme %+v, of globex %+v", a, g)
	}
}

func TestReset_RebuildsTablesThatWereEmptiedByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	rng := rand.New(rand.NewPCG(1, 2))
	f.produce(f.event("acme", "tenant.created", map[string]any{}))
	for range 300 {
		f.produce(f.random(rng, "acme"))
	}
	stop := f.start()
	f.await("acme", 1, 301, consumer.Live)
	f.want()
	stop()
	lost := f.number(`SELECT (SELECT count(*) FROM projection.leads) + (SELECT count(*) FROM projection.funnel_daily) + (SELECT count(*) FROM projection.opportunities)`)
	f.exec(`TRUNCATE projection.leads, projection.funnel_daily, projection.opportunities, projection.active`)
	f.exec(`UPDATE projection.activities SET occurred_at = occurred_at + interval '1 day' WHERE activity_id = (SELECT min(activity_id) FROM projection.activities)`)
	adm, err := admin.New(f.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	p := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	err = adm.Commit(context.Background(), kafka.GroupProjector, map[kafka.TopicPartition]kafka.Committed{
		{Topic: kafka.TopicEvents, Partition: p}: {Offset: 0, Present: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.start()
	f.await("acme", 2, 301, consumer.Live)
	kafkatest.WaitFor(t, "the end of the reset", func(context.Context) bool {
		return f.number(`SELECT count(*) FROM neuronx.resets WHERE state = 'done' AND not_counted = ''`) == 1
	})
	if n := f.number(`SELECT differences FROM neuronx.resets`); n != lost+1 || lost < 10 {
		t.Errorf("the reset says that %d rows differed, want the %d that were lost and the one that was changed", n, lost)
	}
	f.await("acme", 1, 301, consumer.Retired)
	f.produce(f.random(rng, "acme"))
	f.await("acme", 2, 302, consumer.Live)
	f.want()
	// A day later the rows of the old generation go, those that are shown stay.
	if _, err := f.projector(consumer.FeedMain).purgeOnce(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := f.admin.QueryRow(context.Background(), `SELECT count(*) FROM projection.activities WHERE generation = 1`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of the retired generation are left, %v", left, err)
	}
	f.want()
}

func TestRegistryOutage_SkipsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.schemas.down.Store(true)
	f.produce(f.event("acme", "lead.created", map[string]any{"lead_id": "1", "email": "a@example.com"}))
	f.start()
	kafkatest.WaitFor(t, "the projector to join", func(ctx context.Context) bool {
		var n int
		err := f.admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.partition_progress`).Scan(&n)
		return err == nil && n == kafkatest.Partitions
	})
	rows, err := listRows(context.Background(), f.admin, "acme", "")
	for _, r := range rows {
		if r.Feed() == consumer.FeedMain && r.Sequence != 0 {
			t.Errorf("progress during the outage: %v", r)
		}
	}
	if err != nil {
		t.Error(err)
	}
	f.schemas.down.Store(false)
	f.await("acme", 1, 1, consumer.Live)
	f.want()
}

// publisher keeps what is announced.
type publisher struct {
	fail  bool
	types []string
	ids   []string
	data  map[string]any
}

func (p *publisher) Publish(_ context.Context, _, typ, _, id string, data map[string]any, _ ...control.Option) (event.Event, error) {
	if p.fail {
		return event.Event{}, errPublish
	}
	p.types, p.ids, p.data = append(p.types, typ), append(p.ids, id), data
	return event.Event{}, nil
}

func TestUndecodableEvent_StallsItsTenantUntilRetryOrSkip(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	f.produce(f.event("acme", "lead.created", map[string]any{"lead_id": "1"}))
	bad := f.event("acme", "lead.created", map[string]any{"lead_id": "2"})
	f.log[len(f.log)-1].Value = append(slices.Clone(bad.Value), 0xff)
	f.produce(f.log[len(f.log)-1], f.event("acme", "lead.scored", map[string]any{"lead_id": "1", "score": 5}),
		f.event("globex", "lead.created", map[string]any{"lead_id": "1"}))
	f.start()
	f.await("acme", 1, 1, consumer.Stalled)
	f.await("globex", 1, 1, consumer.Live)
	ctx := context.Background()
	ops := f.db.Pool(t, postgres.RoleOps)
	f.awaitFeed(FeedControl, "acme", 1, 3, consumer.Live) // decoding is not tried for what the feed does not want
	if _, err := consumer.Retry(ctx, ops, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 1, consumer.Stalled)

	pub := &publisher{fail: true}
	opt := consumer.SkipOptions{Consumer: kafka.GroupProjector, Tenant: "acme", Sequence: 2, Reason: "its producer sent junk", By: "jo"}
	if _, err := consumer.SkipAnnounced(ctx, ops, f, pub, opt); err == nil {
		t.Error("skipped although nothing was announced")
	}
	if _, err := consumer.SkipAnnounced(ctx, ops, f, pub, consumer.SkipOptions{Consumer: kafka.GroupProjector, Tenant: "acme"}); err == nil {
		t.Error("skipped without a reason")
	}
	pub.fail = false
	other := opt
	other.Sequence = 3
	if _, err := consumer.SkipAnnounced(ctx, ops, f, pub, other); !errors.Is(err, consumer.ErrMoved) {
		t.Errorf("an event that it is not stalled at: %v", err)
	}
	if _, err := consumer.SkipAnnounced(ctx, ops, f, pub, opt); err != nil {
		t.Fatal(err)
	}
	if pub.types[0] != "engine.projection.skipped" || pub.data["skipped_sequence"] != int64(2) || pub.data["event_id"] != "acme-2" || pub.data["generation"] != int64(1) {
		t.Errorf("announced %v", pub.data)
	}
	if _, err := f.schemas.byID[f.schemas.ids[pub.types[0]]].EncodeMap(pub.data); err != nil {
		t.Errorf("the announcement does not fit its schema: %v", err)
	}
	f.await("acme", 1, 3, consumer.Live)
	rebuild := func(tx pgx.Tx) error {
		_, err := consumer.NewGeneration(ctx, tx, kafka.GroupProjector, "acme", kafka.PartitionFor([]byte("acme"), kafkatest.Partitions), "test")
		return err
	}
	if err := f.inTx(rebuild); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 2, 3, consumer.Live) // it does not meet the event that was skipped
	f.log = slices.DeleteFunc(f.log, func(r event.Recorded) bool { return r.ID == "acme-2" })
	f.want()
}
