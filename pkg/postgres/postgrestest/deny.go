package postgrestest

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Without runs fn while a role may not touch a table, schema.name, and fails the test unless fn returns Postgres's own error about that
// table. In a transaction every statement after a failed one fails, too, but with an error (25P02) that says nothing about the cause, and may
// be tried again where the first must not be: an error that is passed over shows.
func (d *DB) Without(t testing.TB, role, table string, fn func() error) {
	t.Helper()
	root := d.Pool(t, "")
	var acl []string
	if err := root.QueryRow(t.Context(), `SELECT relacl::text[] FROM pg_class WHERE oid = $1::text::regclass`, table).Scan(&acl); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Exec(t.Context(), `REVOKE ALL ON `+table+` FROM `+role); err != nil {
		t.Fatal(err)
	}
	err := fn()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" {
		t.Errorf("without %s: %v", table, err)
	}
	if _, err := root.Exec(t.Context(), `UPDATE pg_class SET relacl = $2::text[]::aclitem[] WHERE oid = $1::text::regclass`, table, acl); err != nil {
		t.Fatal(err)
	}
}
