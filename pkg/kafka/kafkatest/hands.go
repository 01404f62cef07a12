package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Abort writes records to the partitions that they name, in a transaction that is aborted.
func Abort(t testing.TB, cfg kafka.Config, transactionalID string, recs ...*kafka.Record) {
	t.Helper()
	transact(t, cfg, transactionalID, kgo.TryAbort, recs)
}

// Commit is Abort, but for the transaction's end.
func Commit(t testing.TB, cfg kafka.Config, transactionalID string, recs ...*kafka.Record) {
	t.Helper()
	transact(t, cfg, transactionalID, kgo.TryCommit, recs)
}

func transact(t testing.TB, cfg kafka.Config, transactionalID string, end kgo.TransactionEndTry, recs []*kafka.Record) {
	t.Helper()
	client := open(t, cfg, kgo.TransactionalID(transactionalID), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := errors.Join(client.BeginTransaction(), client.ProduceSync(ctx, recs...).FirstErr(), client.EndTransaction(ctx, end)); err != nil {
		t.Fatal(err)
	}
}

// Join makes a member of a group, which is there until leave is called.
func Join(t testing.TB, cfg kafka.Config, group, topic string) (leave func()) {
	t.Helper()
	client := open(t, cfg, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))
	WaitFor(t, "the group "+group+" to have a member", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		client.PollFetches(ctx)
		_, generation := client.GroupMetadata()
		return generation >= 0
	})
	return client.Close
}

// Raw tells every record of a topic in one line, aborted and open ones and the ends of transactions too, by partition and offset.
func Raw(t testing.TB, cfg kafka.Config, topic string) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	adm := openAdmin(t, cfg)
	defer adm.Close()
	ends, err := adm.EndOffsets(ctx, admin.ReadUncommitted, topic)
	if err != nil {
		t.Fatal(err)
	}
	client := open(t, cfg, kgo.ConsumeTopics(topic), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	left := map[int32]int64{}
	for tp, end := range ends {
		if end > 0 {
			left[tp.Partition] = end
		}
	}
	byPartition := map[int32][]string{}
	for len(left) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kafka.Record) {
			what := fmt.Sprintf("data, key %s", r.Key)
			if r.Attrs.IsControl() {
				what = map[bool]string{true: "abort", false: "commit"}[len(r.Key) > 3 && r.Key[3] == 0]
			}
			byPartition[r.Partition] = append(byPartition[r.Partition], fmt.Sprintf("%s-%d@%d producer %x epoch %d leader %d: %s", topic, r.Partition, r.Offset, r.ProducerID, r.ProducerEpoch, r.LeaderEpoch, what))
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	for _, p := range slices.Sorted(maps.Keys(byPartition)) {
		lines = append(lines, byPartition[p]...)
	}
	return lines
}
