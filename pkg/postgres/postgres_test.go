package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func set(name string, files map[string]string) postgres.Migrations {
	fs := fstest.MapFS{}
	for n, text := range files {
		fs[n] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
	}
	return postgres.Migrations{Name: name, FS: fs}
}

func TestMigrate_AppliesEachFileOnceAndSaysWhich(t *testing.T) {
	ctx := t.Context()
	db := postgrestest.New(t)
	one := map[string]string{"00001_a.sql": "CREATE TABLE neuronx.a (id int);"}
	two := map[string]string{"00001_a.sql": one["00001_a.sql"], "00002_b.sql": "CREATE TABLE neuronx.b (id int);"}
	for _, step := range []struct {
		files map[string]string
		want  string
	}{{one, "x/00001_a.sql"}, {one, ""}, {two, "x/00002_b.sql"}, {two, ""}} {
		pending, err := postgres.Pending(ctx, db.URL(postgres.RoleRules), set("x", step.files))
		if err != nil || strings.Join(pending, " ") != step.want {
			t.Fatalf("pending %q, %v; want %q", pending, err, step.want)
		}
		applied, err := postgres.Migrate(ctx, db.AdminURL, set("x", step.files))
		if err != nil || strings.Join(applied, " ") != step.want {
			t.Fatalf("applied %q, %v; want %q", applied, err, step.want)
		}
	}
	var owner string
	if err := db.Pool(t, "").QueryRow(ctx, `SELECT tableowner FROM pg_tables WHERE schemaname = 'neuronx' AND tablename = 'b'`).Scan(&owner); err != nil || owner != postgres.RoleOwner {
		t.Fatalf("owner %q, %v", owner, err)
	}
}

func TestMigrate_AFailedFileLeavesItselfUnapplied(t *testing.T) {
	db := postgrestest.New(t)
	bad := set("x", map[string]string{"00001_a.sql": "CREATE TABLE neuronx.a (id int);", "00002_b.sql": "CREATE TABLE neuronx.b (id int); SELECT 1/0;"})
	applied, err := postgres.Migrate(t.Context(), db.AdminURL, bad)
	if err == nil || strings.Join(applied, " ") != "x/00001_a.sql" {
		t.Fatalf("applied %q, %v", applied, err)
	}
	pending, err := postgres.Pending(t.Context(), db.AdminURL, bad)
	if err != nil || strings.Join(pending, " ") != "x/00002_b.sql" {
		t.Fatalf("pending %q, %v", pending, err)
	}
}

func TestMigrate_DatabasesOfOneServerAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	urls := make([]string, 4)
	for i := range urls {
		urls[i] = postgrestest.New(t).AdminURL
	}
	for i := range 8 { // two provisions of each database
		wg.Go(func() {
			if _, err := postgres.Migrate(t.Context(), urls[i%4], set("x", map[string]string{"00001_a.sql": "CREATE TABLE neuronx.a (id int);"})); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestMigrate_RefusesSetsWithoutName(t *testing.T) {
	db := postgrestest.New(t)
	for _, name := range []string{"", "A b", "x;drop"} {
		if _, err := postgres.Migrate(t.Context(), db.AdminURL, set(name, nil)); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
}

func TestOpen_RefusesARoleThatRowLevelSecurityDoesNotBind(t *testing.T) {
	db := postgrestest.New(t)
	if pool, err := postgres.Open(t.Context(), db.AdminURL); err == nil {
		pool.Close()
		t.Fatal("a superuser is accepted")
	}
	for _, role := range postgres.Roles() {
		db.Pool(t, role)
	}
}

func TestOpen_HidesThePasswordInErrors(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable", "postgres://u:hunter2@[::bad/x", "postgres://u:hunter2@h:notaport/x"} {
		_, err := postgres.Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestSetPasswords_RefusesStrangersAndQuotes(t *testing.T) {
	db := postgrestest.New(t)
	if err := postgres.SetPasswords(t.Context(), db.AdminURL, map[string]string{"postgres": "x"}); err == nil {
		t.Error("changes a role that is not ours")
	}
}

func TestSetTenant_EndsWithTheTransaction(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, postgrestest.New(t).URL(postgres.RoleReader))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	setting := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (s string) {
		if err := q.QueryRow(ctx, `SELECT coalesce(current_setting('neuronx.tenant', true), '')`).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, "acme"); err != nil {
			return err
		}
		if got := setting(tx); got != "acme" {
			t.Errorf("inside: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := setting(conn); got != "" {
		t.Errorf("the next user of the connection sees tenant %q", got)
	}
}

// Roles own nothing, so none can make or change objects anywhere.
func TestRoles_CanMakeNothing(t *testing.T) {
	db := postgrestest.New(t)
	for _, role := range postgres.Roles() {
		pool := db.Pool(t, role)
		for _, sql := range []string{
			"CREATE TABLE neuronx.x (id int)", "CREATE TABLE read.x (id int)", "CREATE TABLE projection.x (id int)", "CREATE TABLE public.x (id int)",
			"CREATE SCHEMA x", "CREATE ROLE x", "SET ROLE neuronx_owner", "SET session_replication_role = replica", "CREATE DATABASE x",
			"DROP TABLE neuronx.goose_base", "DELETE FROM neuronx.goose_base", "ALTER ROLE neuronx_owner LOGIN",
		} {
			_, err := pool.Exec(t.Context(), sql)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "42501" {
				t.Errorf("%s: %s: %v, want insufficient privilege", role, sql, err)
			}
		}
	}
}

func TestMigrate_GuardsADatabaseThatIsOpenToEverybody(t *testing.T) {
	ctx := t.Context()
	db := postgrestest.New(t)
	pool := db.Pool(t, "")
	var name string
	if err := pool.QueryRow(ctx, `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "GRANT CONNECT, TEMPORARY ON DATABASE "+name+" TO PUBLIC"); err != nil { // as a copy is made
		t.Fatal(err)
	}
	if _, err := postgres.Migrate(ctx, db.AdminURL); err != nil {
		t.Fatal(err)
	}
	var open int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = current_database() AND a.grantee = 0`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d rights of PUBLIC are left, %v", open, err)
	}
}
