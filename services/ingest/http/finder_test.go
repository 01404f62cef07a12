package httpin

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver"
)

func TestRecords_ReadWhatTheArchiverWroteAndHowFarItIs(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations())
	admin := db.Pool(t, "")
	for _, sql := range []string{
		`SELECT neuronx.ensure_tenant('acme')`,
		`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id,
			schema_id, log_id, log_partition, log_offset, hash, payload)
			VALUES ('acme', 7, 99, 'both', 'lead.created', '', '/s', '2026-01-02T03:04:05Z', '', '', 1, 'log', 2, 5, sha256(''), '')`,
		`INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
			recorded_at, letter_partition, letter_offset, headers, hash)
			VALUES ('neuronx.ingress', 2, 3, 'acme', 'conflict', 'why', 'both', 'lead.created', '/s', '', '', 0, '2026-01-01T00:00:00Z', 2, 1, '', sha256(''))`,
		`INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset) VALUES
			('neuronx.archiver', 1, 'neuronx.events', 2, gen_random_uuid(), 6), ('neuronx.archiver', 1, 'neuronx.deadletter', 2, gen_random_uuid(), 2),
			('neuronx.archiver', 1, 'neuronx.events', 3, gen_random_uuid(), 77), ('neuronx.projector', 1, 'neuronx.events', 2, gen_random_uuid(), 88)`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%.60s: %v", sql, err)
		}
	}
	pool := db.Pool(t, postgres.RoleIngest)
	f := NewFinder(pool)
	next, err := f.Archived(t.Context(), 2)
	if err != nil || !maps.Equal(next, map[string]int64{kafka.TopicEvents: 6, kafka.TopicDeadLetter: 2}) {
		t.Errorf("%v, %v", next, err)
	}
	if none, err := f.Archived(t.Context(), 5); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	fates, err := f.Find(t.Context(), "acme", "both", "")
	if err != nil || len(fates) != 2 || fates[0].Status != "refused" || fates[0].Code != "conflict" || fates[1].Status != "admitted" ||
		fates[1].Sequence != "7" || fates[1].Position != "99" || !*fates[0].Archived || !*fates[1].Archived {
		t.Errorf("%+v, %v", fates, err)
	}
	if other, err := f.Find(t.Context(), "globex", "both", ""); err != nil || len(other) != 0 {
		t.Errorf("another tenant sees %+v, %v", other, err)
	}
	for source, want := range map[string]int{"/s": 2, "/other": 0} {
		if of, err := f.Find(t.Context(), "acme", "both", source); err != nil || len(of) != want || want > 0 && (of[0].Source != source || of[1].Source != source) {
			t.Errorf("%s: %+v, %v", source, of, err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.partition_progress WHERE consumer <> 'neuronx.archiver'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("neuronx_ingest sees %d rows of other consumers, %v", n, err)
	}
}

// preset-io/agor#1717: requests of tenants whose queries were slow held every connection of the pool, and what authenticates everybody waited behind
// them. So one tenant that asks for many events, while its rows are locked or cold, kept revoked keys valid and new ones unknown.
func TestRecords_LookupsOfOneTenantLeaveConnectionsToOthersAndToTheDirectory(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations())
	admin := db.Pool(t, "")
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%.60s: %v", sql, err)
		}
	}
	exec(`SELECT neuronx.ensure_tenant('acme')`)
	exec(`SELECT neuronx.ensure_tenant('globex')`)
	lock, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()
	if _, err := lock.Exec(t.Context(), `DO $$ DECLARE leaf regclass; BEGIN
		SELECT inhrelid::regclass INTO STRICT leaf FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
			WHERE inhparent = 'neuronx.tenant_events'::regclass AND pg_get_expr(c.relpartbound, c.oid) LIKE '%''acme''%';
		EXECUTE 'LOCK TABLE ' || leaf || ' IN ACCESS EXCLUSIVE MODE';
	END $$`); err != nil {
		t.Fatal(err)
	}
	pool := db.Pool(t, postgres.RoleIngest)
	f := NewFinder(pool)
	slow, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	for range 3 * int(pool.Config().MaxConns) {
		asking.Go(func() { _, _ = f.Find(slow, "acme", "1", "") })
	}
	waiting := func() (n int) {
		err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.usename = 'neuronx_ingest'
			AND a.datname = current_database()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	kafkatest.WaitFor(t, "lookups to wait for the lock", func(context.Context) bool { return waiting() >= maxTenantTurns })
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 * int(pool.Config().MaxConns) { // the others have had the time to take what they can
		if err := postgres.Ping(within, pool); err != nil {
			t.Fatalf("what needs a connection besides lookups has none: %v", err)
		}
	}
	if _, err := f.Find(within, "globex", "1", ""); err != nil {
		t.Errorf("another tenant's lookup waits: %v", err)
	}
	if n := waiting(); n > maxTenantTurns {
		t.Errorf("%d lookups of one tenant hold connections", n)
	}
	over, leave := context.WithTimeout(t.Context(), 0)
	defer leave()
	_, err = f.Find(over, "acme", "1", "")
	if p := (*Problem)(nil); !errors.As(err, &p) || p.Code != event.CodeRateLimited || p.retryAfter == 0 {
		t.Errorf("a lookup whose turn does not come is told %v", err)
	}
	stop()
	asking.Wait()
	if n := len(f.turns.tenants); n != 0 {
		t.Errorf("%d tenants are remembered that ask for nothing", n)
	}
}
