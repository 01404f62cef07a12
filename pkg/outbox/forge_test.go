package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// passes lets a sender look into the outbox a few times, and returns the numbers that it sent.
func passes(t *testing.T, pool *pgxpool.Pool, box *Outbox) string {
	t.Helper()
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Resend: time.Hour})
	for range 5 {
		if _, err := s.pass(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(d.list("a"))
}

func forbidden(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.outbox_forbidden`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A row far above the numbers that were given out moves no number and gets no placeholder: the deriver would wait for ever for what lies
// between.
func TestOutbox_ARowFarAboveTheLastNumberStopsNoDeriver(t *testing.T) {
	for _, sendFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("sent first ", sendFirst), func(t *testing.T) {
			db := postgrestest.New(t, Migrations())
			pool, ops := db.Pool(t, postgres.RoleRules), db.Pool(t, postgres.RoleOps)
			box := New("rules", event.NewKeyring())
			mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a1")) })
			const far = int64(1_000_000_000_000)
			put(t, pool, "a", "rules", far, "forged", forgedRecord(t, "a", "rules", far, "forged", "lead.scored"), "")
			put(t, pool, "a", "rules", far+1, "sealed by another", forgedRecord(t, "a", "rules", far+1, "sealed by another", "lead.scored"), "v1,k1,AAAA")
			put(t, pool, "a", "rules", far+2, "a key that nobody has", forgedRecord(t, "a", "rules", far+2, "a key that nobody has", "lead.scored"), "v1,k99,AAAA")
			want := "[1 2 3]"
			if sendFirst {
				if got := passes(t, pool, box); got != "[1]" {
					t.Errorf("sent %s, want [1]", got)
				}
				if got := numbers(t, pool, "a"); fmt.Sprint(got) != "[1]" {
					t.Errorf("rows %v, want 1 alone: no placeholder far above", got)
				}
			}
			mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a2"), derived("a", "a3")) })
			if got := passes(t, pool, box); got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
			if got := numbers(t, pool, "a"); fmt.Sprint(got) != want {
				t.Errorf("rows %v, want %s", got, want)
			}
			if n := forbidden(t, ops); n != 3 {
				t.Errorf("%d rows are kept for people, want 3", n)
			}
		})
	}
}

// A forged row under the very numbers that come next is set aside by Add, which gives them to the deriver's events.
func TestAdd_SetsForgedRowsInItsWayAside(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool, root := db.Pool(t, postgres.RoleRules), db.Pool(t, "")
	box := New("rules", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a1")) })
	put(t, pool, "a", "rules", 3, "forged", forgedRecord(t, "a", "rules", 3, "forged", "lead.scored"), "")
	put(t, pool, "a", "rules", 4, "of another key", forgedRecord(t, "a", "rules", 4, "of another key", "lead.scored"), "v1,k1,AAAA")
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(t.Context(), tx, derived("a", "a2"), derived("a", "a3"), derived("a", "a4"))
	})
	if got := passes(t, pool, box); got != "[1 2 3 4]" || forbidden(t, root) != 2 {
		t.Errorf("sent %s, kept %d", got, forbidden(t, root))
	}
	// Rows of ours above a number that a superuser lowered keep their numbers.
	if _, err := root.Exec(t.Context(), `UPDATE neuronx.outbox_numbers SET last = 2`); err != nil {
		t.Fatal(err)
	}
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(t.Context(), tx, derived("a", "a5"), derived("a", "a6"), derived("a", "a7"))
	})
	if got := passes(t, pool, box); got != "[1 2 3 4 5 6 7]" || forbidden(t, root) != 2 {
		t.Errorf("sent %s, kept %d", got, forbidden(t, root))
	}
}

func TestOutboxNumbers_AreBoundedAndOnlyRise(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleGoHighLevel)
	box := New("gohighlevel", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a1"), derived("a", "a2")) })
	for sql, code := range map[string]string{
		`UPDATE neuronx.outbox_numbers SET last = last - 1`:                                                                                   "42501",
		`UPDATE neuronx.outbox_numbers SET tenant_id = 'b'`:                                                                                   "42501",
		`UPDATE neuronx.outbox_numbers SET last = 9223372036854775807`:                                                                        "23514",
		`UPDATE neuronx.outbox_numbers SET last = 9007199254740992`:                                                                           "23514",
		`INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('a', 'gohighlevel', 9223372036854775807, 'x', '')`: "23514",
		`INSERT INTO neuronx.outbox_numbers VALUES ('a', 'gohighlevel', 0) ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = 0`:           "42501",
		`INSERT INTO neuronx.outbox_unsealed VALUES ('a', 'gohighlevel', 3, sha256('x'))`:                                                     "42501",
		`DELETE FROM neuronx.outbox_numbers`:                                                                                                  "42501",
	} {
		_, err := pool.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != code {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
}

// Somebody raised the number, and what was derived since stands behind a jump that the sequencer never crosses. It gets the numbers behind
// what the sequencer has, and the next events follow.
func TestRenumber_ClosesAJump(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool, root := db.Pool(t, postgres.RoleRules), db.Pool(t, "")
	box := New("rules", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(t.Context(), tx, derived("a", "a1"), derived("a", "a2"), derived("a", "a3"))
	})
	if _, found, err := box.Jump(t.Context(), root, "a", 1); err != nil || found {
		t.Fatalf("a jump where none is: %v, %v", found, err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE neuronx.outbox_numbers SET last = 9007199254740000`); err != nil {
		t.Fatal(err)
	}
	check := func(wantMissing string) int64 {
		t.Helper()
		missing, err := box.Missing(t.Context(), root, "a", 1)
		if err != nil || fmt.Sprint(missing) != wantMissing {
			t.Errorf("missing %d numbers, %v; want %s", len(missing), err, wantMissing)
		}
		after, found, err := box.Jump(t.Context(), root, "a", 1)
		if err != nil || !found {
			t.Fatalf("no jump is found: %v", err)
		}
		return after
	}
	if after := check("[]"); after != 3 {
		t.Errorf("the number alone was raised: jump after %d, want 3", after)
	}
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a4"), derived("a", "a5")) })
	if _, err := root.Exec(t.Context(), `DELETE FROM neuronx.outbox WHERE number = 2`); err != nil {
		t.Fatal(err)
	}
	after := check("[2]")
	if after != 3 {
		t.Errorf("jump after %d, want 3", after)
	}
	mustTx(t, root, func(tx pgx.Tx) error {
		kept, dropped, err := box.Renumber(t.Context(), tx, "a", after, func(*event.Event) (bool, error) { return true, nil })
		if fmt.Sprint(kept) != "[a4 a5]" || dropped != 0 {
			t.Errorf("kept %v, dropped %d", kept, dropped)
		}
		return err
	})
	mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", "a6")) })
	if got := numbers(t, pool, "a"); fmt.Sprint(got) != "[1 3 4 5 6]" {
		t.Errorf("rows %v", got)
	}
	if _, found, err := box.Jump(t.Context(), root, "a", 1); err != nil || found {
		t.Errorf("the jump is still there: %v", err)
	}
}

// Rows that waited when seals began were written by builds that made none. They are sent however late. One that somebody puts in the place
// of a noted row, or behind them, is not.
func TestMigrations_RowsThatWaitedWhenSealsBeganAreSentForEver(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool, root := db.Pool(t, postgres.RoleRules), db.Pool(t, "")
	text, err := files.ReadFile("migrations/00003_seals.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(text), "-- +goose Down")
	migrate := func(sql string) {
		t.Helper()
		if _, err := root.Exec(t.Context(), `SET ROLE neuronx_owner; `+sql+`; RESET ROLE`); err != nil {
			t.Fatal(err)
		}
	}
	migrate(down)
	for n, id := range []string{"old", "old too", "and this"} { // as the build before stores them
		if _, err := pool.Exec(t.Context(), `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('a', 'rules', $1, $2, $3)`,
			n+1, id, forgedRecord(t, "a", "rules", int64(n+1), id, "lead.scored")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO neuronx.outbox_numbers VALUES ('a', 'rules', 4)`); err != nil {
		t.Fatal(err)
	}
	migrate(up)
	if _, err := root.Exec(t.Context(), `UPDATE neuronx.outbox_seals SET required_from = now() - interval '1 year'; DELETE FROM neuronx.outbox WHERE number = 2`); err != nil {
		t.Fatal(err)
	}
	put(t, pool, "a", "rules", 2, "old too", forgedRecord(t, "a", "rules", 2, "old too", "lead.won"), "")
	put(t, pool, "a", "rules", 4, "new", forgedRecord(t, "a", "rules", 4, "new", "lead.scored"), "")
	box, d := New("rules", event.NewKeyring()), &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Resend: time.Hour})
	for range 5 {
		if _, err := s.pass(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var sent []string
	for _, e := range d.sent {
		sent = append(sent, fmt.Sprint(e.DeriverNumber, e.Type))
	}
	if got := strings.Join(sent, " "); got != "1lead.scored 2engine.outbox.set_aside 3lead.scored 4engine.outbox.set_aside" || forbidden(t, root) != 2 {
		t.Errorf("sent %s", got)
	}
}
