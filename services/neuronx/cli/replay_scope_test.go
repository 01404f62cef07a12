package cli

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

func TestForeignMembers_NamesWhoTakesPartitionsOfTheEngine(t *testing.T) {
	d := admin.Group{Group: kafka.GroupRules, State: "Stable", Members: []admin.Member{
		{ID: "neuronx-rules-0-1f", ClientID: "neuronx-rules-0", Host: "10.0.0.1", Partitions: []kafka.TopicPartition{{Topic: kafka.TopicEvents}}},
		{ID: "rdkafka-2e", ClientID: "rdkafka", Host: "10.0.0.9", Partitions: []kafka.TopicPartition{{Topic: kafka.TopicEvents, Partition: 1}, {Topic: kafka.TopicEvents, Partition: 2}}},
	}}
	found := foreignMembers(d)
	if len(found) != 1 || found[0].Result != checkFail || found[0].Next == "" {
		t.Fatalf("%+v", found)
	}
	for _, what := range []string{"rdkafka", "10.0.0.9", kafka.GroupRules, "2 partitions"} {
		if !strings.Contains(found[0].Detail, what) {
			t.Errorf("%q does not say %s", found[0].Detail, what)
		}
	}
	d.Members = d.Members[:1]
	if found := foreignMembers(d); len(found) != 0 {
		t.Errorf("the engine's own: %+v", found)
	}
}
