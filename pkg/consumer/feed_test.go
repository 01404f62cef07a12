package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// series counts the series of a gauge, by its labels, that are not 0.
func series(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels string
			for _, l := range m.GetLabel() {
				labels += l.GetValue() + " "
			}
			if v := m.GetGauge().GetValue(); v != 0 {
				out[labels] = v
			}
		}
	}
	return out
}

func TestStalledTenants_AreNamedUntilTheyGoOnAndNeverMoreThanFifty(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	cfg := f.config()
	cfg.Reg = reg
	h := &recorder{before: func(context.Context, event.Recorded) error { return errors.New("poison") }}
	f.write(f.next("acme", 1)...)
	f.start(cfg, h)
	f.await("acme", 1, 0, consumer.Stalled)
	kafkatest.WaitFor(t, "the stalled tenant in the metrics", func(context.Context) bool {
		return series(t, reg, "neuronx_consumer_stalled")["main acme "] == 1
	})
	for n := range 60 {
		f.write(f.next(fmt.Sprintf("t-%d", n), 1)...)
	}
	kafkatest.WaitFor(t, "all in the count", func(context.Context) bool {
		return series(t, reg, "neuronx_consumer_tenants")["main stalled "] == 61
	})
	if got := series(t, reg, "neuronx_consumer_stalled"); len(got) != 50 {
		t.Errorf("%d tenants are named, want 50", len(got))
	}
	h.set(nil)
	if rows, err := consumer.Retry(context.Background(), f.admin, kafka.GroupProjector, ""); err != nil || len(rows) != 61 {
		t.Fatalf("retried %d, %v", len(rows), err)
	}
	kafkatest.WaitFor(t, "no series of a stalled tenant", func(context.Context) bool {
		return len(series(t, reg, "neuronx_consumer_stalled")) == 0
	})
}

func TestArchiver_SkipsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state) VALUES ('neuronx.archiver', 1, 'acme', 0, 'stalled')`)
	_, err := consumer.Skip(context.Background(), f.admin, consumer.SkipOptions{Consumer: kafka.GroupArchiver, Tenant: "acme"}, func(consumer.Row) error { return nil })
	if !errors.Is(err, consumer.ErrNoSkip) {
		t.Errorf("a skip in the archive gives %v", err)
	}
	if rows, err := consumer.Retry(context.Background(), f.admin, kafka.GroupArchiver, "acme"); err != nil || len(rows) != 1 {
		t.Errorf("a retry gives %v, %v", rows, err)
	}
}

// A feed that was added by an upgrade knows the tenants that were there before, also those whose events have ended.
func TestFeed_TakesUpTenantsThatOnlyTheMainFeedHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 3)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 3, consumer.Live)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	cfg := f.config()
	cfg.Feeds = []consumer.Feed{{Name: "control", Handler: blank{}}}
	f.start(cfg, &recorder{})
	kafkatest.WaitFor(t, "the new feed at 3", func(ctx context.Context) bool {
		rows, err := consumer.Rows(ctx, f.admin, consumer.RowName(kafka.GroupProjector, "control"), "acme", "")
		return err == nil && len(rows) == 1 && rows[0].Generation == 1 && rows[0].Sequence == 3 && rows[0].State == consumer.Live &&
			rows[0].Partition == partitionOf("acme")
	})
	f.wantApplied("acme", 1, 3)
}
