package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// explained is a Querier that has its first query explained.
type explained struct {
	ledger.Querier
	t    *testing.T
	plan string
}

func (e *explained) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	e.t.Helper()
	rows, err := e.Query(ctx, "EXPLAIN "+sql, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		e.t.Fatal(err)
	}
	e.plan = strings.Join(lines, "\n")
	return e.Querier.QueryRow(ctx, sql, args...)
}

// A tenant has hundreds of thousands of effects after a year, and the batch of all tenants waits for each new one.
func TestMeetTwin_DoesNotReadTheEffectsOfATenantThatLostNone(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin := context.Background(), db.Pool(t, "")
	for _, sql := range []string{
		`INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			SELECT 'gohighlevel', 'acme', 'e' || n, 'e' || n, n, 'crm.note.add', 'once', 'lead/' || n, 'done', '{"lead_id":"l1","body":"x"}', '{}', 0, n FROM generate_series(1, 5000) AS n`,
		`ANALYZE neuronx.effects`,
	} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	q := &explained{Querier: db.Pool(t, "neuronx_gohighlevel"), t: t}
	if is, err := book.MeetTwin(ctx, q, ledger.Effect{TenantID: "acme", ID: "e7", Kind: crm.KindNote, Subject: "lead/7"}); is || err != nil {
		t.Fatal(is, err)
	}
	if strings.Contains(q.plan, "Seq Scan") || !strings.Contains(q.plan, "effects_lost") {
		t.Errorf("the look for what was lost does not go by its index:\n%s", q.plan)
	}
}

func TestGet_LocksTheEffectOnlyWhenAsked(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, pool := t.Context(), db.Pool(t, "neuronx_gohighlevel")
	if _, err := db.Pool(t, "").Exec(ctx, `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
		VALUES ('gohighlevel', 'acme', 'e1', 'e1', 1, 'crm.note.add', 'once', 'lead/1', 'pending', '{}', '{}', 0, 1)`); err != nil {
		t.Fatal(err)
	}
	other := func(lock bool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '10ms'`); err != nil {
				return err
			}
			_, _, err := book.Get(ctx, tx, "acme", "e1", lock)
			return err
		})
	}
	for _, locked := range []bool{false, true} {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, found, err := book.Get(ctx, tx, "acme", "e1", locked); err != nil || !found {
				t.Errorf("found %v, %v", found, err)
			}
			if err := other(false); err != nil {
				t.Errorf("a look waits for a lock: %v", err)
			}
			if err := other(true); (err != nil) != locked {
				t.Errorf("locked %v, and another one that locks it: %v", locked, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := book.Get(ctx, pool, "acme", "e2", true); err != nil || found {
		t.Errorf("one that is not there: found %v, %v", found, err)
	}
	if counts, err := ledger.Counts(ctx, pool, "acme"); err != nil || len(counts) != 1 || counts[crm.Pending] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	if counts, err := ledger.Counts(ctx, pool, "beta"); err != nil || len(counts) != 0 {
		t.Errorf("of another tenant: %v, %v", counts, err)
	}
}

func TestClaim_HoldsAKeyUntilItsEnd(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, pool := t.Context(), db.Pool(t, "neuronx_gohighlevel")
	claim := func(q ledger.Querier, lead string, d time.Duration) (string, bool) {
		t.Helper()
		h, ok, err := book.Claim(ctx, q, "acme", "loc", lead, "email:a@example.com", d)
		if err != nil {
			t.Fatal(err)
		}
		return h.Lead, ok
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { // in which it is the same moment throughout
		if _, ok := claim(tx, "l1", 0); !ok {
			t.Error("a key that nobody has is not given")
		}
		if lead, ok := claim(tx, "l2", time.Hour); ok || lead != "l1" {
			t.Errorf("at its end a claim is taken over: %v, of %q", ok, lead)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok := claim(pool, "l2", time.Hour); !ok {
		t.Error("a claim that has ended is kept")
	}
	if lead, ok := claim(pool, "l1", time.Hour); ok || lead != "l2" {
		t.Errorf("a claim of another lead is taken over: %v, of %q", ok, lead)
	}
	if _, ok := claim(pool, "l2", time.Minute); !ok {
		t.Error("a lead can't claim its own key again")
	}
	others, err := book.ClaimAll(ctx, pool, "acme", "loc", "l1", []string{"phone:1", "email:a@example.com"}, time.Hour)
	if err != nil || len(others) != 1 || others["email:a@example.com"].Lead != "l2" {
		t.Errorf("%v, %v", others, err)
	}
	if err := book.Unclaim(ctx, pool, "acme", "loc", "l2"); err != nil {
		t.Fatal(err)
	}
	if _, ok := claim(pool, "l1", time.Hour); !ok {
		t.Error("a key that was given up is kept")
	}
}
