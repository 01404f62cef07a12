package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// put stores a row as somebody does who has a role's password and not the signing keys.
func put(t *testing.T, pool *pgxpool.Pool, tenant, deriver string, number int64, id string, record []byte, seal string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal) VALUES ($1, $2, $3, $4, $5, $6)`,
		tenant, deriver, number, id, record, seal)
	if err != nil {
		t.Fatal(err)
	}
}

func forgedRecord(t *testing.T, tenant, deriver string, number int64, id, typ string) []byte {
	t.Helper()
	e := derived(tenant, id)
	e.Deriver, e.DeriverNumber, e.Type = deriver, number, typ
	b, err := encodeRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The password of a deriver's role alone has nothing signed: a forged row becomes a placeholder that the sequencer refuses, whatever it
// says and for every tenant, and the numbers behind it go on.
func TestSender_SignsNoRowThatNoProcessOfTheEngineWrote(t *testing.T) {
	for deriver, role := range map[string]string{"rules": postgres.RoleRules, "gohighlevel": postgres.RoleGoHighLevel, "deadletter": postgres.RoleArchiver} {
		for _, typ := range []string{"tenant.key_issued", "rules.published", "tenant.suspended", "lead.scored", "crm.contact.upsert.requested", "engine.rule.reset"} {
			t.Run(deriver+" "+typ, func(t *testing.T) {
				db := postgrestest.New(t, Migrations())
				pool := db.Pool(t, role)
				var text strings.Builder
				box := New(deriver, event.NewKeyring(), WithLog(slog.New(slog.NewTextHandler(&text, nil))))
				first, honest := derived("a", "first"), derived("a", "honest")
				if deriver == "gohighlevel" {
					first.Type, honest.Type = "crm.note.add.succeeded", "crm.note.add.succeeded"
				}
				mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, first, honest) })
				if _, err := pool.Exec(t.Context(), `DELETE FROM neuronx.outbox WHERE number = 1`); err != nil {
					t.Fatal(err)
				}
				put(t, pool, "a", deriver, 1, "forged", forgedRecord(t, "a", deriver, 1, "forged", typ), "")
				d := &fakeIngress{}
				s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Resend: time.Hour})
				for range 3 {
					if _, err := s.pass(t.Context(), time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				if got := fmt.Sprint(d.list("a")); got != "[1 2]" {
					t.Fatalf("sent %s, want the placeholder and what follows it", got)
				}
				if p := d.sent[0]; p.Type != event.TypeSetAside || len(p.Value) != 0 || p.ID == "forged" {
					t.Errorf("sent in its place: %+v", p)
				}
				if d.sent[1].ID != "honest" {
					t.Errorf("%+v", d.sent[1])
				}
				if n := testutil.ToFloat64(box.metrics.forbidden); n != 1 || strings.Count(text.String(), "moved to neuronx.outbox_forbidden") != 1 || !strings.Contains(text.String(), "number=1") {
					t.Errorf("counted %v, said %q", n, text.String())
				}
				var reason string
				if err := db.Pool(t, postgres.RoleOps).QueryRow(t.Context(), `SELECT reason FROM neuronx.outbox_forbidden WHERE tenant_id = 'a' AND number = 1`).Scan(&reason); err != nil || !strings.Contains(reason, "no seal") {
					t.Errorf("kept: %q, %v", reason, err)
				}
				// The placeholder comes back as a dead letter and leaves.
				mustTx(t, pool, func(tx pgx.Tx) error {
					own, err := box.Refused(t.Context(), tx, &d.sent[0])
					if !own {
						t.Error("the placeholder is not known")
					}
					return err
				})
				if got := numbers(t, pool, "a"); fmt.Sprint(got) != "[2]" {
					t.Errorf("rows %v", got)
				}
			})
		}
	}
}

func TestVet_RefusesRowsThatAreNotWhatWasSealed(t *testing.T) {
	keys := event.NewKeyring()
	good := func() *row {
		b := forgedRecord(t, "a", "rules", 3, "id", "lead.scored")
		return &row{tenant: "a", deriver: "rules", number: 3, eventID: "id", record: b, size: len(b), seal: seal(keys, "a", "rules", 3, "id", b)}
	}
	if _, err := vet(keys, good(), true); err != nil {
		t.Fatalf("an honest row: %v", err)
	}
	reseal := func(r *row) {
		r.size, r.seal = len(r.record), seal(keys, r.tenant, r.deriver, r.number, r.eventID, r.record)
	}
	for name, change := range map[string]func(*row){
		"no seal":               func(r *row) { r.seal = "" },
		"no seal of ours":       func(r *row) { r.seal = "x" },
		"another engine's seal": func(r *row) { r.seal = seal(event.NewKeyring(), "a", "rules", 3, "id", r.record) },
		"another tenant":        func(r *row) { r.tenant = "b" },
		"another deriver":       func(r *row) { r.deriver = "deadletter" },
		"another number":        func(r *row) { r.number = 4 },
		"another id":            func(r *row) { r.eventID = "other" },
		"one bit of the record": func(r *row) { r.record[len(r.record)-1] ^= 1 },
		"too large":             func(r *row) { r.size, r.record = maxStored+1, nil },
		// Sealed: a build of the engine with a fault made these.
		"garbage, sealed":         func(r *row) { r.record = []byte("\x01garbage"); reseal(r) },
		"empty, sealed":           func(r *row) { r.record = nil; reseal(r) },
		"a number inside, sealed": func(r *row) { r.number = 4; reseal(r) },
		"an id inside, sealed":    func(r *row) { r.eventID = "other"; reseal(r) },
		"a control type, sealed":  func(r *row) { r.record = forgedRecord(t, "a", "rules", 3, "id", "tenant.key_issued"); reseal(r) },
		"its own cause, sealed": func(r *row) {
			r.record = forgedRecord(t, "a", "rules", 3, "cause", "lead.scored")
			r.eventID = "cause"
			reseal(r)
		},
		"an adapter's fact, sealed": func(r *row) {
			r.deriver, r.record = "gohighlevel", forgedRecord(t, "a", "gohighlevel", 3, "id", "lead.scored")
			reseal(r)
		},
	} {
		r := good()
		change(r)
		if _, err := vet(keys, r, true); err == nil || errors.Is(err, ErrNewer) || errors.Is(err, errUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := good()
	r.seal = ""
	if _, err := vet(keys, r, false); err != nil {
		t.Errorf("a row of the build before, on the day of the upgrade: %v", err)
	}
	r.record, r.seal = forgedRecord(t, "a", "rules", 3, "id", event.TypeSetAside), ""
	if _, err := vet(keys, r, false); err == nil {
		t.Error("a placeholder without a seal")
	}
	r = good()
	r.seal = strings.Replace(r.seal, "v1,k1,", "v1,k0,", 1)
	if _, err := vet(keys, r, true); !errors.Is(err, errUnknownKey) {
		t.Errorf("a key that was taken out of the keyring: %v", err)
	}
}

func TestKeyring_RowsSealedBeforeARotationAreSent(t *testing.T) {
	old := event.NewKeyring()
	b, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := event.ParseKeyring([]byte(strings.Replace(strings.Replace(string(b), `"primary":"k1"`, `"primary":"k2"`, 1), `"keys":{`,
		`"keys":{`+strings.Replace(string(fresh[strings.Index(string(fresh), `{"k1":`)+1:len(fresh)-2]), "k1", "k2", 1)+",", 1)))
	if err != nil {
		t.Fatal(err)
	}
	record := forgedRecord(t, "a", "rules", 3, "id", "lead.scored")
	r := &row{tenant: "a", deriver: "rules", number: 3, eventID: "id", record: record, size: len(record), seal: seal(old, "a", "rules", 3, "id", record)}
	if _, err := vet(rotated, r, true); err != nil {
		t.Error(err)
	}
}

// A pass holds no more than a bounded number of bytes, however many fat rows wait.
func TestSender_LoadsABoundedNumberOfBytes(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	mustTx(t, pool, func(tx pgx.Tx) error {
		for i := range 6 {
			e := derived("a", fmt.Sprint("fat", i))
			e.Value = event.Frame(7, make([]byte, 300<<10))
			if err := box.Add(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	s := box.NewSender(SenderConfig{Pool: pool})
	rows, err := s.load(t.Context(), "a", 0, 2000, 700<<10)
	if err != nil || len(rows) != 3 || rows[2].number != 3 {
		t.Fatalf("%d rows, %v; want 3: the third reaches the bound", len(rows), err)
	}
	if rows, err = s.load(t.Context(), "a", 3, 2000, 1); err != nil || len(rows) != 1 || rows[0].number != 4 {
		t.Fatalf("%d rows, %v; want the next one, or nothing would ever be sent", len(rows), err)
	}
}

// A number whose row somebody deleted is used up by a placeholder, and the rows behind it go on.
func TestMend_PutsPlaceholdersWhereRowsAreMissing(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool, root := db.Pool(t, postgres.RoleRules), db.Pool(t, "")
	keys := event.NewKeyring()
	box := New("rules", keys)
	mustTx(t, pool, func(tx pgx.Tx) error {
		return box.Add(t.Context(), tx, derived("a", "a1"), derived("a", "a2"), derived("a", "a3"), derived("a", "a4"), derived("a", "a5"))
	})
	if _, err := root.Exec(t.Context(), `DELETE FROM neuronx.outbox WHERE number IN (1, 3, 5)`); err != nil { // 1 stands in the log
		t.Fatal(err)
	}
	missing, err := box.Missing(t.Context(), db.Pool(t, postgres.RoleOps), "a", 1)
	if err != nil || fmt.Sprint(missing) != "[3 5]" {
		t.Fatalf("%v, %v", missing, err)
	}
	for _, want := range [][]int64{missing, nil} { // the second time they are there
		mustTx(t, root, func(tx pgx.Tx) error {
			mended, err := box.Mend(t.Context(), tx, "a", missing)
			if !slices.Equal(mended, want) {
				t.Errorf("mended %v, want %v", mended, want)
			}
			return err
		})
	}
	d := &fakeIngress{}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Resend: time.Hour})
	if _, err := s.pass(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for _, e := range d.sent {
		sent = append(sent, fmt.Sprint(e.DeriverNumber, e.Type))
	}
	if got := strings.Join(sent, " "); got != "2lead.scored 3engine.outbox.set_aside 4lead.scored 5engine.outbox.set_aside" {
		t.Errorf("sent %s", got)
	}
	if missing, err := box.Missing(t.Context(), root, "a", 1); err != nil || len(missing) != 0 {
		t.Errorf("%v, %v", missing, err)
	}
}
