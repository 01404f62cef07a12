package ledger_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// All tenants wait while the effects of one are looked through. Rules can put any number of commands about one lead into the ledger, and all
// but the first have to wait for it.
func TestDue_ALongLaneCostsNoMoreThanAShortOneAndHidesNoOther(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	ctx, admin, pool := t.Context(), db.Pool(t, ""), db.Pool(t, "neuronx_gohighlevel")
	const long, others = 20_000, 5
	insert := func(sql string, args ...any) {
		t.Helper()
		if _, err := admin.Exec(ctx, `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			SELECT 'gohighlevel', 'acme', 'e' || i, 'e' || i, i, 'crm.note.add', 'once', `+sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	insert(`'lead/1', 'pending', '{}', '{}', 0, i FROM generate_series(1, $1::int) i`, long)
	insert(`'lead/' || i, 'pending', '{}', '{}', 0, i FROM generate_series($1::int + 1, $1::int + $2::int) i`, long, others)
	if _, err := admin.Exec(ctx, `ANALYZE neuronx.effects`); err != nil {
		t.Fatal(err)
	}

	var from, most int64
	var found []string
	var looks int
	for looks = 1; looks <= long; looks++ {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			read := func() (n int64) {
				if err := tx.QueryRow(ctx, `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'effects'`).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			before := read()
			due, next, err := book.Due(ctx, tx, "acme", 10, from)
			for _, e := range due {
				found = append(found, e.ID)
			}
			from, most = next, max(most, read()-before)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if from == 0 {
			break
		}
	}
	if most > long/4 {
		t.Errorf("one look read %d rows", most)
	}
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(found, []string{"e1", "e20001", "e20002", "e20003", "e20004", "e20005"}) {
		t.Errorf("%d looks found %v", looks, found)
	}
	if looks < 2 {
		t.Errorf("%d looks went through %d effects: nothing was bounded", looks, long)
	}
}
