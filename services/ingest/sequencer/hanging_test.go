//go:build realkafka

package sequencer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

func TestRealKafka_AHangingTransactionIsEndedAndItsPartitionGoesOn(t *testing.T) {
	cfg := realKafka(t)
	keys := brokerKeys(t)
	tenant := fmt.Sprintf("h%x", rand.Uint32())
	slot := tenant
	config := testConfig(cfg, keys, slot)
	config.SessionTimeout = 6 * time.Second // a broker's least
	of := logFromNow(t, cfg)
	first := start(t, config)
	send(t, cfg, created(keys, tenant), lead(tenant, "1"))
	kafkatest.WaitFor(t, "the first two events", func(ctx context.Context) bool { return len(of(ctx, tenant)) == 2 })
	first.halt()

	p := kafka.PartitionFor([]byte(tenant), kafkatest.Partitions)
	at := func(topic string) kafka.TopicPartition { return kafka.TopicPartition{Topic: topic, Partition: p} }
	kafkatest.LeaveHanging(t, cfg, kafkatest.Hanging{
		ID: "neuronx.sequencer." + slot, Partitions: []kafka.TopicPartition{at(kafka.TopicState), at(kafka.TopicEvents)},
		Group: kafka.GroupSequencer, Offset: at(kafka.TopicIngress),
	})

	begun := time.Now()
	second := start(t, config)
	send(t, cfg, lead(tenant, "2"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for len(of(ctx, tenant)) < 3 {
		if wait(ctx, 500*time.Millisecond); ctx.Err() != nil {
			t.Fatalf("the partition stands still; ready: %v", second.ready.Err())
		}
	}
	t.Logf("the third event came %v after the start", time.Since(begun).Round(time.Second))
	if n := gather(t, second, "neuronx_sequencer_hanging_transactions_ended_total"); n < 3 {
		t.Errorf("%v hanging transactions ended, want at least those of the log, the state and the offset", n)
	}
	checkLog(t, map[string][]event.Recorded{tenant: of(t.Context(), tenant)})
}

func TestRealKafka_AHangingTransactionThatWasCommittedIsCommitted(t *testing.T) {
	cfg := realKafka(t)
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	id := fmt.Sprintf("neuronx.sequencer.c%x", rand.Uint32())
	tp := kafka.TopicPartition{Topic: kafka.TopicReceipts, Partition: 5}
	kafkatest.LeaveHanging(t, cfg, kafkatest.Hanging{ID: id, Partitions: []kafka.TopicPartition{tp}, Committed: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var found []hanging.Txn
	for len(found) == 0 {
		if wait(ctx, 500*time.Millisecond); ctx.Err() != nil {
			t.Fatal("not found")
		}
		if found, err = hanging.Find(ctx, adm, tp); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 1 || found[0].Outcome != hanging.Commit || found[0].TransactionalID != id {
		t.Fatalf("found %+v", found)
	}
	if err := hanging.End(ctx, adm, found[0]); err != nil {
		t.Fatal(err)
	}
	records := 0
	if err := read.Range(ctx, cfg, tp.Topic, tp.Partition, found[0].StartOffset, found[0].StartOffset+1, func(r *kafka.Record) error {
		records++
		return nil
	}); err != nil || records != 1 {
		t.Fatalf("%d records can be read committed: %v", records, err)
	}
}
