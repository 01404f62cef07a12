package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func TestLimitRoles_GivesEveryRoleLimitsAndLeavesWhatAnAdministratorSet(t *testing.T) {
	tx, err := postgrestest.New(t).Pool(t, "").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	for _, role := range postgres.Roles() {
		if _, err := tx.Exec(t.Context(), "ALTER ROLE "+role+" RESET ALL; ALTER ROLE "+role+" CONNECTION LIMIT -1; COMMENT ON ROLE "+role+" IS NULL"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), `ALTER ROLE neuronx_ops SET statement_timeout = '1h'; ALTER ROLE neuronx_ops CONNECTION LIMIT 3`); err != nil {
		t.Fatal(err)
	}
	if planned, err := postgres.LimitRolesIn(t.Context(), tx, false); err != nil || len(planned) == 0 {
		t.Fatalf("without execute: %v, %v", planned, err)
	}
	changed, err := postgres.LimitRolesIn(t.Context(), tx, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := postgres.LimitRolesIn(t.Context(), tx, true)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), `SELECT rolname, rolconnlimit || ' ' || array_to_string(rolconfig, ' ') || ' ' || coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = ANY($1)`, postgres.Roles())
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]string{}
	var name, text string
	if _, err := pgx.ForEachRow(rows, []any{&name, &text}, func() error { roles[name] = text; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(changed) != len(postgres.Roles())+1 || len(again) != 0 {
		t.Errorf("changed %q, and again %q", changed, again)
	}
	// People have less than services, of which one statement may take minutes; no statement may wait for ever.
	want := map[string]string{
		postgres.RoleReader: "20 statement_timeout=30s lock_timeout=5s idle_in_transaction_session_timeout=1min",
		postgres.RoleOps:    "3 statement_timeout=1h lock_timeout=10s idle_in_transaction_session_timeout=2min",
	}
	for _, role := range postgres.ServiceRoles() {
		want[role] = "200 statement_timeout=15min lock_timeout=1min idle_in_transaction_session_timeout=2min"
	}
	for _, role := range postgres.Roles() {
		if want[role] == "" || !strings.HasPrefix(roles[role], want[role]) {
			t.Errorf("%s has %q, want %q", role, roles[role], want[role])
		}
		if strings.HasPrefix(roles[role], "-1") {
			t.Errorf("%s may have any number of connections", role)
		}
	}
	if got := roles[postgres.RoleOps]; !strings.HasPrefix(got, "3 ") || !strings.Contains(got, "statement_timeout=1h") {
		t.Errorf("what an administrator had set is gone: %s", got)
	}
	if !strings.Contains(roles[postgres.RoleReader], "can read every tenant") {
		t.Errorf("%s does not say what it can do: %s", postgres.RoleReader, roles[postgres.RoleReader])
	}
}
