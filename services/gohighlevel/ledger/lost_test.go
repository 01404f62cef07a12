package ledger_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
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
		`INSERT INTO neuronx.effects (tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			SELECT 'acme', 'e' || n, 'e' || n, n, 'crm.note.add', 'once', 'lead/' || n, 'done', '{"lead_id":"l1","body":"x"}', '{}', 0, n FROM generate_series(1, 5000) AS n`,
		`ANALYZE neuronx.effects`,
	} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	q := &explained{Querier: db.Pool(t, "neuronx_gohighlevel"), t: t}
	if is, err := ledger.MeetTwin(ctx, q, ledger.Effect{TenantID: "acme", ID: "e7", Kind: effect.KindNote, Subject: "lead/7"}); is || err != nil {
		t.Fatal(is, err)
	}
	if strings.Contains(q.plan, "Seq Scan") || !strings.Contains(q.plan, "effects_lost") {
		t.Errorf("the look for what was lost does not go by its index:\n%s", q.plan)
	}
}
