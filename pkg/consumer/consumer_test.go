package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

func TestRun_AppliesInOrderAndCommitsAfterIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(append(f.next("acme", 50), f.next("globex", 30)...)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 50, consumer.Live)
	f.await("globex", 1, 30, consumer.Live)
	f.write(f.next("acme", 5)...)
	f.await("acme", 1, 55, consumer.Live)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.wantApplied("acme", 1, 55)
	f.wantApplied("globex", 1, 30)
	com := f.committed(partitionOf("acme"))
	if want := fmt.Sprintf("nx1:0:%s:%d:11111111-1111-4111-8111-111111111111", kafka.GroupProjector, com.Offset); com.Metadata != want {
		t.Errorf("commit has metadata %q, want %q", com.Metadata, want)
	}
	// Started again, it goes on and applies nothing twice.
	f.write(f.next("acme", 1)...)
	f.start(f.config(), &recorder{})
	f.await("acme", 1, 56, consumer.Live)
	f.wantApplied("acme", 1, 56)
}

func TestRun_StallsOneTenantBeforeTheEventThatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(append(f.next("acme", 10), f.next("globex", 10)...)...)
	h := &recorder{}
	poison := func(_ context.Context, r event.Recorded) error {
		if r.TenantID == "acme" && r.Sequence == 7 {
			return errors.New("the body makes no sense")
		}
		return nil
	}
	h.set(poison)
	f.start(f.config(), h)
	f.await("globex", 1, 10, consumer.Live)
	row := f.await("acme", 1, 6, consumer.Stalled)
	if row.Reason != "the body makes no sense" || row.Seen != 10 {
		t.Errorf("stalled with reason %q, seen %d", row.Reason, row.Seen)
	}
	f.wantApplied("acme", 1, 6)
	// Others go on, and so does what is remembered of the stalled one.
	f.write(append(f.next("globex", 3), f.next("acme", 2)...)...)
	f.await("globex", 1, 13, consumer.Live)
	kafkatest.WaitFor(t, "seen 12", func(context.Context) bool { return f.row("acme", 1).Seen == 12 })

	// A retry in vain stalls at the same event; one after the cause is gone catches up.
	if _, err := consumer.Retry(context.Background(), f.pool, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 6, consumer.Stalled)
	h.set(nil)
	if _, err := consumer.Retry(context.Background(), f.pool, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 12, consumer.Live)
	f.wantApplied("acme", 1, 12)
	if _, err := consumer.Retry(context.Background(), f.pool, kafka.GroupProjector, "acme"); !errors.Is(err, consumer.ErrNotStalled) {
		t.Errorf("retry of a live tenant gives %v", err)
	}
}

// observer is a recorder that keeps the highest sequence that it was told of, by tenant.
type observer struct {
	recorder
	told map[string]int64
}

func (h *observer) Observe(events []event.Recorded) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.told[e.TenantID] = max(h.told[e.TenantID], e.Sequence)
	}
}

func (h *observer) toldOf(tenant string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told[tenant]
}

// A sender that waits for its rows to come back through the log must hear of them also where its tenant is behind, or it would wait for itself.
func TestRun_TellsAnObserverAlsoOfWhatATenantIsNotGivenYet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 10)...)
	h := &observer{told: map[string]int64{}}
	h.set(func(_ context.Context, r event.Recorded) error {
		if r.Sequence == 7 {
			return errors.New("the body makes no sense")
		}
		return nil
	})
	f.start(f.config(), h)
	f.await("acme", 1, 6, consumer.Stalled)
	f.write(f.next("acme", 5)...)
	kafkatest.WaitFor(t, "15 events observed", func(context.Context) bool { return h.toldOf("acme") == 15 })
	f.wantApplied("acme", 1, 6)
}

func TestSkip_PassesOneEventAndCatchesUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 5)...)
	h := &recorder{before: func(_ context.Context, r event.Recorded) error {
		if r.Sequence == 3 {
			return errors.New("poison")
		}
		return nil
	}}
	f.start(f.config(), h)
	f.await("acme", 1, 2, consumer.Stalled)
	refused := errors.New("not announced")
	if _, err := consumer.Skip(context.Background(), f.admin, consumer.SkipOptions{Consumer: kafka.GroupProjector, Tenant: "acme"}, func(consumer.Row) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	f.await("acme", 1, 2, consumer.Stalled)
	rows, err := consumer.Skip(context.Background(), f.admin, consumer.SkipOptions{Consumer: kafka.GroupProjector, Tenant: "acme"}, func(consumer.Row) error { return nil })
	if err != nil || len(rows) != 1 || rows[0].Sequence != 2 {
		t.Fatalf("got %v, %v", rows, err)
	}
	f.await("acme", 1, 5, consumer.Live)
	f.write(f.next("acme", 1)...)
	f.await("acme", 1, 6, consumer.Live)
	if got := f.applied("acme", 1); len(got) != 5 || got[2] != 4 {
		t.Errorf("applied %v, want all but 3", got)
	}
}

func TestRun_FillsSmallGapFromTheArchive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	events := f.next("acme", 20)
	f.archive.add(events...)
	f.writeLog(append(events[:5:5], events[9:]...)...)
	f.start(f.config(), &recorder{})
	f.await("acme", 1, 20, consumer.Live)
	f.wantApplied("acme", 1, 20)
}

func TestRun_CatchesUpWhenTheArchiveIsLateOrTheGapIsWide(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	events := f.next("acme", 1500)
	f.writeLog(append(events[:5:5], events[1400:]...)...)
	h := &recorder{}
	f.start(f.config(), h)
	f.await("acme", 1, 5, consumer.CatchingUp)
	f.archive.add(events[:700]...)
	f.await("acme", 1, 700, consumer.CatchingUp)
	f.archive.add(events[700:1400]...) // the rest is in the log only, and the loop kept it
	f.await("acme", 1, 1500, consumer.Live)
	f.writeLog(f.next("acme", 3)...)
	f.await("acme", 1, 1503, consumer.Live)
	f.wantApplied("acme", 1, 1503)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.caught) != 1 || h.caught[0] != "acme/1" {
		t.Errorf("caught up: %v", h.caught)
	}
}

func TestRun_StallsAsGapWhatIsNowhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	events := f.next("acme", 10)
	f.writeLog(append(events[:5:5], events[7:]...)...)
	f.write(f.next("globex", 1)...)
	cfg := f.config()
	cfg.GapTimeout = 300 * time.Millisecond
	f.start(cfg, &recorder{})
	if row := f.await("acme", 1, 5, consumer.Stalled); row.Reason != consumer.ReasonGap {
		t.Errorf("reason %q", row.Reason)
	}
	f.await("globex", 1, 1, consumer.Live)
}

func TestRun_WithoutArchiveAGapIsALossAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	events := f.next("acme", 10)
	f.writeLog(append(events[:5:5], events[7:]...)...)
	cfg := f.config()
	cfg.Archive = nil
	f.start(cfg, &recorder{})
	if row := f.await("acme", 1, 5, consumer.Stalled); row.Reason != consumer.ReasonGap {
		t.Errorf("reason %q", row.Reason)
	}
}

func TestRetry_WithoutArchiveReadsTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.writeLog(f.next("acme", 900)...)
	var broken atomic.Bool
	broken.Store(true)
	h := &recorder{before: func(_ context.Context, r event.Recorded) error {
		if broken.Load() && r.Sequence == 3 {
			return errors.New("disk of the tenant is full")
		}
		return nil
	}}
	cfg := f.config()
	cfg.Archive = nil
	f.start(cfg, h)
	f.await("acme", 1, 2, consumer.Stalled)
	broken.Store(false)
	if _, err := consumer.Retry(context.Background(), f.pool, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 900, consumer.Live)
	f.wantApplied("acme", 1, 900)
}

func TestRun_StallsWhenTheLogChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 5)...)
	f.write(f.next("globex", 5)...)
	f.start(f.config(), &recorder{})
	f.await("acme", 1, 5, consumer.Live)
	f.heads["acme"] = 0 // a log that was wiped begins again
	again := f.next("acme", 2)
	for i := range again {
		again[i].LogID = "22222222-2222-4222-8222-222222222222"
	}
	f.writeLog(again...)
	if row := f.await("acme", 1, 5, consumer.Stalled); row.Reason != consumer.ReasonLogChanged {
		t.Errorf("reason %q", row.Reason)
	}
	f.write(f.next("globex", 1)...)
	f.await("globex", 1, 6, consumer.Live)
}

func TestRun_StopsLoudlyWhenTheTopicWasRecreated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 5)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 5, consumer.Live)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.exec(`UPDATE neuronx.partition_progress SET topic_id = gen_random_uuid()`)
	c, err := consumer.New(f.config(), &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience)
	defer cancel()
	if err := c.Run(ctx); !errors.Is(err, consumer.ErrTopicChanged) {
		t.Errorf("Run gave %v", err)
	}
}

func TestRun_WaitsOutATransientFailureAndSkipsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(append(f.next("acme", 5), f.next("globex", 5)...)...)
	var calls atomic.Int32
	h := &recorder{before: func(_ context.Context, r event.Recorded) error {
		if calls.Add(1) < 10 {
			return consumer.Transient(errors.New("registry unavailable"))
		}
		return nil
	}}
	f.start(f.config(), h)
	f.await("acme", 1, 5, consumer.Live)
	f.await("globex", 1, 5, consumer.Live)
	f.wantApplied("acme", 1, 5)
	f.wantApplied("globex", 1, 5)
}

func TestRun_LeavesTheGroupAfterTheRetryBudgetAndComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 5)...)
	var broken atomic.Bool
	broken.Store(true)
	h := &recorder{before: func(context.Context, event.Recorded) error {
		if broken.Load() {
			return consumer.Transient(fmt.Errorf("find a schema: %w", registry.ErrUnavailable))
		}
		return nil
	}}
	cfg := f.config()
	cfg.RetryBudget, cfg.Ready = 300*time.Millisecond, app.NewReadiness()
	adm, err := admin.New(f.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	f.start(cfg, h)
	members := func(ctx context.Context) int {
		g, err := adm.DescribeGroup(ctx, kafka.GroupProjector)
		if err != nil {
			return -1
		}
		return len(g.Members)
	}
	kafkatest.WaitFor(t, "the member to join", func(ctx context.Context) bool { return members(ctx) == 1 })
	kafkatest.WaitFor(t, "the member to leave its partitions to others", func(ctx context.Context) bool { return members(ctx) == 0 })
	kafkatest.WaitFor(t, "the member to join again", func(ctx context.Context) bool { return members(ctx) == 1 })
	if com := f.committed(partitionOf("acme")); com.Present && com.Offset > 0 {
		t.Errorf("committed %d", com.Offset)
	}
	waits := cfg.Ready.Components()
	if len(waits) == 0 || waits[len(waits)-1].Name != app.ComponentRegistry || !strings.Contains(waits[len(waits)-1].Reason, "unavailable") {
		t.Errorf("readiness does not name the registry: %+v", waits)
	}
	broken.Store(false)
	f.await("acme", 1, 5, consumer.Live)
	f.wantApplied("acme", 1, 5)
	for _, c := range cfg.Ready.Components() {
		if c.Reason != "" {
			t.Errorf("still waits: %s", c.String())
		}
	}
}

func TestRun_SurvivesThatPostgresEndsItsConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := &recorder{}
	f.start(f.config(), h)
	for range 10 {
		f.write(append(f.next("acme", 3), f.next("globex", 3)...)...)
		f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'neuronx_projector'`)
	}
	f.await("acme", 1, 30, consumer.Live)
	f.await("globex", 1, 30, consumer.Live)
	f.wantApplied("acme", 1, 30)
	f.wantApplied("globex", 1, 30)
}

func TestCatchUp_ManyTenantsThatWaitDoNotHideTheOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, seen, state)
		SELECT 'neuronx.projector', 1, 'a-' || n, n % 6, 9, 'catching-up' FROM generate_series(1, 150) n`)
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, seen, state) VALUES ('neuronx.projector', 1, 'zebra', $1, 3, 'catching-up')`, partitionOf("zebra"))
	f.archive.add(f.next("zebra", 3)...)
	f.start(f.config(), &recorder{})
	f.await("zebra", 1, 3, consumer.Live)
}

func TestRun_MembersComeAndGoWithoutLossOrRepeat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tenants := []string{"acme", "globex", "initech", "umbrella", "hooli", "stark"}
	write := func() {
		for _, tenant := range tenants {
			f.write(f.next(tenant, 5)...)
		}
	}
	write()
	first := f.start(f.config(), &recorder{})
	f.await("acme", 1, 5, consumer.Live)
	write()
	second := f.start(f.config(), &recorder{})
	write()
	f.await("stark", 1, 15, consumer.Live)
	if err := first(); err != nil {
		t.Fatal(err)
	}
	write()
	third := f.start(f.config(), &recorder{})
	write()
	for _, tenant := range tenants {
		f.await(tenant, 1, 25, consumer.Live)
		f.wantApplied(tenant, 1, 25)
	}
	for _, stop := range []func() error{second, third} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
