package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// TestSender_KeepsABoundedNumberOfATenantsRowsOnTheirWay holds what one tenant puts in front of everybody's events to a window, however much it derives.
func TestSender_KeepsABoundedNumberOfATenantsRowsOnTheirWay(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	ctx := t.Context()
	mustTx(t, pool, func(tx pgx.Tx) error {
		for i := range 4 * windowAlone {
			if err := box.Add(ctx, tx, derived("flood", fmt.Sprint("flood-", i))); err != nil {
				return err
			}
		}
		return nil
	})
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0, 1, 2} }, Partitions: 3, Resend: time.Hour})
	now := time.Now()
	sent := func(what string, want int) {
		t.Helper()
		for range 10 {
			if _, err := s.pass(ctx, now); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(d.list("flood")); got != want {
			t.Fatalf("%s: %d rows were sent, want %d", what, got, want)
		}
	}
	read := func(number int64) {
		box.Observe([]event.Recorded{
			{Event: event.Event{TenantID: "flood", Deriver: "rules", DeriverNumber: number}},
			{Event: event.Event{TenantID: "flood", Deriver: "gohighlevel", DeriverNumber: 1 << 40}}, // another deriver's numbers say nothing about ours
		})
	}
	sent("nothing was read back", windowAlone)
	if !s.held {
		t.Error("the sender would go idle although rows wait only for what is on its way")
	}
	read(100)
	sent("100 were read back from the log", windowAlone+100)
	read(60) // read again after an operator's reset
	sent("an old one was read again", windowAlone+100)
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Seen(ctx, tx, "flood", 200, "flood-199")
	})
	sent("200 were seen", windowAlone+200)
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(ctx, tx, derived("small", "small-1"))
	})
	read(300)
	sent("another tenant has rows too", windowAlone+200)
	if got := len(d.list("small")); got != 1 {
		t.Errorf("%d rows of the other tenant were sent, want its only one", got)
	}
	now = time.Now().Add(windowWait)
	s.held = false
	if _, err := s.pass(ctx, now); err != nil {
		t.Fatal(err)
	}
	if got := len(d.list("flood")); got != windowAlone+200+windowShared {
		t.Errorf("%d rows were sent after %s without news, want a window more: what is never read back must not stop a tenant", got, windowWait)
	}
	now = now.Add(aloneAfter)
	read(windowAlone + 200 + windowShared)
	if _, err := s.pass(ctx, now); err != nil {
		t.Fatal(err)
	}
	if got := len(d.list("flood")); got != 2*windowAlone+200+windowShared {
		t.Errorf("%d rows were sent when the other tenant had none for a while, want a whole window more", got)
	}
}

// TestSurvey_FindsEachTenantsFirstAndLastRow compares with a plain aggregate over rows with holes, of several derivers.
func TestSurvey_FindsEachTenantsFirstAndLastRow(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	ctx := t.Context()
	_, err := db.Pool(t, "").Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record)
		SELECT 't' || (n % 7), CASE WHEN n % 7 = 3 OR n % 5 = 0 THEN 'gohighlevel' ELSE 'rules' END, n * 3, 'e' || n, '' FROM generate_series(1, 200) n`)
	if err != nil {
		t.Fatal(err)
	}
	s := New("rules", event.NewKeyring()).NewSender(SenderConfig{Pool: db.Pool(t, postgres.RoleRules)})
	all, err := s.survey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int64{}
	for _, x := range all {
		got[x.tenant] = [2]int64{x.low, x.high}
	}
	want := map[string][2]int64{}
	rows, err := db.Pool(t, "").Query(ctx, `SELECT tenant_id, min(number), max(number) FROM neuronx.outbox WHERE deriver = 'rules' GROUP BY tenant_id`)
	if err != nil {
		t.Fatal(err)
	}
	var tenant string
	var low, high int64
	if _, err := pgx.ForEachRow(rows, []any{&tenant, &low, &high}, func() error { want[tenant] = [2]int64{low, high}; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(want) != 6 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the survey found %v, want %v", got, want)
	}
	if all, err := New("deadletter", event.NewKeyring()).NewSender(SenderConfig{Pool: db.Pool(t, postgres.RoleArchiver)}).survey(context.Background()); err != nil || len(all) != 0 {
		t.Errorf("a deriver without rows: %v, error %v", all, err)
	}
}
