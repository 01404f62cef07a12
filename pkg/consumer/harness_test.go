package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a broker, a database and an archive in memory.
type fixture struct {
	t       *testing.T
	kafka   kafka.Config
	broker  *kafkatest.Cluster
	db      *postgrestest.DB
	pool    *pgxpool.Pool // as neuronx_projector
	admin   *pgxpool.Pool
	archive *memoryArchive
	log     *slog.Logger
	heads   map[string]int64
	written []event.Recorded
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, db: postgrestest.New(t, consumer.Migrations()), archive: &memoryArchive{}, heads: map[string]int64{}}
	f.kafka, f.broker = kafkatest.StartCluster(t)
	f.pool, f.admin = f.db.Pool(t, postgres.RoleProjector), f.db.Pool(t, "")
	f.exec(`CREATE TABLE public.applied (tenant_id text, generation bigint, sequence bigint, event_id text, PRIMARY KEY (tenant_id, generation, sequence))`)
	f.exec(`GRANT USAGE ON SCHEMA public TO PUBLIC; GRANT ALL ON public.applied TO neuronx_projector`)
	f.log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if !testing.Verbose() || os.Getenv("CONSUMER_TEST_LOG") == "" {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { fmt.Fprintf(os.Stderr, "%s", p); return len(p), nil }

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.admin.Exec(context.Background(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

// next makes the next n events of a tenant.
func (f *fixture) next(tenant string, n int) []event.Recorded {
	var out []event.Recorded
	for range n {
		f.heads[tenant]++
		seq := f.heads[tenant]
		at := time.Date(2026, 11, 1, 0, 0, int(seq%60), 0, time.UTC)
		out = append(out, event.Recorded{
			Event: event.Event{TenantID: tenant, ID: tenant + "-" + strconv.FormatInt(seq, 10), Source: "/test", Type: "lead.created",
				Subject: "lead/1", Time: at, Value: event.Frame(1, []byte{1})},
			Sequence: seq, Position: event.PositionAt(at.UnixMilli()) + seq, RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111",
		})
	}
	return out
}

// write puts events into the log and the archive.
func (f *fixture) write(events ...event.Recorded) {
	f.writeLog(events...)
	f.archive.add(events...)
}

func (f *fixture) writeLog(events ...event.Recorded) {
	f.t.Helper()
	recs := make([]*kafka.Record, len(events))
	for i := range events {
		recs[i] = kafka.RecordedToRecord(&events[i])
	}
	kafkatest.Produce(f.t, f.kafka, recs...)
	f.written = append(f.written, events...)
}

// config is a fast consumer.
func (f *fixture) config() consumer.Config {
	return consumer.Config{Name: kafka.GroupProjector, Slot: "0", Kafka: f.kafka, Pool: f.pool, Archive: f.archive, Log: f.log,
		PollEvery: 20 * time.Millisecond, RetryBudget: 20 * time.Second}
}

// start runs a consumer and returns a function that stops it and gives its error.
func (f *fixture) start(cfg consumer.Config, h consumer.Handler) (stop func() error) {
	f.t.Helper()
	c, err := consumer.New(cfg, h)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case result = <-done:
			case <-time.After(kafkatest.Patience):
				result = errors.New("the consumer does not stop")
			}
		})
		return result
	}
	f.t.Cleanup(func() { _ = stop() })
	return stop
}

// await waits until a tenant's rows say what is wanted.
func (f *fixture) await(tenant string, generation, sequence int64, state consumer.State) consumer.Row {
	f.t.Helper()
	var row consumer.Row
	kafkatest.WaitFor(f.t, fmt.Sprintf("%s generation %d at %d %s", tenant, generation, sequence, state), func(ctx context.Context) bool {
		row = f.row(tenant, generation)
		return row.Sequence == sequence && row.State == state
	})
	return row
}

func (f *fixture) row(tenant string, generation int64) consumer.Row {
	f.t.Helper()
	rows, err := consumer.Rows(context.Background(), f.admin, kafka.GroupProjector, tenant, "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Generation == generation {
			return r
		}
	}
	return consumer.Row{}
}

// applied lists the sequences that a generation holds, ascending.
func (f *fixture) applied(tenant string, generation int64) []int64 {
	f.t.Helper()
	rows, err := f.admin.Query(context.Background(), `SELECT sequence FROM public.applied WHERE tenant_id = $1 AND generation = $2 ORDER BY sequence`, tenant, generation)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// wantApplied fails unless a generation holds 1 … n.
func (f *fixture) wantApplied(tenant string, generation, n int64) {
	f.t.Helper()
	got := f.applied(tenant, generation)
	want := make([]int64, 0, n)
	for i := range n {
		want = append(want, i+1)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("%s generation %d holds %v, want 1 to %d", tenant, generation, got, n)
	}
}

// committed is what the group has for a partition of the log.
func (f *fixture) committed(partition int32) kafka.Committed {
	f.t.Helper()
	adm, err := admin.New(f.kafka)
	if err != nil {
		f.t.Fatal(err)
	}
	defer adm.Close()
	all, err := adm.Committed(context.Background(), kafka.GroupProjector)
	if err != nil {
		f.t.Fatal(err)
	}
	return all[kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: partition}]
}

// resetOffset does what Kafka's own tool does: it commits without metadata, for an empty group.
func (f *fixture) resetOffset(partition int32, to int64, metadata string) {
	f.t.Helper()
	adm, err := admin.New(f.kafka)
	if err != nil {
		f.t.Fatal(err)
	}
	defer adm.Close()
	err = adm.Commit(context.Background(), kafka.GroupProjector, map[kafka.TopicPartition]kafka.Committed{
		{Topic: kafka.TopicEvents, Partition: partition}: {Offset: to, Metadata: metadata, Present: true}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func partitionOf(tenant string) int32 {
	return kafka.PartitionFor([]byte(tenant), kafkatest.Partitions)
}

// memoryArchive is an archive that tests can hold back.
type memoryArchive struct {
	mu     sync.Mutex
	events []event.Recorded
	err    error
}

func (a *memoryArchive) add(events ...event.Recorded) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, events...)
}

func (a *memoryArchive) Events(_ context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []event.Recorded
	for _, e := range a.events {
		if e.TenantID == tenant && e.Sequence >= from && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, a.err
}

// recorder writes each event as a row. before, if set, may fail or wait.
type recorder struct {
	mu     sync.Mutex
	before func(ctx context.Context, r event.Recorded) error
	resets []consumer.Reset
	caught []string
	redo   func(ctx context.Context, r consumer.Reset) error
}

func (h *recorder) set(before func(ctx context.Context, r event.Recorded) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = before
}

func (h *recorder) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	h.mu.Lock()
	before := h.before
	h.mu.Unlock()
	for _, e := range run.Events {
		if before != nil {
			if err := before(ctx, e); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.applied VALUES ($1, $2, $3, $4)`, run.TenantID, run.Generation, e.Sequence, e.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *recorder) CaughtUp(_ context.Context, _ pgx.Tx, tenant string, generation int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.caught = append(h.caught, fmt.Sprintf("%s/%d", tenant, generation))
	return nil
}

func (h *recorder) Reset(ctx context.Context, r consumer.Reset) error {
	h.mu.Lock()
	h.resets = append(h.resets, r)
	redo := h.redo
	h.mu.Unlock()
	if redo != nil {
		return redo(ctx, r)
	}
	return nil
}

func (h *recorder) seen() []consumer.Reset {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.resets)
}
