// Package operatetest makes the database of an engine for tests of what operators can ask: two tenants with keys, rules, a CRM
// connection, a dead letter that was decided, and derived events that wait to be sent.
package operatetest

import (
	_ "embed"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// engineRows are what a running engine with two tenants has in Postgres, as far as somebody would want to forge it.
//
//go:embed engine.sql
var engineRows string

// Engine is an engine's database.
type Engine struct {
	DB   *postgrestest.DB
	Root *pgxpool.Pool // as the superuser

	t *testing.T
}

// New makes a database with those rows.
func New(t *testing.T) *Engine {
	t.Helper()
	db := postgrestest.New(t, provision.Migrations()...)
	// As provisioning does at every deployment; the copied template may be older than what it makes outside of migrations.
	if _, err := postgres.Migrate(t.Context(), db.AdminURL, provision.Migrations()...); err != nil {
		t.Fatal(err)
	}
	e := &Engine{DB: db, Root: db.Pool(t, ""), t: t}
	e.Reset()
	return e
}

// Reset makes the rows again, with three derived events that wait to be sent.
func (e *Engine) Reset() {
	e.t.Helper()
	if _, err := e.Root.Exec(e.t.Context(), engineRows); err != nil {
		e.t.Fatal(err)
	}
	box := outbox.New("rules", event.NewKeyring())
	err := pgx.BeginFunc(e.t.Context(), e.DB.Pool(e.t, postgres.RoleRules), func(tx pgx.Tx) error {
		for _, id := range []string{"d1", "d2", "d3"} {
			derived := &event.Event{TenantID: "acme", ID: id, Type: "lead.scored", Source: "/neuronx/rules", CausationID: "acme5", Hops: 1, Value: event.Frame(1, nil)}
			if err := box.Add(e.t.Context(), tx, derived); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
}
