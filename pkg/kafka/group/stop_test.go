package group_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestGroup_RecreatedTopicStopsThePartition(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	m := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "the old topic's records", func(context.Context) bool { return m.count() == 10 })
	if err := c.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 30)...)
	kafkatest.WaitFor(t, "the stop", func(context.Context) bool { return len(m.Stopped()) == 1 })
	if err := m.Stopped()[kafka.TopicPartition{Topic: "t"}]; !strings.Contains(err.Error(), "recreated") {
		t.Fatal(err)
	}
	if n := m.count(); n != 10 {
		t.Fatalf("%d records of the new topic were taken for the old one's", n-10)
	}
}

func TestGroup_DecompressionBombStopsThePartition(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 2)
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(80<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "t", Value: make([]byte, 64<<20)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	kafkatest.Produce(t, cfg, kafkatest.Numbered(1, 0, 5)...)
	m := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "the stop and the other partition", func(context.Context) bool {
		return len(m.Stopped()) == 1 && slices.Equal(m.offsets(1), upTo(0, 5))
	})
	if err := m.Stopped()[kafka.TopicPartition{Topic: "t"}]; !strings.Contains(err.Error(), "inflates") {
		t.Fatal(err)
	}
}
