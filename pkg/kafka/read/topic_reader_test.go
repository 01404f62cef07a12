package read_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

func TestPartitionReader_SaysWhatOfADecompressionBombItDoesNotReadAndReadsOn(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 2)...)
	bomb := make([]*kafka.Record, 3)
	for i := range bomb {
		bomb[i] = &kafka.Record{Topic: "t", Key: fmt.Append(nil, "k", i), Value: make([]byte, 60<<20)}
	}
	for _, size := range []int{1, 2} { // a batch of the client's own is bounded in bytes
		oneBatch(t, cfg, kgo.ProducerBatchCompression(kgo.ZstdCompression()), "", kgo.TryCommit, bomb[size-1:size*2-1]...)
	}
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 5, 2)...)
	r, err := read.NewTopicReader(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Add(0, 0)
	var offsets []int64
	var fats []string
	kafkatest.WaitFor(t, "what lies around the bombs", func(ctx context.Context) bool {
		// It ends just when the client has an answer, as it does when the sequencer is woken up: the client says only once that the bomb is there.
		recs, failed := r.Poll(justEnded{ctx}, 100)
		for _, rec := range recs {
			offsets = append(offsets, rec.Offset)
		}
		if fat, ok := errors.AsType[*read.OversizeError](failed[0]); ok {
			fats = append(fats, fmt.Sprintf("%d-%d %s", fat.Offset, fat.Next-1, fat.Stand().Key))
			r.Skip(fat)
		}
		return len(offsets) == 4
	})
	if !slices.Equal(offsets, []int64{0, 1, 5, 6}) || !slices.Equal(fats, []string{"2-2 k0", "3-3 k1", "4-4 k2"}) {
		t.Errorf("offsets %v around %v", offsets, fats)
	}
}

type justEnded struct{ context.Context }

func (justEnded) Err() error { return context.Canceled }
