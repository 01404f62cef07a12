package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// A sender remembers how far it has sent. A Postgres that is restored from a backup under it gives numbers out again, to other events, so
// what the sender remembers is about rows that are gone.
func TestSender_SendsWhatAPostgresRestoredUnderItHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		afterwards int           // rows that are added before the sender looks again
		patience   time.Duration // until all must have been sent
		want       string
	}{
		"seen before anything is added":                  {0, 0, "[1 2]"},
		"seen when the numbers are below what was sent":  {2, 0, "[1 2 3 4]"},
		"seen when the numbers are beyond what was sent": {4, 10 * time.Second, "[6 1 2 3 4 5 6]"},
	} {
		t.Run(name, func(t *testing.T) {
			db := postgrestest.New(t, Migrations())
			pool := db.Pool(t, postgres.RoleRules)
			box := New("rules", event.NewKeyring())
			ctx := t.Context()
			add := func(ids ...string) {
				t.Helper()
				for _, id := range ids {
					mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, derived("a", id)) })
				}
			}
			add("a1", "a2")
			admin := db.Pool(t, "")
			restore := func(statements ...string) {
				t.Helper()
				for _, sql := range statements {
					if _, err := admin.Exec(ctx, sql); err != nil {
						t.Fatal(err)
					}
				}
			}
			restore(`CREATE TABLE backup_rows AS SELECT * FROM neuronx.outbox`, `CREATE TABLE backup_numbers AS SELECT * FROM neuronx.outbox_numbers`)
			d := &fakeIngress{}
			s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1})
			now := time.Now()
			pass := func() {
				t.Helper()
				if _, err := s.pass(ctx, now); err != nil {
					t.Fatal(err)
				}
			}
			add("a3", "a4", "a5")
			pass()
			for n := range int64(4) {
				mustTx(t, pool, func(tx pgx.Tx) error { return box.Seen(ctx, tx, "a", n+1, fmt.Sprint("a", n+1)) })
			}
			pass()
			if got := fmt.Sprint(d.list("a")); got != "[1 2 3 4 5]" {
				t.Fatalf("before the restore %s were sent", got)
			}
			d.sent = nil

			restore(`TRUNCATE neuronx.outbox, neuronx.outbox_numbers`, `INSERT INTO neuronx.outbox SELECT * FROM backup_rows`,
				`INSERT INTO neuronx.outbox_numbers SELECT * FROM backup_numbers`)
			for i := range tc.afterwards {
				add(fmt.Sprint("again", i))
			}
			pass()
			now = now.Add(tc.patience)
			pass()
			if got := fmt.Sprint(d.list("a")); got != tc.want {
				t.Errorf("after the restore %s were sent, want %s", got, tc.want)
			}
			held := map[int64]string{1: "a1", 2: "a2", 3: "again0", 4: "again1", 5: "again2", 6: "again3"}
			for _, e := range d.sent {
				if e.ID != held[e.DeriverNumber] {
					t.Errorf("under number %d %s was sent, the restored outbox holds %s", e.DeriverNumber, e.ID, held[e.DeriverNumber])
				}
			}
		})
	}
}
