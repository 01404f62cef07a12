package kafkatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// Abort writes records to the partitions that they name, in a transaction that is aborted.
func Abort(t testing.TB, cfg kafka.Config, transactionalID string, recs ...*kafka.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.TransactionalID(transactionalID), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := errors.Join(client.BeginTransaction(), client.ProduceSync(ctx, recs...).FirstErr(), client.EndTransaction(ctx, kgo.TryAbort)); err != nil {
		t.Fatal(err)
	}
}

// Join makes a member of a group, which is there until leave is called.
func Join(t testing.TB, cfg kafka.Config, group, topic string) (leave func()) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	WaitFor(t, "the group "+group+" to have a member", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		client.PollFetches(ctx)
		_, generation := client.GroupMetadata()
		return generation >= 0
	})
	return client.Close
}
