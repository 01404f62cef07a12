package topology

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Finding is one setting under which Kafka may lose, reorder or refuse what the engine relies on.
type Finding struct {
	Where   string // a topic, or "broker <id>"
	Setting string // as Kafka names it, or partitions, replication factor
	Value   string // what is there
	Want    string
	Why     string // what is lost
	Repair  string // the command that repairs it
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: has %s %s instead of %s; %s; repair: %s", f.Where, f.Setting, f.Value, f.Want, f.Why, f.Repair)
}

const (
	repairProvision = "neuronx provision --execute"
	minReplicas     = 3
	minInsync       = 2
	// Kafka's own default. The groups' offsets are an output, but their metadata tells an operator's reset from our commits.
	minOffsetsRetention = 7 * 24 * time.Hour
)

// why says what a wrong topic setting costs.
var why = map[string]string{
	"cleanup.policy":                 "compaction deletes events that consumers and the archive have not read",
	"retention.ms":                   "what was not read in that time is deleted unread",
	"retention.bytes":                "what was not read before the partition grew over it is deleted unread",
	"message.timestamp.type":         "positions are made of the broker's append times; a producer's clock would order, expire and delete events",
	"max.message.bytes":              "what ingress has acknowledged would not fit, and its partition would stand still",
	"unclean.leader.election.enable": "a replica that lags may become leader, and what was acknowledged after it is gone",
	"min.insync.replicas":            "an acknowledged record may exist once, and is gone with that disk",
}

// findTopics compares what is declared with what is there. It is pure. laptop accepts one replica.
func findTopics(declared []Topic, have cluster, laptop bool) []Finding {
	var out []Finding
	count := have.topics[kafka.TopicIngress].Partitions // what the cluster was provisioned with
	for _, d := range declared {
		t, exists := have.topics[d.Name]
		if !exists {
			out = append(out, Finding{d.Name, "existence", "none", "a topic as declared", "nothing can be written or read", repairProvision})
			continue
		}
		partitions := int32(1)
		if d.perCluster() {
			partitions = count
		}
		if t.Partitions != partitions && count > 0 {
			out = append(out, Finding{d.Name, "partitions", fmt.Sprint(t.Partitions), fmt.Sprint(partitions),
				"partition p of ingress is sequenced into partition p of the others, and keys would move",
				"kafka-topics.sh --delete --topic " + d.Name + " (only while it is empty: the count is fixed for life), then " + repairProvision})
		}
		if !laptop && t.ReplicationFactor < minReplicas {
			out = append(out, Finding{d.Name, "replication factor", fmt.Sprint(t.ReplicationFactor), fmt.Sprint(minReplicas),
				"a broker's disk takes acknowledged records with it", moreReplicas(d.Name)})
		}
		out = append(out, findSettings(d, have.configs[d.Name], t.ReplicationFactor, laptop)...)
	}
	return out
}

func findSettings(d Topic, have map[string]string, replicas int16, laptop bool) []Finding {
	want := maps.Clone(d.Config)
	if want["retention.bytes"] == "" && want["cleanup.policy"] != "compact" {
		want["retention.bytes"] = "-1"
	}
	if !laptop {
		want["min.insync.replicas"] = strconv.Itoa(minInsync)
	}
	var out []Finding
	for _, key := range slices.Sorted(maps.Keys(want)) {
		// A broker that does not know a setting does not report it (kfake has no elections, unclean or not).
		h, reported := have[key]
		if !reported || satisfies(key, want[key], h) {
			continue
		}
		f := Finding{d.Name, key, h, want[key], cmp.Or(why[key], "it is not what topics.yaml declares"), repairProvision}
		if d.Config[key] == "" && key != "min.insync.replicas" {
			f.Repair = alterTopic(d.Name, key, want[key])
		}
		out = append(out, f)
	}
	insync, err := strconv.Atoi(have["min.insync.replicas"])
	if err == nil && !laptop && replicas >= minReplicas && insync >= int(replicas) {
		out = append(out, Finding{d.Name, "min.insync.replicas", fmt.Sprint(insync), fmt.Sprint(minInsync),
			"with as many in-sync replicas wanted as there are, one broker's restart stops every write",
			alterTopic(d.Name, "min.insync.replicas", strconv.Itoa(minInsync))})
	}
	return out
}

func moreReplicas(topic string) string {
	return fmt.Sprintf("kafka-reassign-partitions.sh --execute --reassignment-json-file FILE, with %d replicas for each partition of %s", minReplicas, topic)
}

func alterTopic(topic, key, value string) string {
	return fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s", topic, key, value)
}

// brokers is what is asked of the brokers themselves, by node id.
type brokers struct {
	configs  map[int32]map[string]string
	internal map[string]admin.Topic // Kafka's own topics, as far as they exist
}

// findBrokers judges what no topic can set. It is pure. What a broker does not report is not judged.
func findBrokers(b brokers, laptop bool) []Finding {
	var out []Finding
	for _, id := range slices.Sorted(maps.Keys(b.configs)) {
		where, have := fmt.Sprintf("broker %d", id), b.configs[id]
		file := func(key, value string) string {
			return fmt.Sprintf("set %s=%s in the properties of every broker and restart them one by one", key, value)
		}
		if v := have["auto.create.topics.enable"]; v == "true" && !laptop {
			out = append(out, Finding{where, "auto.create.topics.enable", v, "false",
				"a wrong name, or a topic that was lost, comes back as an empty one with other settings, and nobody notices",
				file("auto.create.topics.enable", "false")})
		}
		atLeast := func(key string, least int64, unit time.Duration, why string) {
			n, err := strconv.ParseInt(have[key], 10, 64)
			if err == nil && n < least {
				in := func(n int64) string {
					if unit == 1 {
						return fmt.Sprint(n)
					}
					return fmt.Sprintf("%d (%s)", n, time.Duration(n)*unit)
				}
				out = append(out, Finding{where, key, in(n), "at least " + in(least), why, file(key, fmt.Sprint(least))})
			}
		}
		atLeast("transaction.max.timeout.ms", kafka.TxnTimeout.Milliseconds(), time.Millisecond, "the sequencer's transactions are refused, so nothing is admitted")
		atLeast("offsets.retention.minutes", int64(minOffsetsRetention/time.Minute), time.Minute,
			"the offsets of a group that is down for longer expire, and a restored ledger is not recognised by them")
		if !laptop {
			atLeast("transaction.state.log.min.isr", minInsync, 1, "a commit may be known to one broker only, and be gone with it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.internal)) {
		if t := b.internal[name]; !laptop && t.ReplicationFactor < minReplicas {
			out = append(out, Finding{name, "replication factor", fmt.Sprint(t.ReplicationFactor), fmt.Sprint(minReplicas),
				"offsets and transactions are as safe as this topic", moreReplicas(name)})
		}
	}
	return out
}

// Findings returns everything about the cluster that loses data: topics always, the brokers' own settings when withBrokers is set.
// laptop accepts one replica and topics that make themselves. An error says that the cluster could not be asked.
func Findings(ctx context.Context, cfg kafka.Config, laptop, withBrokers bool) ([]Finding, error) {
	a, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	have, declared, err := readCluster(ctx, a)
	if err != nil {
		return nil, err
	}
	out := findTopics(declared, have, laptop)
	if !withBrokers {
		return out, nil
	}
	b, err := readBrokers(ctx, a)
	if err != nil {
		return out, err
	}
	return append(out, findBrokers(b, laptop)...), nil
}

func readBrokers(ctx context.Context, a *admin.Client) (brokers, error) {
	b := brokers{configs: map[int32]map[string]string{}}
	list, err := a.KAdm().ListBrokers(ctx)
	if err != nil {
		return b, fmt.Errorf("kafka: list brokers: %w", err)
	}
	answer, err := a.KAdm().DescribeBrokerConfigs(ctx, list.NodeIDs()...)
	if err != nil {
		return b, fmt.Errorf("kafka: describe the brokers' configuration: %w", err)
	}
	for _, r := range answer {
		if r.Err != nil {
			return b, fmt.Errorf("kafka: describe the configuration of broker %s: %w", r.Name, r.Err)
		}
		id, err := strconv.ParseInt(r.Name, 10, 32)
		if err != nil {
			continue
		}
		m := make(map[string]string, len(r.Configs))
		for _, c := range r.Configs {
			m[c.Key] = c.MaybeValue()
		}
		b.configs[int32(id)] = m
	}
	b.internal, err = a.Topics(ctx, "__consumer_offsets", "__transaction_state")
	return b, err
}

// Check fails, naming every finding and what repairs it, unless the declared topics exist, with settings that lose nothing and
// equal partition counts. laptop accepts one replica. Services call it at their start and create nothing themselves.
func Check(ctx context.Context, cfg kafka.Config, laptop bool) error {
	found, err := Findings(ctx, cfg, laptop, false)
	if err != nil || len(found) == 0 {
		return cfg.Fault(err)
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = f.String()
	}
	return app.Fatal(fmt.Errorf("kafka: the topics are not as declared, and data may be lost (%s); `neuronx provision` shows what would change, "+
		"`neuronx provision --execute` does it, `neuronx doctor` lists everything; --laptop accepts a single replica", strings.Join(lines, " | ")))
}
