package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// published collects what a consumer announces.
type published struct {
	mu  sync.Mutex
	ids map[string]string // id -> type and tenant
}

func (p *published) publish(_ context.Context, tenant, typ, _, id string, data map[string]any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if data["replay_id"] == "" || data["group"] != kafka.GroupProjector {
		return errors.New("incomplete announcement")
	}
	p.ids[id] = typ + " " + tenant
	return nil
}

func (p *published) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, v := range p.ids {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

func TestReset_IsARequestForTheSideJobAndTheRowWins(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, metadata, session string
		to                      int64
	}{
		{"back, by Kafka's own tool", "", "", 0},
		{"back, by our tool", "nx-reset:s-1", "s-1", 2},
		{"forward", "", "", 1_000_000},
		{"back, by a tool that copies the metadata of a commit", "nx1:0:$group:6:11111111-1111-4111-8111-111111111111", "", 3},
		{"back, by a tool that copies another group's commit", "nx1:0:other:3:11111111-1111-4111-8111-111111111111", "", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p := partitionOf("acme")
			f.write(f.next("acme", 6)...)
			stop := f.start(f.config(), &recorder{})
			f.await("acme", 1, 6, consumer.Live)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			f.resetOffset(p, tc.to, strings.ReplaceAll(tc.metadata, "$group", kafka.GroupProjector))

			h, announced := &recorder{}, &published{ids: map[string]string{}}
			cfg := f.config()
			cfg.Publish, cfg.Meaning = announced.publish, "rebuild"
			stop = f.start(cfg, h)
			// Without any traffic the group's offset is the row's again, and the job is done once.
			kafkatest.WaitFor(t, "offset put back", func(context.Context) bool { return f.committed(p).Ours() && f.committed(p).Offset == 6 })
			kafkatest.WaitFor(t, "both announced", func(context.Context) bool { return len(announced.all()) == 2 })
			if got := announced.all(); !slices.Equal(got, []string{"engine.replay.completed acme", "engine.replay.started acme"}) {
				t.Errorf("announced %v", got)
			}
			r := h.seen()[0]
			if r.From != 6 || r.To != tc.to || r.Session != tc.session || r.Topic != kafka.TopicEvents || r.Partition != p {
				t.Errorf("reset %+v", r)
			}
			if want := r.Back(); want != slices.Equal(r.Tenants, []string{"acme"}) {
				t.Errorf("tenants beyond the offset: %v", r.Tenants)
			}
			f.write(f.next("acme", 1)...)
			f.await("acme", 1, 7, consumer.Live)
			kafkatest.WaitFor(t, "acknowledged", func(ctx context.Context) bool {
				var open int
				err := f.admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.resets WHERE NOT put_back OR state <> 'done'`).Scan(&open)
				return err == nil && open == 0
			})
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			stop = f.start(f.config(), h)
			f.write(f.next("acme", 1)...)
			f.await("acme", 1, 8, consumer.Live)
			f.wantApplied("acme", 1, 8)
			if got := len(h.seen()); got != 1 {
				t.Errorf("the job ran %d times", got)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReset_TellsOperatorsAllAndTenantsNothingOfEachOther(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		redo          func(*consumer.ResetReport) error
		told, kept    string
		differences   int64
		notCounted    any
		notCountedRow string
	}{
		"all was compared": {func(r *consumer.ResetReport) error {
			*r = consumer.ResetReport{Examined: 3, Differences: 2, Detail: "acme/1 differs", Told: "2 rows differ"}
			return nil
		}, "2 rows differ", "acme/1 differs", 2, nil, ""},
		"a part was not": {func(r *consumer.ResetReport) error {
			*r = consumer.ResetReport{Examined: 3, Detail: "half", NotCounted: "1 of 2: trimmed"}
			return nil
		}, "half", "half", 0, "1 of 2: trimmed", "1 of 2: trimmed"},
		"it failed": {func(*consumer.ResetReport) error { return errors.New("acme is broken") }, "it failed; the operators know why", "acme is broken", 0,
			"the reset failed before it was through", "the reset failed before it was through"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.write(f.next("acme", 3)...)
			stop := f.start(f.config(), &recorder{})
			f.await("acme", 1, 3, consumer.Live)
			_ = stop()
			f.resetOffset(partitionOf("acme"), 0, "")
			told := make(chan map[string]any, 4)
			cfg := f.config()
			cfg.Publish = func(_ context.Context, _, typ, _, _ string, data map[string]any) error {
				if typ == "engine.replay.completed" {
					told <- data
				}
				return nil
			}
			f.start(cfg, &recorder{redo: func(_ context.Context, r consumer.Reset) error { return tc.redo(r.Report) }})
			data := <-told
			if data["detail"] != tc.told || data["differences"] != tc.differences || data["not_counted"] != tc.notCounted {
				t.Errorf("tenants are told %v", data)
			}
			kafkatest.WaitFor(t, "the end", func(ctx context.Context) bool {
				var n int
				err := f.admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.resets WHERE detail = $1 AND differences = $2 AND not_counted = $3 AND completed_at IS NOT NULL`,
					tc.kept, tc.differences, tc.notCountedRow).Scan(&n)
				return err == nil && n == 1
			})
		})
	}
}

func TestReset_NamesOnlyTenantsBeyondTheOffset(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 3)...)
	other := sameLogPartition("acme")
	f.write(f.next(other, 3)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 3, consumer.Live)
	f.await(other, 1, 3, consumer.Live)
	_ = stop()
	f.resetOffset(partitionOf("acme"), 4, "")
	h := &recorder{}
	f.start(f.config(), h)
	kafkatest.WaitFor(t, "reset", func(context.Context) bool { return len(h.seen()) == 1 })
	if got := h.seen()[0].Tenants; !slices.Equal(got, []string{other}) {
		t.Errorf("got %v, want only %s", got, other)
	}
}

// sameLogPartition finds another tenant of the same partition.
func sameLogPartition(tenant string) string {
	for i := 'a'; ; i++ {
		if name := "globex-" + string(i); partitionOf(name) == partitionOf(tenant) {
			return name
		}
	}
}

func TestReset_InterruptedIsDoneAgainByTheNextOwner(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 3)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 3, consumer.Live)
	_ = stop()
	f.resetOffset(partitionOf("acme"), 0, "")
	h := &recorder{redo: func(ctx context.Context, _ consumer.Reset) error { <-ctx.Done(); return ctx.Err() }}
	stop = f.start(f.config(), h)
	kafkatest.WaitFor(t, "reset begun", func(context.Context) bool { return len(h.seen()) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	again := &recorder{}
	f.start(f.config(), again)
	kafkatest.WaitFor(t, "reset again", func(context.Context) bool { return len(again.seen()) == 1 })
	if a, b := h.seen()[0].ID, again.seen()[0].ID; a != b {
		t.Errorf("reset %s became %s", a, b)
	}
}

func TestGeneration_IsBuiltFromTheArchiveAlongsideTheLiveOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 1200)...)
	h := &recorder{}
	f.start(f.config(), h)
	f.await("acme", 1, 1200, consumer.Live)
	for range 2 { // asked twice for the same reason, there is one
		err := pgx.BeginFunc(context.Background(), f.pool, func(tx pgx.Tx) error {
			g, err := consumer.NewGeneration(context.Background(), tx, kafka.GroupProjector, "acme", partitionOf("acme"), "reset 1")
			if g != 2 {
				t.Errorf("generation %d, want 2", g)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.write(f.next("acme", 10)...)
	f.await("acme", 2, 1210, consumer.Live)
	f.write(f.next("acme", 10)...)
	f.await("acme", 2, 1220, consumer.Live)
	f.await("acme", 1, 1220, consumer.Live)
	f.wantApplied("acme", 1, 1220)
	f.wantApplied("acme", 2, 1220)
}

func TestZombie_WritesNothingAfterATakeover(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 5)...)
	f.start(f.config(), &recorder{})
	f.await("acme", 1, 5, consumer.Live)

	// A paused member holds a batch that begins at offset 5; meanwhile its successor goes on to 8.
	arrived, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	paused := &recorder{before: func(context.Context, event.Recorded) error {
		once.Do(func() { close(arrived); <-wake })
		return nil
	}}
	zombie := f.zombie(paused)
	batch := f.next("acme", 3)
	done := make(chan error, 1)
	go func() { done <- zombie(batch) }()
	<-arrived
	f.write(batch...)
	f.await("acme", 1, 8, consumer.Live)
	f.exec(`DELETE FROM public.applied WHERE sequence > 5`) // so that the zombie's own rows would not be refused by the key
	close(wake)
	if err := <-done; !consumer.IsTakenOver(err) {
		t.Errorf("the zombie got %v", err)
	}
	f.wantApplied("acme", 1, 5)
	if row := f.row("acme", 1); row.Sequence != 8 {
		t.Errorf("progress ran to %d", row.Sequence)
	}
	f.write(f.next("acme", 1)...)
	f.await("acme", 1, 9, consumer.Live)
}

// zombie gives the batch step of a member that believes to own acme's partition at offset 5.
func (f *fixture) zombie(h consumer.Handler) func([]event.Recorded) error {
	f.t.Helper()
	cfg := f.config()
	c, err := consumer.New(cfg, h)
	if err != nil {
		f.t.Fatal(err)
	}
	tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: partitionOf("acme")}
	return func(events []event.Recorded) error {
		recs := make([]*kafka.Record, len(events))
		for i := range events {
			recs[i] = kafka.RecordedToRecord(&events[i])
			recs[i].Partition, recs[i].Offset = tp.Partition, 5+int64(i)
		}
		return c.HandleAs(context.Background(), map[kafka.TopicPartition]int64{tp: 5}, recs)
	}
}

// One process may build a tenant again as often as it is asked, and a tenant without an event has nothing to wait for.
func TestGeneration_IsBuiltAgainInOneProcessAndWithoutEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 30)...)
	h := &recorder{}
	f.start(f.config(), h)
	f.await("acme", 1, 30, consumer.Live)
	build := func(tenant, reason string, want int64) {
		t.Helper()
		err := pgx.BeginFunc(context.Background(), f.pool, func(tx pgx.Tx) error {
			g, err := consumer.NewGeneration(context.Background(), tx, kafka.GroupProjector, tenant, partitionOf(tenant), reason)
			if g != want {
				t.Errorf("generation %d of %s, want %d", g, tenant, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for g := int64(2); g <= 4; g++ {
		build("acme", fmt.Sprint("reset ", g), g)
		f.await("acme", g, 30, consumer.Live)
		f.wantApplied("acme", g, 30)
	}
	build("quiet", "reset 1", 1)
	f.await("quiet", 1, 0, consumer.Live)
	f.write(f.next("quiet", 2)...)
	f.await("quiet", 1, 2, consumer.Live)
	f.wantApplied("quiet", 1, 2)
}
