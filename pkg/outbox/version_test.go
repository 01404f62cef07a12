package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func TestRecord_OfANewerBuildIsToldFromGarbage(t *testing.T) {
	e := derived("t1", "x")
	b, err := encodeRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	b[0] = recordVersion + 1
	if _, err := Decode("t1", b); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer record: %v", err)
	}
	for _, bad := range [][]byte{nil, {0}} {
		if _, err := Decode("t1", bad); err == nil || errors.Is(err, ErrNewer) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestSender_LeavesRowsOfANewerBuildToItAndLosesNothing(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	var text strings.Builder
	box := New("rules", event.NewKeyring(), WithLog(slog.New(slog.NewTextHandler(&text, nil))))
	ctx := t.Context()
	for _, tenant := range []string{"a", "b"} {
		mustTx(t, pool, func(tx pgx.Tx) error {
			return box.Add(ctx, tx, derived(tenant, tenant+"1"), derived(tenant, tenant+"2"), derived(tenant, tenant+"3"))
		})
	}
	version := func(v int) { // as the build after this one would have written the row
		mustTx(t, pool, func(tx pgx.Tx) error {
			var record []byte
			if err := tx.QueryRow(ctx, `SELECT record FROM neuronx.outbox WHERE tenant_id = 'a' AND number = 2`).Scan(&record); err != nil {
				return err
			}
			record[0] = byte(v)
			if _, err := tx.Exec(ctx, `DELETE FROM neuronx.outbox WHERE tenant_id = 'a' AND number = 2`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal) VALUES ('a', 'rules', 2, 'a2', $1, $2)`,
				record, seal(box.keys, "a", "rules", 2, "a2", record))
			return err
		})
	}
	version(recordVersion + 1)
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0, 1, 2} }, Partitions: 3, Resend: time.Hour})
	for range 2 {
		if _, err := s.pass(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(d.list("a"), d.list("b")); got != "[1] [1 2 3]" {
		t.Fatalf("sent %s; the tenant must wait at the row that can't be read, the other must not", got)
	}
	if got := fmt.Sprint(numbers(t, pool, "a")); got != "[1 2 3]" {
		t.Fatalf("rows of a: %s", got)
	}
	if !strings.Contains(text.String(), "newer build") {
		t.Fatalf("not said: %s", text.String())
	}
	version(recordVersion) // a build that reads it has the partition now
	for range 2 {          // the row alone, then those behind it
		if _, err := s.pass(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(d.list("a")); got != "[1 2 3]" {
		t.Fatalf("sent %s", got)
	}
}

func TestSender_ATenantThatWaitsAtARowAndALongBacklogHoldUpNoOther(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	ctx := t.Context()
	add := func(tenant string, n int) {
		mustTx(t, pool, func(tx pgx.Tx) error {
			for i := range n {
				if err := box.Add(ctx, tx, derived(tenant, fmt.Sprintf("%s-%d", tenant, i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	add("newer", 300)
	mustTx(t, pool, func(tx pgx.Tx) error { // its first row is of a build after this one
		_, err := tx.Exec(ctx, `DELETE FROM neuronx.outbox WHERE tenant_id = 'newer' AND number = 1`)
		if err != nil {
			return err
		}
		record := []byte{recordVersion + 1}
		_, err = tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal, created_at) VALUES ('newer', 'rules', 1, 'x', $1, $2, now() - interval '1 hour')`,
			record, seal(box.keys, "newer", "rules", 1, "x", record))
		return err
	})
	add("backlog", 600)
	add("late", 1)
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0, 1, 2} }, Partitions: 3, Resend: time.Hour, Batch: 300})
	more, err := s.pass(ctx, time.Now())
	if err != nil || !more {
		t.Fatalf("more %v, error %v: a backlog is left, and a tenant that waits must not slow it down", more, err)
	}
	if _, err = s.pass(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := d.list("late"); len(got) != 1 {
		t.Errorf("the late tenant's only row was not sent in two passes; %d of the backlog were", len(d.list("backlog")))
	}
	if got := d.list("newer"); len(got) != 0 {
		t.Errorf("rows %v were sent behind one that can't be read", got)
	}
	for range 600 / windowShared {
		box.Observe([]event.Recorded{{Event: event.Event{TenantID: "backlog", Deriver: "rules", DeriverNumber: int64(len(d.list("backlog")))}}})
		if _, err := s.pass(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.list("backlog"); len(got) != 600 {
		t.Errorf("%d of 600 rows of the backlog were sent", len(got))
	}
}
