package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// A sequencer that is held up at a record is ready and alive, and its tenants wait.
func TestDoctor_TellsRecordsThatHaveWaitedLongForTheirVerdict(t *testing.T) {
	broker := kafkatest.Start(t)
	env := map[string]string{operate.EnvBrokers: strings.Join(broker.Brokers, ",")}
	x := session(env)
	adm, err := admin.New(broker)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	says := func(result string, words ...string) {
		t.Helper()
		found := x.checkIngress(t.Context(), adm)
		if len(found) != 1 || found[0].Result != result {
			t.Fatalf("%+v, want %s", found, result)
		}
		for _, w := range words {
			if !strings.Contains(found[0].Detail, w) {
				t.Errorf("no %q in %s", w, found[0].Detail)
			}
		}
	}
	says(OK)
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	for range 3 {
		kafkatest.Produce(t, broker, &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Partition: partition, Value: []byte("x")})
	}
	says(OK) // they have just come
	x.env.Now = func() time.Time { return time.Now().Add(time.Minute) }
	says(Failed, "3 records have waited", "from offset 0 on")
	judged := func(offset int64) {
		t.Helper()
		if err := adm.Commit(t.Context(), kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{{Topic: kafka.TopicIngress, Partition: partition}: {Offset: offset}}); err != nil {
			t.Fatal(err)
		}
	}
	judged(1)
	says(Failed, "2 records have waited", "from offset 1 on")
	judged(3)
	says(OK)
}
