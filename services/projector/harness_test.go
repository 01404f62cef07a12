package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/projector/fold"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalogue is a registry in memory, which can be taken away.
type catalogue struct {
	ids  map[string]int32 // by event type
	byID map[int32]*avro.Schema
	down atomic.Bool
}

func newCatalogue(t testing.TB) *catalogue {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	c := &catalogue{ids: map[string]int32{}, byID: map[int32]*avro.Schema{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		c.ids[s.EventType()], c.byID[int32(i+1)] = int32(i+1), s
	}
	return c
}

func (c *catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	if c.down.Load() {
		return nil, fmt.Errorf("connection refused: %w", registry.ErrUnavailable)
	}
	if s := c.byID[id]; s != nil {
		return s, nil
	}
	return nil, registry.ErrUnknown
}

// fixture is a database with the projector's tables, and a log in memory.
type fixture struct {
	t       testing.TB
	db      *postgrestest.DB
	pool    *pgxpool.Pool // as neuronx_projector
	admin   *pgxpool.Pool
	schemas *catalogue
	specs   []*fold.Spec
	heads   map[string]int64
	mu      sync.Mutex
	log     []event.Recorded
	kafka   kafka.Config
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: postgrestest.New(t, consumer.Migrations(), Migrations()), schemas: newCatalogue(t), specs: specs, heads: map[string]int64{}}
	f.pool, f.admin = f.db.Pool(t, postgres.RoleProjector), f.db.Pool(t, "")
	return f
}

func (f *fixture) projector(feed string) *Projector {
	m, err := newMetrics(nil, f.specs)
	if err != nil {
		f.t.Fatal(err)
	}
	return newProjector(f.pool, feed, f.specs, f.schemas, m, slog.New(slog.DiscardHandler))
}

// apply applies runs in every feed, in one transaction.
func (f *fixture) apply(runs []consumer.Run) {
	f.t.Helper()
	err := f.inTx(func(tx pgx.Tx) error {
		for _, feed := range Feeds() {
			if err := f.projector(feed).ApplyBatch(context.Background(), tx, runs); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

var monday = time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)

// event makes a tenant's next event. Fields that are left out are null.
func (f *fixture) event(tenant, typ string, data map[string]any) event.Recorded {
	f.t.Helper()
	id := f.schemas.ids[typ]
	body, err := f.schemas.byID[id].EncodeMap(data)
	if err != nil {
		f.t.Fatalf("encode %s: %v", typ, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heads[tenant]++
	n := f.heads[tenant]
	at := monday.Add(time.Duration(n) * 7 * time.Minute)
	r := event.Recorded{Event: event.Event{TenantID: tenant, ID: fmt.Sprintf("%s-%d", tenant, n), Source: "/test", Type: typ, Time: at,
		Value: event.Frame(id, body)}, Sequence: n, Position: event.PositionAt(at.UnixMilli()), RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"}
	f.log = append(f.log, r)
	return r
}

// Events makes the fixture an archive.
func (f *fixture) Events(_ context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []event.Recorded
	for _, r := range f.log {
		if r.TenantID == tenant && r.Sequence >= from && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

// random makes any event of a tenant, over few keys, so that rows are touched again and again.
func (f *fixture) random(rng *rand.Rand, tenant string) event.Recorded {
	id := func(kind string) string { return fmt.Sprintf("%s-%d", kind, rng.IntN(4)) }
	maybe := func(v any) any {
		if rng.IntN(3) == 0 {
			return nil
		}
		return v
	}
	lead := map[string]any{"lead_id": id("lead"), "email": maybe("a@example.com"), "phone": maybe("+49 30 1"), "owner_id": maybe(id("o")), "status": maybe("open"), "source": maybe("web")}
	opportunity := map[string]any{"opportunity_id": id("opp"), "lead_id": maybe(id("lead")), "value": maybe(fmt.Sprintf("%d.%04d", rng.IntN(1000), rng.IntN(10000))),
		"currency": maybe([]string{"EUR", "usd"}[rng.IntN(2)]), "segment": maybe("smb \"x\"")}
	only := func(key string, more map[string]any) map[string]any {
		d := map[string]any{key: id(key[:4])}
		maps.Copy(d, more)
		return d
	}
	typ, data := "", map[string]any(nil)
	switch rng.IntN(18) {
	case 0, 1:
		typ, data = "lead.created", lead
	case 2:
		typ, data = "lead.updated", lead
	case 3:
		typ, data = "lead.scored", only("lead_id", map[string]any{"score": rng.IntN(100)})
	case 4:
		typ, data = "lead.assigned", only("lead_id", map[string]any{"owner_id": id("o")})
	case 5:
		typ, data = "lead.contacted", only("lead_id", nil)
	case 6:
		typ, data = "lead.qualified", only("lead_id", nil)
	case 7:
		typ, data = []string{"lead.lost", "lead.converted"}[rng.IntN(2)], only("lead_id", nil)
	case 8, 9:
		typ, data = "opportunity.created", opportunity
	case 10:
		typ, data = "opportunity.won", map[string]any{"opportunity_id": opportunity["opportunity_id"], "value": opportunity["value"]}
	case 11:
		typ, data = "opportunity.stage_changed", map[string]any{"opportunity_id": id("opp"), "stage": id("s")}
	case 12:
		typ, data = "activity.recorded", map[string]any{"activity_id": id("act"), "kind": "call", "duration_seconds": maybe(int64(rng.IntN(900)))}
	case 13:
		typ, data = "appointment.booked", map[string]any{"appointment_id": id("appo"), "starts_at": monday}
	case 14:
		typ, data = "appointment.missed", map[string]any{"appointment_id": id("appo"), "reason": maybe("ill")}
	case 15:
		typ, data = "opportunity.reopened", map[string]any{"opportunity_id": id("opp"), "stage": maybe(id("s"))}
	case 16:
		if typ, data = "opportunity.lost", map[string]any{"opportunity_id": id("opp")}; rng.IntN(8) == 0 {
			typ, data = "tenant.zone_set", map[string]any{"zone": []string{"Asia/Tokyo", "America/New_York", "", "no/zone"}[rng.IntN(4)]}
		}
	case 17:
		typ, data = "tenant.key_issued", map[string]any{"key_id": id("k"), "secret_sha256": strings.Repeat("ab", 32), "scopes": []any{"events:write", "a,b"}}
	}
	e := f.event(tenant, typ, data)
	switch rng.IntN(4) {
	case 0: // it happened before others that came before it
		e.Time = e.Time.Add(-time.Duration(rng.IntN(5000)) * time.Minute)
	case 1:
		e.Time = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	case 2:
		e.Time = monday.Add(-time.Duration(rng.IntN(3)) * 24 * time.Hour) // as others did
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log[len(f.log)-1] = e
	return e
}

// want compares every table, as it is shown, with the plain fold of the whole log.
func (f *fixture) want() {
	f.t.Helper()
	tables, err := fold.Tables(f.specs, f.log, Decode(context.Background(), f.schemas))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range f.specs {
		name := s.Schema + "." + s.Table
		got, expected := f.shown(s), tables[name]
		for id, row := range expected {
			if have, ok := got[id]; !ok {
				f.t.Errorf("%s lacks %s", name, id)
			} else if !sameRow(have, row) {
				f.t.Errorf("%s %s is\n  %v, want\n  %v", name, id, have, row)
			}
		}
		if len(got) != len(expected) {
			f.t.Errorf("%s has %d rows, want %d", name, len(got), len(expected))
		}
	}
}

func sameRow(a, b fold.Row) bool {
	return maps.EqualFunc(a, b, func(x, y any) bool {
		if l, ok := x.([]string); ok {
			r, _ := y.([]string)
			return slices.Equal(l, r)
		}
		if at, ok := x.(time.Time); ok {
			other, ok := y.(time.Time)
			return ok && at.Equal(other)
		}
		return x == y
	})
}

// shown reads the active generations by the columns of the base table, which the views pass on.
func (f *fixture) shown(s *fold.Spec) map[string]fold.Row {
	f.t.Helper()
	rows, err := f.admin.Query(context.Background(), `SELECT `+columnsOf(s)+` FROM projection.`+s.Table+` t
		JOIN projection.active USING (tenant_id, generation) WHERE feed = $1`, FeedOf(s))
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]fold.Row{}
	for rows.Next() {
		at, row, err := scan(rows, s)
		if err != nil {
			f.t.Fatal(err)
		}
		out[at.tenant+"/"+at.id] = row
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	if _, err := f.admin.Exec(context.Background(), sql); err != nil {
		f.t.Fatal(err)
	}
}

// produce writes events to the log.
func (f *fixture) produce(events ...event.Recorded) {
	f.t.Helper()
	recs := make([]*kafka.Record, len(events))
	for i := range events {
		recs[i] = kafka.RecordedToRecord(&events[i])
	}
	kafkatest.Produce(f.t, f.kafka, recs...)
}

// start runs the projector's loop and returns a function that stops it.
func (f *fixture) start() (stop func()) {
	f.t.Helper()
	return f.startOn(f)
}

// startOn is start with another archive.
func (f *fixture) startOn(archive stream.Source) (stop func()) {
	f.t.Helper()
	c, err := consumer.New(consumer.Config{Name: kafka.GroupProjector, Slot: "0", Kafka: f.kafka, Pool: f.pool, Archive: archive, Registry: f.schemas,
		Meaning: "rebuild", PollEvery: 20 * time.Millisecond,
		Feeds: []consumer.Feed{{Name: FeedControl, Handler: f.projector(FeedControl)}}}, f.projector(consumer.FeedMain))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Errorf("the projector ended with %v", err)
			}
		})
	}
	f.t.Cleanup(stop)
	return stop
}

// await waits until a generation of the main feed stands at a sequence in a state.
func (f *fixture) await(tenant string, generation, sequence int64, state consumer.State) {
	f.t.Helper()
	f.awaitFeed(consumer.FeedMain, tenant, generation, sequence, state)
}

func (f *fixture) awaitFeed(feed, tenant string, generation, sequence int64, state consumer.State) {
	f.t.Helper()
	kafkatest.WaitFor(f.t, fmt.Sprintf("%s of %s generation %d at %d %s", feed, tenant, generation, sequence, state), func(ctx context.Context) bool {
		rows, err := List(ctx, f.admin, tenant, state)
		return err == nil && slices.ContainsFunc(rows, func(r consumer.Row) bool {
			return r.Feed() == feed && r.Generation == generation && r.Sequence == sequence
		})
	})
}

// awaitAll waits until no generation of the tenant that is fed is below a sequence.
func (f *fixture) awaitAll(tenant string, sequence int64) {
	f.t.Helper()
	kafkatest.WaitFor(f.t, fmt.Sprintf("all of %s at %d", tenant, sequence), func(ctx context.Context) bool {
		rows, err := List(ctx, f.admin, tenant, "")
		return err == nil && !slices.ContainsFunc(rows, func(r consumer.Row) bool { return r.State != consumer.Retired && r.Sequence < sequence })
	})
}

// inTx runs fn as the consumer would.
func (f *fixture) inTx(fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(context.Background(), f.pool, fn)
}

var errPublish = errors.New("not stored")

// List returns the progress of the projector's feeds: of one tenant, or of all in a state; both empty mean all. The role is neuronx_ops.
func List(ctx context.Context, pool *pgxpool.Pool, tenant string, state consumer.State) ([]consumer.Row, error) {
	var all []consumer.Row
	for _, feed := range Feeds() {
		rows, err := consumer.Rows(ctx, pool, consumer.RowName(kafka.GroupProjector, feed), tenant, state)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// Decode reads an event's fields by the registry, for fold.Tables.
func Decode(ctx context.Context, schemas consumer.Schemas) fold.Decode {
	d := consumer.NewDecoder(schemas)
	return func(r *event.Recorded) (map[string]any, error) { return d.Decode(ctx, r) }
}
