package kafka_test

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestPartitionReader_SaysWhereADecompressionBombEndsAndReadsOn(t *testing.T) { // H32
	cfg, _, _ := broker(t, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
		kgo.ProducerBatchMaxBytes(80<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	kafkatest.Produce(t, cfg, numbered(0, 0, 2)...)
	for range 3 {
		client.Produce(t.Context(), &kgo.Record{Topic: "t", Value: make([]byte, 16<<20)}, nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	kafkatest.Produce(t, cfg, numbered(0, 5, 2)...)
	r, err := kafka.NewPartitionReader(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Add(0, 0)
	var offsets []int64
	var fat *kafka.OversizeError
	kafkatest.WaitFor(t, "what lies around the bomb", func(ctx context.Context) bool {
		// It ends just when the client has an answer, as it does when the sequencer is woken up: the client says only once that the bomb is there.
		recs, failed := r.Poll(justEnded{ctx}, 100)
		for _, rec := range recs {
			offsets = append(offsets, rec.Offset)
		}
		if errors.As(failed[0], &fat) {
			r.Skip(fat)
		}
		return len(offsets) == 4
	})
	if fat == nil || fat.Offset != 2 || fat.Next != 5 || offsets[1] != 1 || offsets[2] != 5 {
		t.Errorf("offsets %v around %v", offsets, fat)
	}
}

type justEnded struct{ context.Context }

func (justEnded) Err() error { return context.Canceled }
