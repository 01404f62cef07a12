package archiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// twoTenants is a database whose archive holds three events of acme and two of beta.
func twoTenants(t *testing.T) (*postgrestest.DB, *Archiver, *pgxpool.Pool) {
	t.Helper()
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	applyAll(t, a, pool, run("acme", 1, 3), run("beta", 1, 2))
	return db, a, pool
}

func leaf(t *testing.T, db *postgrestest.DB, tenant string) string {
	t.Helper()
	var n int64
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT n FROM neuronx.tenant_leaves WHERE tenant_id = $1`, tenant).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("neuronx.tenant_events_p%d", n)
}

// No role that a service, a reader or an operator runs under can change or delete what is archived, whichever way it is tried.
func TestArchive_NoRoleCanRewriteHistory(t *testing.T) {
	db, _, _ := twoTenants(t)
	acme := leaf(t, db, "acme")
	attacks := []string{
		"UPDATE neuronx.tenant_events SET payload = ''",
		"UPDATE " + acme + " SET payload = ''",
		"DELETE FROM neuronx.tenant_events",
		"DELETE FROM " + acme,
		"TRUNCATE neuronx.tenant_events",
		"TRUNCATE " + acme,
		"DROP TABLE " + acme,
		"DROP TABLE neuronx.tenant_events CASCADE",
		"ALTER TABLE neuronx.tenant_events DETACH PARTITION " + acme,
		"ALTER TABLE neuronx.tenant_events NO FORCE ROW LEVEL SECURITY",
		"ALTER TABLE neuronx.tenant_events DISABLE ROW LEVEL SECURITY",
		"CREATE POLICY mine ON neuronx.tenant_events USING (true)",
		"SET session_replication_role = replica",
		"SET ROLE neuronx_owner",
		"ALTER TABLE neuronx.tenant_events ADD COLUMN x int",
		"CREATE RULE r AS ON INSERT TO neuronx.tenant_events DO INSTEAD NOTHING",
		"CREATE OR REPLACE FUNCTION neuronx.ensure_tenant(tenant text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
		"INSERT INTO " + acme + " SELECT * FROM neuronx.tenant_events",
		"SELECT count(*) FROM " + acme,
		"MERGE INTO neuronx.tenant_events t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
		"UPDATE neuronx.schemas SET schema = ''",
		"DELETE FROM neuronx.schemas",
		"DELETE FROM neuronx.dead_letters",
		"UPDATE neuronx.dead_letters SET value = ''",
		"DELETE FROM neuronx.dead_letter_decisions",
		"UPDATE neuronx.dead_letter_decisions SET kind = 'dropped'",
		"UPDATE neuronx.dead_letter_requests SET action = 'retry', value = ''",
		"INSERT INTO neuronx.dead_letter_requests (id, topic, partition, \"offset\", action, origin, state) VALUES (gen_random_uuid(), '', 0, 0, 'drop', 'live', 'done')",
		"DELETE FROM neuronx.tenant_leaves",
		"UPDATE neuronx.tenant_leaves SET tenant_id = 'x'",
		"SELECT pg_read_file('PG_VERSION')",
		"COPY neuronx.schemas TO PROGRAM 'cat'",
	}
	for _, role := range postgres.Roles() {
		pool := db.Pool(t, role)
		for _, sql := range attacks {
			// In one transaction with the tenant set, as an injected statement would run.
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				if err := postgres.SetTenant(t.Context(), tx, "acme"); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), sql)
				return err
			})
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "42501" {
				t.Errorf("%s: %s: %v, want insufficient privilege", role, sql, err)
			}
		}
		if role != postgres.RoleArchiver {
			_, err := pool.Exec(t.Context(), `INSERT INTO neuronx.schemas (fingerprint, schema_id, schema) VALUES (decode(repeat('00', 32), 'hex'), 1, '')`)
			if err == nil {
				t.Errorf("%s can insert a schema", role)
			}
			if _, err := pool.Exec(t.Context(), `SELECT neuronx.ensure_tenant('x')`); err == nil {
				t.Errorf("%s can make tenant tables", role)
			}
		}
	}
	var n int
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT count(*) FROM neuronx.tenant_events`).Scan(&n); err != nil || n != 5 {
		t.Fatalf("%d rows, %v; want 5", n, err)
	}
}

// The catalogue itself: owners, forced security and grants of everything that holds archived rows.
func TestArchive_TheCatalogueHoldsTheWalls(t *testing.T) {
	db, _, _ := twoTenants(t)
	pool := db.Pool(t, "")
	bad := func(what, sql string) {
		t.Helper()
		rows, err := pool.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("%s: %s", what, strings.Join(found, ", "))
		}
	}
	const tables = ` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'neuronx' AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE 'goose%' `
	bad("not owned by neuronx_owner", `SELECT c.relname::text`+tables+`AND pg_get_userbyid(c.relowner) <> 'neuronx_owner'`)
	bad("security not forced", `SELECT c.relname::text`+tables+`AND NOT (c.relrowsecurity AND c.relforcerowsecurity)`)
	bad("grants on leaves", `SELECT c.relname || ' to ' || a.grantee::regrole`+
		strings.Replace(tables, "WHERE", "CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE", 1)+`AND c.relispartition AND a.grantee <> c.relowner`)
	bad("privileges that rewrite", `SELECT c.relname || ' ' || a.privilege_type || ' to ' || coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC')`+
		strings.Replace(tables, "WHERE", "CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE", 1)+
		`AND c.relname IN ('tenant_events', 'schemas', 'dead_letters', 'dead_letter_decisions', 'tenant_leaves') AND a.grantee <> c.relowner AND a.privilege_type NOT IN ('SELECT', 'INSERT')`)
	bad("functions of the owner that PUBLIC may call", `SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = 'neuronx' AND has_function_privilege('public', p.oid, 'EXECUTE')`)
	bad("SECURITY DEFINER without a fixed search_path", `SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname = 'neuronx' AND p.prosecdef AND NOT coalesce(p.proconfig::text LIKE '%search_path%', false)`)
	bad("roles that security does not bind", `SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'neuronx%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)`)
	bad("the owner can log in", `SELECT rolname::text FROM pg_roles WHERE rolname = 'neuronx_owner' AND rolcanlogin`)
	bad("members of the owner", `SELECT m.member::regrole::text FROM pg_auth_members m WHERE m.roleid = 'neuronx_owner'::regrole`)
}

func TestArchive_ReadersSeeTheirTenantOnly(t *testing.T) {
	db, _, _ := twoTenants(t)
	count := func(role, tenant string) (n int) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), db.Pool(t, role), func(tx pgx.Tx) error {
			if err := postgres.SetTenant(t.Context(), tx, tenant); err != nil {
				return err
			}
			return tx.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.tenant_events`).Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, role := range append(postgres.ServiceRoles(), postgres.RoleReader) {
		for tenant, want := range map[string]int{"acme": 3, "beta": 2, "": 0, "none": 0} {
			if got := count(role, tenant); got != want {
				t.Errorf("%s as %q sees %d rows, want %d", role, tenant, got, want)
			}
		}
	}
	if got := count(postgres.RoleOps, ""); got != 5 {
		t.Errorf("operators see %d rows, want 5", got)
	}
}

// E8: a long reader of the parent must not stop the next tenant's table, nor writers of other tenants behind it.
func TestEnsureTenant_DoesNotWaitForReadersAndWriters(t *testing.T) {
	db, a, pool := twoTenants(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	reader, err := db.Pool(t, postgres.RoleOps).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback(context.Background())
	var n int
	if err := reader.QueryRow(ctx, `SELECT count(*) FROM neuronx.tenant_events`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	writer, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Rollback(context.Background())
	if err := a.ApplyBatch(ctx, writer, []consumer.Run{run("acme", 4, 1)}); err != nil {
		t.Fatal(err)
	}
	// Both transactions are open. A lock that conflicts would wait until the deadline.
	if err := applyErr(ctx, a, pool, run("gamma", 1, 1)); err != nil {
		t.Fatalf("a new tenant waits for others: %v", err)
	}
	if err := writer.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureTenant_AtOnceFromManyMakesOneTable(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	names := make(chan string, 8)
	for range cap(names) {
		go func() {
			var name string
			if err := pool.QueryRow(context.Background(), `SELECT neuronx.ensure_tenant('same')`).Scan(&name); err != nil {
				name = err.Error()
			}
			names <- name
		}()
	}
	first := <-names
	for range cap(names) - 1 {
		if n := <-names; n != first || !strings.HasPrefix(n, "tenant_events_p") {
			t.Errorf("%q and %q", first, n)
		}
	}
	for _, bad := range []string{"", "Acme", "a'b", strings.Repeat("x", 64), "a;b"} {
		if _, err := pool.Exec(t.Context(), `SELECT neuronx.ensure_tenant($1)`, bad); err == nil {
			t.Errorf("makes a table for %q", bad)
		}
	}
	if _, err := pool.Exec(t.Context(), `SELECT neuronx.ensure_tenant($1)`, strings.Repeat("x", 63)); err != nil {
		t.Errorf("the longest tenant id: %v", err)
	}
}
