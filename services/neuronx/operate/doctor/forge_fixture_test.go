package doctor

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// forgeRig is an engine's database, and doctor.
type forgeRig struct {
	*operatetest.Engine
	t      *testing.T
	ops    *pgxpool.Pool // as doctor asks
	tables string        // a query for what all tables hold, and what the catalogue says
}

func newForgeRig(t *testing.T) *forgeRig {
	t.Helper()
	r := &forgeRig{Engine: operatetest.New(t), t: t}
	r.ops = r.DB.Pool(t, postgres.RoleOps)
	rows, err := r.Root.Query(t.Context(), `SELECT format('SELECT %L AS part, md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text), '''')) AS sum FROM %s t', c.oid::regclass, c.oid::regclass)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('neuronx', 'projection') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, catalogue := range []string{
		`SELECT (schemaname, tablename, policyname, roles, cmd, qual, with_check)::text FROM pg_policies`,
		`SELECT (c.relname, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('neuronx', 'projection', 'read', 'public')`,
		`SELECT (tgrelid, tgname, tgenabled)::text FROM pg_trigger WHERE NOT tgisinternal`,
		`SELECT (p.oid, proname, proacl, prosrc)::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('neuronx', 'projection', 'read', 'public')`,
		`SELECT (rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin)::text FROM pg_roles WHERE rolname LIKE 'neuronx%'`,
		`SELECT (roleid, member)::text FROM pg_auth_members`,
		`SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'`,
		`SELECT oid::text FROM pg_largeobject_metadata`,
	} {
		parts = append(parts, `SELECT 'catalogue', md5(coalesce(string_agg(x, E'\n' ORDER BY x), '')) FROM (`+catalogue+`) q(x)`)
	}
	r.tables = `SELECT string_agg(part || ' ' || sum, E'\n' ORDER BY part, sum) FROM (` + strings.Join(parts, ` UNION ALL `) + `) parts`
	return r
}

func (r *forgeRig) digest() (text string) {
	r.t.Helper()
	if err := r.Root.QueryRow(r.t.Context(), r.tables).Scan(&text); err != nil {
		r.t.Fatal(err)
	}
	return text
}

// found runs doctor's checks and returns what failed.
func (r *forgeRig) found() (out []string) {
	r.t.Helper()
	for _, check := range [][]Finding{checkArchive(r.t.Context(), r.ops), checkForged(r.t.Context(), r.ops), checkWalls(r.t.Context(), r.ops)} {
		for _, f := range check {
			if f.Result == Failed || f.Result == Warn {
				out = append(out, f.Detail)
			}
		}
	}
	return out
}
