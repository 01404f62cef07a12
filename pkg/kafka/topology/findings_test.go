package topology

import (
	"maps"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// safe is a cluster as it should be.
func safe(t *testing.T) ([]Topic, cluster) {
	t.Helper()
	declared, err := Topics()
	if err != nil {
		t.Fatal(err)
	}
	have := cluster{topics: map[string]admin.Topic{}, configs: map[string]map[string]string{}}
	for _, d := range declared {
		n := int32(1)
		if d.perCluster() {
			n = 48
		}
		have.topics[d.Name] = admin.Topic{Name: d.Name, Partitions: n, ReplicationFactor: 3}
		have.configs[d.Name] = maps.Clone(d.Config)
		have.configs[d.Name]["min.insync.replicas"] = "2"
		have.configs[d.Name]["retention.bytes"] = "-1"
	}
	return declared, have
}

func TestFindTopics_NamesEverySettingThatLosesData(t *testing.T) {
	declared, have := safe(t)
	if got := findTopics(declared, have, false); len(got) != 0 {
		t.Fatalf("a safe cluster: %v", got)
	}
	set := func(topic, key, value string) func(cluster) {
		return func(c cluster) { c.configs[topic][key] = value }
	}
	replicas := func(n int16) func(cluster) {
		return func(c cluster) {
			x := c.topics[kafka.TopicEvents]
			x.ReplicationFactor = n
			c.topics[kafka.TopicEvents] = x
		}
	}
	for name, tc := range map[string]struct {
		change         func(cluster)
		where, setting string
		value, repair  string
		laptopAccepts  bool
	}{
		"one replica":      {replicas(1), kafka.TopicEvents, "replication factor", "1", "kafka-reassign-partitions.sh", true},
		"two replicas":     {replicas(2), kafka.TopicEvents, "replication factor", "2", "kafka-reassign-partitions.sh", true},
		"one in sync":      {set(kafka.TopicIngress, "min.insync.replicas", "1"), kafka.TopicIngress, "min.insync.replicas", "1", repairProvision, true},
		"all in sync":      {set(kafka.TopicIngress, "min.insync.replicas", "3"), kafka.TopicIngress, "min.insync.replicas", "3", "min.insync.replicas=2", true},
		"producers' times": {set(kafka.TopicIngress, "message.timestamp.type", "CreateTime"), kafka.TopicIngress, "message.timestamp.type", "CreateTime", repairProvision, false},
		"small records":    {set(kafka.TopicEvents, "max.message.bytes", "1048576"), kafka.TopicEvents, "max.message.bytes", "1048576", repairProvision, false},
		"unclean leaders":  {set(kafka.TopicState, "unclean.leader.election.enable", "true"), kafka.TopicState, "unclean.leader.election.enable", "true", repairProvision, false},
		"compaction":       {set(kafka.TopicEvents, "cleanup.policy", "compact,delete"), kafka.TopicEvents, "cleanup.policy", "compact,delete", repairProvision, false},
		"a week":           {set(kafka.TopicIngress, "retention.ms", "604800000"), kafka.TopicIngress, "retention.ms", "604800000", repairProvision, false},
		"a gigabyte":       {set(kafka.TopicEvents, "retention.bytes", "1073741824"), kafka.TopicEvents, "retention.bytes", "1073741824", "kafka-configs.sh --alter", false},
		"another count": {func(c cluster) {
			c.topics[kafka.TopicDeadLetter] = admin.Topic{Name: kafka.TopicDeadLetter, Partitions: 6, ReplicationFactor: 3}
		}, kafka.TopicDeadLetter, "partitions", "6", "fixed for life", false},
		"no topic": {func(c cluster) { delete(c.topics, kafka.TopicReceipts) }, kafka.TopicReceipts, "existence", "none", repairProvision, false},
	} {
		declared, have := safe(t)
		tc.change(have)
		got := findTopics(declared, have, false)
		if len(got) != 1 {
			t.Errorf("%s: %v", name, got)
			continue
		}
		if f := got[0]; f.Where != tc.where || f.Setting != tc.setting || f.Value != tc.value || f.Why == "" || !strings.Contains(f.Repair, tc.repair) {
			t.Errorf("%s: %+v", name, f)
		}
		if laptop := findTopics(declared, have, true); (len(laptop) == 0) != tc.laptopAccepts {
			t.Errorf("%s on a laptop: %v", name, laptop)
		}
	}
}

func TestFindTopics_AcceptsMoreRoomThanDeclared(t *testing.T) {
	declared, have := safe(t)
	have.configs[kafka.TopicIngress]["max.message.bytes"] = "9999999"
	x := have.topics[kafka.TopicEvents]
	x.ReplicationFactor = 5
	have.topics[kafka.TopicEvents], have.configs[kafka.TopicEvents]["min.insync.replicas"] = x, "3"
	if got := findTopics(declared, have, false); len(got) != 0 {
		t.Error(got)
	}
}

func TestFindBrokers_NamesWhatNoTopicCanSet(t *testing.T) {
	good := map[string]string{"auto.create.topics.enable": "false", "transaction.max.timeout.ms": "900000", "offsets.retention.minutes": "10080", "transaction.state.log.min.isr": "2"}
	with := func(key, value string) brokers {
		m := maps.Clone(good)
		m[key] = value
		return brokers{configs: map[int32]map[string]string{1: good, 2: m}}
	}
	if got := findBrokers(brokers{configs: map[int32]map[string]string{1: good, 2: {}}}, false); len(got) != 0 {
		t.Fatalf("good brokers: %v", got)
	}
	for name, tc := range map[string]struct {
		have          brokers
		setting       string
		laptopAccepts bool
	}{
		"topics that make themselves": {with("auto.create.topics.enable", "true"), "auto.create.topics.enable", true},
		"short transactions":          {with("transaction.max.timeout.ms", "5000"), "transaction.max.timeout.ms", false},
		"offsets for a day":           {with("offsets.retention.minutes", "1440"), "offsets.retention.minutes", false},
		"commits on one broker":       {with("transaction.state.log.min.isr", "1"), "transaction.state.log.min.isr", true},
		"offsets once": {brokers{internal: map[string]admin.Topic{"__consumer_offsets": {Name: "__consumer_offsets", ReplicationFactor: 1}}},
			"replication factor", true},
	} {
		got := findBrokers(tc.have, false)
		if len(got) != 1 || got[0].Setting != tc.setting || got[0].Why == "" || got[0].Repair == "" {
			t.Errorf("%s: %v", name, got)
		}
		if laptop := findBrokers(tc.have, true); (len(laptop) == 0) != tc.laptopAccepts {
			t.Errorf("%s on a laptop: %v", name, laptop)
		}
	}
}
