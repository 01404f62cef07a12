package consumer_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// The role that people use may make a stalled row go on, and can't move one so that events are passed over: in the archive that is a hole.
func TestProgress_OperatorsCannotMakeAConsumerPassOverEvents(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations())
	root, ops := db.Pool(t, ""), db.Pool(t, postgres.RoleOps)
	reset := func() {
		t.Helper()
		if _, err := root.Exec(t.Context(), `TRUNCATE neuronx.progress; INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state)
			SELECT c, 1, t, 0, 5, 'e5', 'l', s FROM (VALUES ('neuronx.archiver'), ('neuronx.projector'), ('neuronx.projector.control')) c(c), (VALUES ('acme', 'stalled'), ('beta', 'live')) t(t, s);
			TRUNCATE neuronx.partition_progress; INSERT INTO neuronx.partition_progress VALUES ('neuronx.archiver', 1, 'neuronx.events', 0, gen_random_uuid(), 'l', 7)`); err != nil {
			t.Fatal(err)
		}
	}
	const where = ` WHERE consumer = 'neuronx.archiver' AND tenant_id = 'acme'`
	for _, sql := range []string{
		`UPDATE neuronx.progress SET sequence = sequence + 1, state = 'catching-up', event_id = ''` + where, // the first of the two updates
		`UPDATE neuronx.progress SET sequence = 9, event_id = 'e9', state = 'catching-up'` + where,
		`UPDATE neuronx.progress SET event_id = 'other', state = 'catching-up'` + where,
		`UPDATE neuronx.progress SET state = 'live'` + where,
		`UPDATE neuronx.progress SET state = 'retired'` + where,
		`UPDATE neuronx.progress SET seen = 9` + where,
		`UPDATE neuronx.progress SET log_id = 'x'` + where,
		`UPDATE neuronx.progress SET generation = 2` + where,
		`UPDATE neuronx.progress SET consumer = 'neuronx.projector', generation = 2` + where,
		`UPDATE neuronx.progress SET consumer = 'neuronx.archiver', generation = 2 WHERE consumer = 'neuronx.projector' AND tenant_id = 'acme'`,
		`UPDATE neuronx.progress SET sequence = 9, state = 'catching-up' WHERE consumer = 'neuronx.projector' AND tenant_id = 'acme'`,
		`UPDATE neuronx.progress SET sequence = 4, state = 'catching-up' WHERE consumer = 'neuronx.projector' AND tenant_id = 'acme'`,
		`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ('neuronx.archiver', 1, 'gamma', 0, 1000000)`,
		`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition) VALUES ('neuronx.archiver', 1, 'acme', 0) ON CONFLICT (consumer, generation, tenant_id) DO UPDATE SET sequence = 9, state = 'catching-up'`,
		`DELETE FROM neuronx.progress` + where,
		`TRUNCATE neuronx.progress`,
		`UPDATE neuronx.partition_progress SET next_offset = 9`, // the second
		`DELETE FROM neuronx.partition_progress`,
		`INSERT INTO neuronx.partition_progress VALUES ('neuronx.archiver', 1, 'neuronx.events', 1, gen_random_uuid(), 'l', 7)`,
		`ALTER TABLE neuronx.progress DISABLE TRIGGER guard`,
		`DROP TRIGGER guard ON neuronx.progress`,
		`SET session_replication_role = replica`,
		`CREATE OR REPLACE FUNCTION neuronx.guard_progress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	} {
		reset()
		_, err := ops.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient privilege", sql, err)
		}
	}
	reset()
	// Rows that are not stalled are nobody's business: the statement finds none.
	if tag, err := ops.Exec(t.Context(), `UPDATE neuronx.progress SET state = 'catching-up' WHERE tenant_id = 'beta'`); err != nil || tag.RowsAffected() != 0 {
		t.Errorf("rows that are live: %v, %v", tag, err)
	}
	if _, err := consumer.Retry(t.Context(), ops, "neuronx.archiver", "acme"); err != nil {
		t.Errorf("retry of the archiver: %v", err)
	}
	for _, name := range []string{"neuronx.projector", "neuronx.projector.control"} {
		if _, err := ops.Exec(t.Context(), `UPDATE neuronx.progress SET sequence = sequence + 1, event_id = '', state = 'catching-up', reason = '', missing_since = NULL,
			updated_at = now() WHERE consumer = $1 AND tenant_id = 'acme' AND generation = 1`, name); err != nil {
			t.Errorf("skip in %s: %v", name, err)
		}
	}
	var rows string
	if err := root.QueryRow(t.Context(), `SELECT string_agg(sequence || ' ' || state, ', ' ORDER BY consumer) FROM neuronx.progress WHERE tenant_id = 'acme'`).Scan(&rows); err != nil ||
		rows != "5 catching-up, 6 catching-up, 6 catching-up" {
		t.Errorf("%s, %v", rows, err)
	}
}

// A skip hides an event from a consumer, so nobody can skip what has not come yet: only the event that a row is stalled at.
func TestSkips_OperatorsCannotHideWhatIsStillToCome(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations())
	root, ops := db.Pool(t, ""), db.Pool(t, postgres.RoleOps)
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state)
		VALUES ('neuronx.projector.control', 1, 'acme', 0, 5, 'e5', 'l', 'live'), ('neuronx.projector.control', 1, 'beta', 0, 5, 'e5', 'l', 'stalled'),
			('neuronx.projector.control', 2, 'beta', 0, 5, 'e5', 'l', 'stalled')`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO neuronx.skips SELECT 'neuronx.projector.control', 'acme', g FROM generate_series(100, 100000) g`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) SELECT 'neuronx.projector.control', 'acme', g FROM generate_series(100, 100000) g`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.projector.control', 'acme', 6)`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.projector.control', 'beta', 5)`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.projector.control', 'beta', 7)`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.projector', 'beta', 6)`,
		`INSERT INTO neuronx.skips (consumer, tenant_id, sequence, skipped_at) VALUES ('neuronx.projector.control', 'beta', 6, 'infinity')`,
		`UPDATE neuronx.skips SET sequence = 9`,
		`DELETE FROM neuronx.skips`,
		`ALTER TABLE neuronx.skips DISABLE TRIGGER guard`,
		`CREATE OR REPLACE FUNCTION neuronx.guard_skips() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	} {
		_, err := ops.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient privilege", sql, err)
		}
	}
	opt := consumer.SkipOptions{Consumer: "neuronx.projector.control", Tenant: "beta", Sequence: 6, Reason: "junk"}
	if rows, err := consumer.Skip(t.Context(), ops, opt, func(consumer.Row) error { return nil }); err != nil || len(rows) != 2 {
		t.Errorf("a skip of what both generations are stalled at: %v, %v", rows, err)
	}
	all, err := consumer.Skips(t.Context(), ops, "neuronx.projector.control", "beta")
	if err != nil || len(all) != 1 || !all[6] {
		t.Errorf("%v, %v", all, err)
	}
}
