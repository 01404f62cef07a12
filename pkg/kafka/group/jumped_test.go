package group_test

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// TestReaders_SayThatTheyWereTakenBehindWhatWasTrimmed: a fetch at a trimmed offset is answered from the log's beginning, as if the
// client had moved there by itself.
func TestReaders_SayThatTheyWereTakenBehindWhatWasTrimmed(t *testing.T) {
	cfg, c, admin := kafkatest.StartTopic(t, 1)
	tp := kafka.TopicPartition{Topic: "t"}
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 5)...)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 5, 5)...) // another batch: they are answered whole
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	const start = 5
	if err := admin.DeleteRecords(ctx, map[kafka.TopicPartition]int64{tp: start}); err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, rt := range req.(*kmsg.FetchRequest).Topics {
			for i := range rt.Partitions {
				rt.Partitions[i].FetchOffset = max(start, rt.Partitions[i].FetchOffset)
			}
		}
		return nil, nil, false
	})
	readOne := func(r *kafka.Record) error {
		t.Errorf("read %d", r.Offset)
		return nil
	}
	var stopped *read.StoppedError
	if err := read.Range(ctx, cfg, "t", 0, 2, 10, readOne); !errors.As(err, &stopped) || stopped.Next != 2 {
		t.Errorf("a range: %v", err)
	}
	r, err := read.NewReader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Add(tp, 2)
	recs, failed := r.Poll(ctx, 100)
	stopped = nil
	if !errors.As(failed[tp], &stopped) || stopped.Next != 2 || len(recs) > 0 {
		t.Errorf("a reader: %d records, %v", len(recs), failed)
	}
	stopped = nil
	g := join(t, group.Config{Config: cfg, Resume: func(context.Context, map[kafka.TopicPartition]kafka.Committed, map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
		return map[kafka.TopicPartition]int64{tp: 2}, nil
	}}, nil)
	kafkatest.WaitFor(t, "the group's partition to be stopped", func(context.Context) bool { return errors.As(g.Stopped()[tp], &stopped) || g.count() > 0 })
	if stopped == nil || stopped.Next != 2 || g.count() > 0 {
		t.Errorf("a group: %d records, %v", g.count(), stopped)
	}
}
