package deadletter_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalogue is the embedded schemas.
type catalogue struct {
	byID   map[int32]*avro.Schema
	byType map[string]int32
}

func (c *catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	if s := c.byID[id]; s != nil {
		return s, nil
	}
	return nil, registry.ErrUnknown
}

func (c *catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	s, err := c.SchemaByID(context.Background(), c.byType[typ])
	return c.byType[typ], s, err
}

type office struct {
	t    *testing.T
	db   *postgrestest.DB
	root *pgxpool.Pool
	pool *pgxpool.Pool // the archiver's
	ops  *pgxpool.Pool
	keys *event.Keyring
	cat  *catalogue
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, db: postgrestest.New(t, outbox.Migrations(), archiver.Migrations()), keys: event.NewKeyring(), cat: &catalogue{map[int32]*avro.Schema{}, map[string]int32{}}}
	o.root, o.pool, o.ops = o.db.Pool(t, ""), o.db.Pool(t, postgres.RoleArchiver), o.db.Pool(t, postgres.RoleOps)
	files, err := schemas.Files()
	o.must(err)
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		o.must(err)
		o.cat.byID[int32(i+1)], o.cat.byType[s.EventType()] = s, int32(i+1)
	}
	_, err = o.pool.Exec(t.Context(), `SELECT neuronx.ensure_tenant('acme')`)
	o.must(err)
	_, err = o.root.Exec(t.Context(), `INSERT INTO neuronx.tenant_events VALUES ('acme', 1, 1, 'e', 'tenant.created', '', '', now(), now(), '', '', 1, 'l', 0, 0, decode(repeat('00', 32), 'hex'), '', NULL)`)
	o.must(err)
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) decider() *deadletter.Decider {
	return &deadletter.Decider{Pool: o.pool, Box: outbox.New(deadletter.Deriver, o.keys), Keys: o.keys, Schemas: o.cat, Log: slog.New(slog.DiscardHandler), Poll: 5 * time.Millisecond}
}

// letter puts a refused event before the people.
func (o *office) letter(offset int64, e *event.Event) {
	o.t.Helper()
	_, err := o.pool.Exec(o.t.Context(), `INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject,
			deriver, deriver_number, recorded_at, letter_partition, letter_offset, key, headers, value, hash)
		VALUES ('neuronx.ingress', 0, $1, nullif($2, ''), 'invalid_body', '', $3, $4, $5, $6, $7, $8, now(), 0, $1, $9, $10, $11, decode(repeat('00', 32), 'hex'))`,
		offset, e.TenantID, e.ID, e.Type, e.Source, e.Subject, e.Deriver, e.DeriverNumber, []byte(e.TenantID), archive.EncodeHeaders(e.Headers()), e.Value)
	o.must(err)
}

func (o *office) lead(id string) *event.Event {
	o.t.Helper()
	body, err := o.cat.byID[o.cat.byType["lead.created"]].EncodeJSON([]byte(`{"lead_id":"1"}`))
	o.must(err)
	return &event.Event{TenantID: "acme", ID: id, Source: "/web", Type: "lead.created", Subject: "lead/1", Time: time.Unix(1_700_000_000, 0).UTC(),
		Value: event.Frame(o.cat.byType["lead.created"], body)}
}

func (o *office) load(offset int64) *deadletter.Letter {
	o.t.Helper()
	l, err := deadletter.Load(o.t.Context(), o.ops, "neuronx.ingress", 0, offset)
	o.must(err)
	return l
}

// ask asks as an operator does, and waits for the answers.
func (o *office) ask(offset int64, asks ...deadletter.Ask) []deadletter.Answer {
	o.t.Helper()
	var ids []uuid.UUID
	for _, a := range asks {
		id, err := deadletter.Submit(o.t.Context(), o.ops, o.load(offset), a)
		o.must(err)
		ids = append(ids, id)
	}
	for end := time.Now().Add(4 * time.Minute); ; <-time.After(10 * time.Millisecond) {
		answers, err := deadletter.Answers(o.t.Context(), o.ops, ids)
		o.must(err)
		if len(answers) == len(ids) {
			out := make([]deadletter.Answer, len(ids))
			for i, id := range ids {
				out[i] = answers[id]
			}
			return out
		}
		if time.Now().After(end) {
			o.t.Fatal("no answer")
		}
	}
}

// sent is what stands in the outbox, in order, as the log would hold it.
func (o *office) sent() []event.Recorded {
	o.t.Helper()
	rows, err := o.root.Query(o.t.Context(), `SELECT number, event_id, record FROM neuronx.outbox ORDER BY number`)
	o.must(err)
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r event.Recorded, err error) {
		var number int64
		var id string
		var record []byte
		if err := row.Scan(&number, &id, &record); err != nil {
			return r, err
		}
		e, err := outbox.Decode("acme", record)
		r = event.Recorded{Event: e, Sequence: number + 1, RecordedTime: time.Unix(1_700_000_500, 0).UTC()}
		return r, err
	})
	o.must(err)
	return out
}

func (o *office) fold(events ...event.Recorded) {
	o.t.Helper()
	o.must(pgx.BeginFunc(o.t.Context(), o.pool, func(tx pgx.Tx) error { return o.tryFold(tx, events...) }))
}

func (o *office) tryFold(tx pgx.Tx, events ...event.Recorded) error {
	decode := func(_ context.Context, r *event.Recorded) (map[string]any, error) {
		id, body, err := event.Unframe(r.Value)
		if err != nil {
			return nil, err
		}
		return o.cat.byID[id].Decode(body)
	}
	return deadletter.Fold(o.t.Context(), tx, outbox.New(deadletter.Deriver, o.keys), decode, slog.New(slog.DiscardHandler), events)
}

// open runs deciders until the test ends.
func (o *office) open(n int) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() { defer wg.Done(); _ = o.decider().Run(ctx) }()
	}
	o.t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestDecider_ALetterIsSentOnceHoweverManyAskAndDecide(t *testing.T) {
	o := newOffice(t)
	o.open(3)
	o.letter(1, o.lead("a"))
	done := 0
	for _, a := range o.ask(1, deadletter.Ask{Action: "retry", By: "ada"}, deadletter.Ask{Action: "retry"}, deadletter.Ask{Action: "drop", Reason: "no"}, deadletter.Ask{Action: "retry"}) {
		switch {
		case a.Done:
			done++
		case a.Code != event.CodeAlreadyRetried && a.Code != event.CodeAlreadyDropped:
			t.Errorf("%+v", a)
		}
	}
	sent := o.sent()
	if done != 1 || len(sent) > 2 || sent[0].Type == "lead.created" {
		t.Errorf("%d were done, %d events sent", done, len(sent))
	}
}

func TestDecider_StatesFollowFromLogAndLettersInAnyOrder(t *testing.T) {
	o := newOffice(t)
	o.open(1)
	for n, id := range map[int64]string{1: "a", 2: "b", 3: "c", 4: "d"} {
		o.letter(n, o.lead(id))
	}
	o.ask(1, deadletter.Ask{Action: "retry"})
	o.ask(2, deadletter.Ask{Action: "retry"})
	o.ask(3, deadletter.Ask{Action: "drop", Reason: "no"})
	sent := o.sent() // retried, a again, retried, b again, dropped
	if len(sent) != 5 || sent[1].CausationID != "a" || sent[3].CausationID != "b" {
		t.Fatalf("sent %+v", sent)
	}
	log := append(append([]event.Recorded{}, sent[:3]...), sent[4])
	o.fold(log...)
	refused := sent[3].Event // refused again
	o.keys.Sign(&refused)
	o.letter(5, &refused)

	check := func(when string) {
		t.Helper()
		for offset, want := range map[int64]string{1: deadletter.Resolved, 2: deadletter.RefusedAgain, 3: deadletter.Dropped, 4: deadletter.Open, 5: deadletter.Open} {
			if l := o.load(offset); l.State != want || (want == deadletter.RefusedAgain) != (l.Next == "neuronx.ingress/0/5") {
				t.Errorf("%s: letter %d is %s (next %q), want %s", when, offset, l.State, l.Next, want)
			}
		}
	}
	check("at first")
	o.fold(log...)
	check("told again")
	_, err := o.root.Exec(t.Context(), `TRUNCATE neuronx.dead_letter_decisions`)
	o.must(err)
	for i := len(log) - 1; i >= 0; i-- {
		o.fold(log[i])
	}
	check("rebuilt backwards")
	if a := o.ask(2, deadletter.Ask{Action: "retry"}); a[0].Code != event.CodeAlreadyRetried {
		t.Errorf("a letter whose retry was refused: %+v", a)
	}
	if a := o.ask(5, deadletter.Ask{Action: "retry"}); !a[0].Done {
		t.Errorf("the letter that it became: %+v", a)
	}
}

func TestDecider_ALetterOfNoTenantIsDroppedWithoutAStream(t *testing.T) {
	o := newOffice(t)
	o.open(1)
	ghost := o.lead("g")
	ghost.TenantID = "ghost"
	o.letter(1, ghost)
	if a := o.ask(1, deadletter.Ask{Action: "retry"}); a[0].Code != event.CodeUnknownTenant {
		t.Errorf("%+v", a)
	}
	if a := o.ask(1, deadletter.Ask{Action: "drop", Reason: "a scanner", By: "ada"}); !a[0].Done {
		t.Errorf("%+v", a)
	}
	if l := o.load(1); l.State != deadletter.Dropped || len(o.sent()) != 0 {
		t.Errorf("%s, %d sent: a number of a tenant that is not there would be lost", l.State, len(o.sent()))
	}
}

func TestDecider_OperatorsAskAndNoMore(t *testing.T) {
	o := newOffice(t)
	for _, sql := range []string{
		`INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'deadletter', 1, 'x', '')`,
		`INSERT INTO neuronx.outbox_numbers VALUES ('acme', 'deadletter', 7)`,
		`INSERT INTO neuronx.dead_letter_decisions (kind, decided_at) VALUES ('dropped', now())`,
		`UPDATE neuronx.dead_letter_requests SET state = 'done'`,
		`DELETE FROM neuronx.dead_letter_requests`,
	} {
		var pg *pgconn.PgError
		if _, err := o.ops.Exec(t.Context(), sql); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient privilege", sql, err)
		}
	}
}
