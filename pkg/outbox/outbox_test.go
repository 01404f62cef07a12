package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func derived(tenant, id string) *event.Event {
	return &event.Event{TenantID: tenant, ID: id, Source: "/neuronx/rules", Type: "lead.scored", Subject: "lead/1",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), ContentType: event.ContentTypeAvro, CausationID: "cause", Hops: 2,
		Origin: event.OriginLive, Path: []string{"lead.scored<a@1"}, Value: event.Frame(7, []byte("body"))}
}

func inTx(t *testing.T, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	t.Helper()
	return pgx.BeginFunc(t.Context(), pool, fn)
}

func mustTx(t *testing.T, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := inTx(t, pool, fn); err != nil {
		t.Fatal(err)
	}
}

func numbers(t *testing.T, pool *pgxpool.Pool, tenant string) (out []int64) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT number FROM neuronx.outbox WHERE tenant_id = $1 ORDER BY number`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	out, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecord_SurvivesStorageWithoutItsSignature(t *testing.T) {
	keys := event.NewKeyring()
	e := derived("t1", "id-1")
	e.Deriver, e.DeriverNumber = "rules", 9
	e.Extra = []event.Header{{Key: "x-note", Value: []byte("kept")}}
	keys.Sign(e)
	b, err := encodeRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	if b[0] != recordVersion {
		t.Errorf("first byte is %d, want the version %d", b[0], recordVersion)
	}
	got, err := Decode("t1", b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Signature != "" {
		t.Error("the signature was stored; keys may be rotated before the row is sent")
	}
	keys.Sign(&got)
	if got.Signature != e.Signature {
		t.Errorf("signed again, the stored event has another signature: %+v is not %+v", got, *e)
	}
	for i := range b {
		cut, err := Decode("t1", b[:i])
		switch head := len(b) - len(e.Value); {
		case i < head && err == nil:
			t.Errorf("a record cut to %d bytes was read, and its headers alone have %d", i, head)
		case i >= head && (err != nil || cut.ID != e.ID || !bytes.Equal(cut.Value, e.Value[:i-head])):
			t.Errorf("a record cut within its value, which the seal finds, is read as %+v, %v", cut, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	b, err := encodeRecord(derived("t1", "id-1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode("t1", b)
		if err == nil && e.TenantID != "t1" {
			t.Errorf("a record changed its tenant to %q", e.TenantID)
		}
	})
}

func TestAdd_NumbersHaveNoGapUnderConcurrencyAndRollback(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	const writers, each = 6, 15
	errRollback := errors.New("rolled back")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					err := box.Add(t.Context(), tx, derived("t1", fmt.Sprintf("%d-%d-a", w, i)), derived("t1", fmt.Sprintf("%d-%d-b", w, i)))
					if err == nil && i%3 == 0 {
						return errRollback
					}
					return err
				})
				if err != nil && !errors.Is(err, errRollback) {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	got := numbers(t, pool, "t1")
	if len(got) != writers*10*2 {
		t.Fatalf("%d rows, want %d", len(got), writers*10*2)
	}
	for i, n := range got {
		if n != int64(i+1) {
			t.Fatalf("row %d has number %d: a gap would stop the deriver for ever", i, n)
		}
	}
}

func TestAdd_RefusesWhatIngressWouldNotTakeAndLeavesTheTransactionUsable(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error {
		fat := derived("t1", "fat")
		fat.Value = make([]byte, MaxRecord)
		var refusal *event.Refusal
		if err := box.Add(t.Context(), tx, derived("t1", "ok"), fat); !errors.As(err, &refusal) || refusal.Code != event.CodeTooLarge {
			t.Errorf("got %v, want too_large", err)
		}
		return box.Add(t.Context(), tx, derived("t1", "next"))
	})
	if got := numbers(t, pool, "t1"); len(got) != 1 || got[0] != 1 {
		t.Errorf("numbers %v, want [1]", got)
	}
}

func TestSeen_DeletesTheRowAndRaisesTheNumber(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	ctx := t.Context()
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, derived("t1", "a"), derived("t1", "b")) })
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Seen(ctx, tx, "t1", 1, "a") })
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Seen(ctx, tx, "t1", 1, "a") }) // again: the log is read again
	if got := numbers(t, pool, "t1"); len(got) != 1 || got[0] != 2 {
		t.Fatalf("rows %v, want [2]", got)
	}
	// A database restored from a backup sees numbers that it does not know yet.
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.SeenAll(ctx, tx, []Mark{{"t1", 40, "x"}, {"t1", 41, "y"}, {"t2", 7, "z"}})
	})
	next := derived("t1", "c")
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, next) })
	if next.DeriverNumber != 42 {
		t.Errorf("the next number is %d, want 42: 41 stands in the log", next.DeriverNumber)
	}
}

func TestSeen_AnotherIdUnderOurNumberIsAConflict(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	ctx := t.Context()
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, derived("t1", "a"), derived("t1", "b")) })
	mustTx(t, pool, func(tx pgx.Tx) error {
		if err := box.Seen(ctx, tx, "t1", 1, "other"); !errors.Is(err, ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		return nil
	})
	if got := numbers(t, pool, "t1"); len(got) != 2 {
		t.Errorf("rows %v: the row of a conflict must stay until its own event is seen", got)
	}
	// The log holds the same two events with their numbers changed round: both rows go, whatever their numbers.
	mustTx(t, pool, func(tx pgx.Tx) error {
		if err := box.SeenAll(ctx, tx, []Mark{{"t1", 1, "b"}, {"t1", 2, "a"}}); !errors.Is(err, ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		return nil
	})
	if got := numbers(t, pool, "t1"); len(got) != 0 {
		t.Errorf("rows %v, want none: both events were seen", got)
	}
}

func TestRefused_BelievesOnlyOurSignature(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	keys := event.NewKeyring()
	box := New("rules", keys)
	ctx := t.Context()
	mine := derived("t1", "a")
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, mine) })
	forged := *derived("t1", "forged")
	forged.Deriver, forged.DeriverNumber = "rules", 1_000_000
	stranger := forged
	event.NewKeyring().Sign(&stranger)
	for _, e := range []event.Event{forged, stranger} {
		mustTx(t, pool, func(tx pgx.Tx) error {
			own, err := box.Refused(ctx, tx, &e)
			if own {
				t.Error("a forged dead letter was believed")
			}
			return err
		})
	}
	keys.Sign(mine)
	mustTx(t, pool, func(tx pgx.Tx) error {
		own, err := box.Refused(ctx, tx, mine)
		if !own {
			t.Error("our own refused event was not known")
		}
		return err
	})
	next := derived("t1", "b")
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(ctx, tx, next) })
	if next.DeriverNumber != 2 {
		t.Errorf("the next number is %d, want 2", next.DeriverNumber)
	}
}

func TestOutbox_EachRoleSeesItsOwnDeriverOnly(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	rules, crm := db.Pool(t, postgres.RoleRules), db.Pool(t, postgres.RoleGoHighLevel)
	ctx := t.Context()
	mustTx(t, rules, func(tx pgx.Tx) error { return New("rules", event.NewKeyring()).Add(ctx, tx, derived("t1", "a")) })
	if got := numbers(t, crm, "t1"); len(got) != 0 {
		t.Errorf("gohighlevel sees rows %v of rules", got)
	}
	if err := inTx(t, crm, func(tx pgx.Tx) error { return New("rules", event.NewKeyring()).Add(ctx, tx, derived("t1", "b")) }); err == nil {
		t.Error("gohighlevel could act as rules")
	}
}

// fakeIngress is a Producer that keeps what it was given, and can be told to fail.
type fakeIngress struct {
	mu   sync.Mutex
	sent []event.Event
	fail func(e event.Event) error
}

func (d *fakeIngress) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) {
	var headers []event.Header
	for _, h := range rec.Headers {
		headers = append(headers, event.Header{Key: h.Key, Value: h.Value})
	}
	e, err := event.Parse(rec.Key, headers, rec.Value)
	d.mu.Lock()
	if err == nil && d.fail != nil {
		err = d.fail(e)
	}
	if err == nil {
		d.sent = append(d.sent, e)
	}
	d.mu.Unlock()
	done(rec, err)
}

func (d *fakeIngress) list(tenant string) (out []int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.sent {
		if e.TenantID == tenant {
			out = append(out, e.DeriverNumber)
		}
	}
	return out
}

func TestSender_SendsInOrderSignedAndStopsATenantAtItsFirstFailure(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	keys := event.NewKeyring()
	box := New("rules", keys)
	ctx := t.Context()
	for _, tenant := range []string{"a", "b"} {
		mustTx(t, pool, func(tx pgx.Tx) error {
			return box.Add(ctx, tx, derived(tenant, tenant+"1"), derived(tenant, tenant+"2"), derived(tenant, tenant+"3"))
		})
	}
	broken := true
	d := &fakeIngress{fail: func(e event.Event) error {
		if broken && e.ID == "a2" {
			return errors.New("no")
		}
		return nil
	}}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0, 1, 2} }, Partitions: 3, Resend: time.Hour})
	now := time.Now()
	if _, err := s.pass(ctx, now); err != nil {
		t.Fatal(err)
	}
	if s.sent["a"].through != 1 || s.sent["b"].through != 3 {
		t.Fatalf("sent through %d and %d, want 1 and 3: a failure stops its tenant only", s.sent["a"].through, s.sent["b"].through)
	}
	broken = false
	for range 2 { // the failed row alone, then those behind it
		if _, err := s.pass(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fmt.Sprint(d.list("a")), "[1 3 2 3]"; got != want {
		t.Errorf("a was sent %s, want %s: what follows a failure is sent again after it", got, want)
	}
	if got := fmt.Sprint(d.list("b")); got != "[1 2 3]" {
		t.Errorf("b was sent %s, want [1 2 3]", got)
	}
	for _, e := range d.sent {
		if ok, err := keys.Verify(&e); !ok || err != nil {
			t.Errorf("%s is not signed: %v", e.ID, err)
		}
	}
}

func TestSender_SendsAgainWhatIsUnseenAndLeavesForeignPartitionsAlone(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	ctx := t.Context()
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(ctx, tx, derived("a", "a1"), derived("a", "a2"), derived("a", "a3"))
	})
	owned := []int32{}
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return owned }, Partitions: 1})
	pass := func(at time.Time) {
		t.Helper()
		if _, err := s.pass(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	pass(now)
	if len(d.sent) != 0 {
		t.Fatal("rows of a partition of somebody else were sent")
	}
	owned = []int32{0}
	pass(now)
	pass(now.Add(9 * time.Second))
	if got := fmt.Sprint(d.list("a")); got != "[1 2 3]" {
		t.Fatalf("sent %s, want [1 2 3] once", got)
	}
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Seen(ctx, tx, "a", 1, "a1") })
	pass(now.Add(9 * time.Second)) // the lowest row changed: the ten seconds begin again
	pass(now.Add(18 * time.Second))
	if got := fmt.Sprint(d.list("a")); got != "[1 2 3]" {
		t.Fatalf("sent %s although the log moves", got)
	}
	pass(now.Add(20 * time.Second))
	if got := fmt.Sprint(d.list("a")); got != "[1 2 3 2 3]" {
		t.Errorf("sent %s, want 2 and 3 again: they were not seen for ten seconds", got)
	}
}

func TestSender_RunFindsRowsSoonAfterTheirCommit(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Poll: time.Hour})
	// The first look falls into the hour; only what Add said can bring a second one.
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a1")) })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a2")) })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(d.list("a")) < 2 {
		select {
		case <-ctx.Done():
			t.Fatalf("sent %v, want two rows", d.list("a"))
		case <-tick.C:
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestSender_AnAddEndsItsIdleWait(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	d := &fakeIngress{}
	looked := make(chan struct{}, 100_000)
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Poll: time.Hour,
		Report: func(error) { looked <- struct{}{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-looked // nothing was ever added: it waits for an hour
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a1")) })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(d.list("a")) < 1 && ctx.Err() == nil {
		<-tick.C
	}
	if ctx.Err() != nil {
		t.Error("it sleeps")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRenumber_ClosesTheGapThatALostTailLeft(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(t.Context(), tx, derived("a", "a1"), derived("a", "a2"), derived("a", "a3"), derived("a", "a4"), derived("a", "a5"))
	})
	// 1 is in the archive and not seen yet; 2 stood in the lost tail and was seen; 4 has lost its cause.
	mustTx(t, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM neuronx.outbox WHERE number = 2`)
		return err
	})
	mustTx(t, db.Pool(t, ""), func(tx pgx.Tx) error {
		kept, dropped, err := box.Renumber(t.Context(), tx, "a", 1, func(e *event.Event) (bool, error) { return e.ID != "a4", nil })
		if fmt.Sprint(kept) != "[a3 a5]" || dropped != 1 {
			t.Errorf("kept %v, dropped %d", kept, dropped)
		}
		return err
	})
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a6")) })
	rows, err := pool.Query(t.Context(), `SELECT number, event_id, record FROM neuronx.outbox ORDER BY number`)
	if err != nil {
		t.Fatal(err)
	}
	var number int64
	var id string
	var record []byte
	got := ""
	if _, err := pgx.ForEachRow(rows, []any{&number, &id, &record}, func() error {
		e, err := Decode("a", record)
		if err == nil && (e.DeriverNumber != number || e.ID != id) {
			t.Errorf("row %d %s says that it is %d %s", number, id, e.DeriverNumber, e.ID)
		}
		got += fmt.Sprint(number, id, " ")
		return err
	}); err != nil || got != "1a1 2a3 3a5 4a6 " {
		t.Errorf("%q, %v", got, err)
	}
}
