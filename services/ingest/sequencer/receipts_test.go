package sequencer

import (
	"context"
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

func TestRun_ReceiptsAreCommittedWithTheVerdicts(t *testing.T) {
	cfg, cluster := kafkatest.StartCluster(t)
	keys := event.NewKeyring()
	start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "a"))
	waitLogged(t, cfg, 1)
	hits := kafkatest.FailTxn(cluster, kafkatest.TxnFaults()[0], 2)
	const n = 40
	for i := range n {
		send(t, cfg, sequencertest.Waited(keys, "a", fmt.Sprint(i), fmt.Sprintf("w-%d", i)))
	}
	misplaced := kafka.ToRecord(kafka.TopicIngress, sequencertest.Waited(keys, "a", "away", "w-away"))
	home := kafka.PartitionFor(misplaced.Key, kafkatest.Partitions)
	misplaced.Partition = (home + 1) % kafkatest.Partitions
	kafkatest.Misplace(t, cfg, misplaced)
	log := waitLogged(t, cfg, n+2)
	kafkatest.WaitFor(t, "the faults", func(context.Context) bool { return hits() > 0 })
	sequence := map[string]int64{}
	for _, e := range log["a"] {
		sequence[e.ID] = e.Sequence
	}
	seen := map[string]int{}
	for _, r := range kafkatest.Consume(t, cfg, kafka.TopicReceipts) {
		got, err := event.ParseReceipt(r.Value)
		if err != nil || got.Sequence == 0 || got.Sequence != sequence[got.ID] || string(r.Key) != "w-"+got.ID || r.Partition != home {
			t.Errorf("%s-%d %s: %s (%v)", r.Topic, r.Partition, r.Key, r.Value, err)
		}
		seen[got.ID]++
	}
	if len(seen) != n+1 || seen["away"] != 1 || seen["0"] != 1 {
		t.Errorf("receipts of %d events, want %d: %v", len(seen), n+1, seen)
	}
}
