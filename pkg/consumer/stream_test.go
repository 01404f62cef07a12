package consumer_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// blank is a handler of a further feed that writes nothing.
type blank struct{}

func (blank) Apply(context.Context, pgx.Tx, consumer.Run) error { return nil }

// A tenant whose events come faster than a catch-up transaction commits still catches up: each event that the main feed applies is
// followed by a batch of one more, written before that transaction ends.
func TestCatchUp_OfAFeedThatIsSetAsideGoesOnWhileBatchesArrive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: partitionOf("acme")}
	f.exec(`INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		VALUES ($1, 1, $2, $3, gen_random_uuid(), 0)`, kafka.GroupProjector, tp.Topic, tp.Partition)
	h := &recorder{}
	cfg := f.config()
	cfg.Feeds = []consumer.Feed{{Name: "control", Handler: blank{}}}
	c, err := consumer.New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	c.SetMainAside()
	next, offset := map[kafka.TopicPartition]int64{tp: 0}, int64(0)
	batch := func(n int) error { // of n further events
		events := f.next("acme", n)
		f.archive.add(events...)
		recs := make([]*kafka.Record, n)
		for i := range events {
			recs[i] = kafka.RecordedToRecord(&events[i])
			recs[i].Partition, recs[i].Offset = tp.Partition, offset
			offset++
		}
		return c.HandleAs(ctx, next, recs)
	}
	if err := batch(30); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 0, consumer.CatchingUp)
	const arriving = 20
	left := arriving
	h.set(func(context.Context, event.Recorded) error {
		if row := f.row("acme", 1); row.State == consumer.Live {
			t.Errorf("live at %d, though %d was seen", row.Sequence, row.Seen)
		}
		if left == 0 {
			return nil
		}
		left--
		return batch(1)
	})
	if err := c.CatchUpAs(ctx, []int32{tp.Partition}); err != nil {
		t.Fatalf("caught up to %d: %v", f.row("acme", 1).Sequence, err)
	}
	f.await("acme", 1, 30+arriving, consumer.Live)
	f.wantApplied("acme", 1, 30+arriving)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.caught, []string{"acme/1"}) {
		t.Errorf("told of %v, want one catch-up", h.caught)
	}
}
