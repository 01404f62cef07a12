package consumer_test

import (
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// redpanda-data/console#2573: where one partition had no leader, ListOffsets told the offsets of no partition. A member that joined meanwhile took up
// none of its partitions.
func TestRun_APartitionWithoutALeaderHoldsUpNoOther(t *testing.T) {
	f := newFixture(t)
	h := &recorder{}
	stop := f.start(f.config(), h)
	f.write(append(f.next("acme", 2), f.next("globex", 2)...)...)
	if partitionOf("acme") == partitionOf("globex") {
		t.Fatal("both tenants are in one partition")
	}
	f.await("acme", 1, 2, consumer.Live)
	f.await("globex", 1, 2, consumer.Live)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	dark := f.next("globex", 1)
	f.write(dark...)
	back := kafkatest.Leaderless(f.broker, kafka.TopicEvents, partitionOf("globex"))
	defer back()
	f.write(f.next("acme", 3)...)
	f.start(f.config(), h)
	f.await("acme", 1, 5, consumer.Live)
	back()
	f.await("globex", 1, 3, consumer.Live)
	f.wantApplied("acme", 1, 5)
	f.wantApplied("globex", 1, 3)
}
