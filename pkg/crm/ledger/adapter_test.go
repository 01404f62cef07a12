package ledger_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

var book = ledger.Ledger{Adapter: "gohighlevel"}

const insertEffect = `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
	VALUES ($1, 'acme', 'e1', 'e1', 1, 'crm.note.add', 'once', 'lead/1', 'done', '{}', '{}', 0, 1)`

// Another adapter is a role of the group with rights, and no policy of its own.
func TestEffects_AnAdapterSeesAndWritesItsOwnOnly(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin := t.Context(), db.Pool(t, "")
	tx, err := admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // with the role
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(insertEffect, "gohighlevel")
	exec(insertEffect, "secondcrm") // the same command
	for _, adapter := range []string{"gohighlevel", "secondcrm"} {
		exec(`INSERT INTO neuronx.effect_attempts (adapter, tenant_id, effect_id, attempt, worker, intent) VALUES ($1, 'acme', 'e1', 1, 'w', '')`, adapter)
		exec(`INSERT INTO neuronx.effect_modes (adapter, tenant_id, kind, mode, sequence) VALUES ($1, 'acme', '*', 'off', 1)`, adapter)
		exec(`INSERT INTO neuronx.effect_freezes (adapter, scope, position, reason) VALUES ($1, 'tenant/acme', 1, 'test')`, adapter)
	}
	exec(`CREATE ROLE neuronx_secondcrm IN ROLE neuronx_crm, neuronx_reader`)
	exec(`GRANT SELECT, INSERT, UPDATE ON neuronx.effects, neuronx.effect_attempts, neuronx.effect_modes, neuronx.effect_freezes TO neuronx_secondcrm`)
	for _, adapter := range []string{"gohighlevel", "secondcrm"} {
		exec("SET LOCAL ROLE neuronx_" + adapter)
		for _, table := range []string{"effects", "effect_attempts", "effect_modes", "effect_freezes"} {
			var seen string
			if err := tx.QueryRow(ctx, `SELECT string_agg(adapter, ' ') FROM neuronx.`+table).Scan(&seen); err != nil || seen != adapter {
				t.Errorf("%s sees in %s the rows of %q, %v", adapter, table, seen, err)
			}
		}
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE neuronx.effect_modes SET adapter = 'another'`)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "row-level security") {
			t.Errorf("%s writes a row of another adapter: %v", adapter, err)
		}
		exec("RESET ROLE")
	}
}

func TestMigrations_OldEffectsAreOfTheOnlyAdapterThereWas(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin := t.Context(), db.Pool(t, "")
	file, err := os.ReadFile("migrations/00009_adapter.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(file), "-- +goose Down")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := admin.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(insertEffect, "gohighlevel")
	exec(insertEffect, "secondcrm")
	exec(`INSERT INTO neuronx.effect_attempts (adapter, tenant_id, effect_id, attempt, worker, intent) VALUES ('gohighlevel', 'acme', 'e1', 1, 'w', '')`)
	// As the owner, whom row security binds.
	exec("SET ROLE neuronx_owner;" + down + "; RESET ROLE")
	exec("SET ROLE neuronx_owner;" + up + "; RESET ROLE")
	pool := db.Pool(t, "neuronx_gohighlevel")
	if _, found, err := book.Get(ctx, pool, "acme", "e1", false); err != nil || !found {
		t.Errorf("the effect is found: %v, %v", found, err)
	}
	var n, attempts int
	if err := admin.QueryRow(ctx, `SELECT (SELECT count(*) FROM neuronx.effects), (SELECT count(*) FROM neuronx.effect_attempts WHERE adapter = 'gohighlevel')`).Scan(&n, &attempts); err != nil || n != 1 || attempts != 1 {
		t.Errorf("%d effects and %d attempts, %v", n, attempts, err)
	}
	if _, err := admin.Exec(ctx, `INSERT INTO neuronx.effect_freezes (scope, position, reason) VALUES ('tenant/acme', 1, 'test')`); err == nil {
		t.Error("a row is taken that does not say whose it is")
	}
}

// The statements name the adapter themselves: row security is the second lock, and a role that it does not bind must not work off another's effects.
func TestLedger_NamesItsAdapterWhereRowSecurityBindsNobody(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin := t.Context(), db.Pool(t, "")
	if _, err := admin.Exec(ctx, strings.Replace(insertEffect, "'done'", "'pending'", 1), "secondcrm"); err != nil {
		t.Fatal(err)
	}
	for adapter, want := range map[string]int{"secondcrm": 1, "gohighlevel": 0} {
		l := ledger.Ledger{Adapter: adapter}
		err := pgx.BeginFunc(ctx, admin, func(tx pgx.Tx) error {
			due, _, err := l.Due(ctx, tx, "acme", 10, 0)
			if err != nil || len(due) != want {
				t.Errorf("%s has %d effects due, %v", adapter, len(due), err)
			}
			tenants, err := l.DueTenants(ctx, tx, []int32{0}, []string{}, "", "", 10)
			if err != nil || len(tenants) != want {
				t.Errorf("%s has %d tenants with effects due, %v", adapter, len(tenants), err)
			}
			_, found, err := l.Get(ctx, tx, "acme", "e1", false)
			if err != nil || found != (want == 1) {
				t.Errorf("%s finds the effect: %v, %v", adapter, found, err)
			}
			pending, err := l.CountPending(ctx, tx, []string{"acme"})
			if err != nil || len(pending) != want {
				t.Errorf("%s counts %v, %v", adapter, pending, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
