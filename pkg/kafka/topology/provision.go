package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Options size a cluster.
type Options struct {
	Partitions        int32 // of every topic but _schemas, fixed for life; 0 means 6 on a laptop, else 48
	ReplicationFactor int16 // 0 means 1 on a laptop, else 3
	Laptop            bool  // one broker: replication 1 and min.insync.replicas 1 are enough
}

func (o Options) filled() Options {
	if o.Partitions == 0 {
		o.Partitions = 48
		if o.Laptop {
			o.Partitions = 6
		}
	}
	if o.ReplicationFactor == 0 {
		o.ReplicationFactor = 3
		if o.Laptop {
			o.ReplicationFactor = 1
		}
	}
	return o
}

func (o Options) minInsync() string {
	if o.Laptop {
		return "1"
	}
	return "2"
}

// The actions of a Change.
const (
	ActionCreate = "create" // the topic is missing
	ActionAlter  = "alter"  // a setting differs
	ActionRefuse = "refuse" // it differs in what can't be changed in place; a person has to decide
)

// Change is one thing that provisioning does, or would do.
type Change struct {
	Topic  string `json:"topic"`
	Action string `json:"action"`
	Detail string `json:"detail"`

	partitions int32
	configs    map[string]string
}

// cluster is what planning needs to know of one.
type cluster struct {
	topics  map[string]admin.Topic
	configs map[string]map[string]string
}

// Plan says what Provision would change. An empty plan means that the cluster is as declared.
func Plan(ctx context.Context, cfg kafka.Config, opt Options) ([]Change, error) {
	return withAdmin(cfg, func(a *admin.Client) ([]Change, error) { return topicChanges(ctx, a, opt.filled()) })
}

// Provision creates the declared topics and sets their configuration. It is idempotent and returns what it did. When
// something can't be changed in place it changes nothing and returns the plan with an error.
func Provision(ctx context.Context, cfg kafka.Config, opt Options) ([]Change, error) {
	opt = opt.filled()
	return withAdmin(cfg, func(a *admin.Client) ([]Change, error) {
		changes, err := topicChanges(ctx, a, opt)
		if err != nil {
			return nil, err
		}
		if err := refused(changes); err != nil {
			return changes, err
		}
		for i, c := range changes {
			if err := apply(ctx, a, c, opt); err != nil {
				return changes[:i], err
			}
		}
		return changes, nil
	})
}

func withAdmin(cfg kafka.Config, fn func(*admin.Client) ([]Change, error)) ([]Change, error) {
	a, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return fn(a)
}

func topicChanges(ctx context.Context, a *admin.Client, opt Options) ([]Change, error) {
	c, declared, err := readCluster(ctx, a)
	if err != nil {
		return nil, err
	}
	return planTopics(declared, c, opt), nil
}

func readCluster(ctx context.Context, a *admin.Client) (cluster, []Topic, error) {
	declared, err := Topics()
	if err != nil {
		return cluster{}, nil, err
	}
	names := make([]string, len(declared))
	for i, d := range declared {
		names[i] = d.Name
	}
	c, err := readTopics(ctx, a, names...)
	return c, declared, err
}

// readTopics describes those of the topics that exist.
func readTopics(ctx context.Context, a *admin.Client, names ...string) (c cluster, err error) {
	if c.topics, err = a.Topics(ctx, names...); err != nil {
		return cluster{}, err
	}
	c.configs, err = a.TopicConfigs(ctx, slices.Sorted(maps.Keys(c.topics))...)
	return c, err
}

// planTopics compares what is declared with what is there.
func planTopics(declared []Topic, have cluster, opt Options) []Change {
	var changes []Change
	for _, d := range declared {
		want := maps.Clone(d.Config)
		want["min.insync.replicas"] = opt.minInsync()
		partitions := int32(1)
		if d.perCluster() {
			partitions = opt.Partitions
		}
		t, exists := have.topics[d.Name]
		if !exists {
			changes = append(changes, Change{Topic: d.Name, Action: ActionCreate, partitions: partitions, configs: want,
				Detail: fmt.Sprintf("does not exist; %d partitions, replication factor %d, %s", partitions, opt.ReplicationFactor, settings(want))})
			continue
		}
		if t.Partitions != partitions {
			changes = append(changes, Change{Topic: d.Name, Action: ActionRefuse,
				Detail: fmt.Sprintf("has %d partitions instead of %d; the count is fixed for life, because keys would move", t.Partitions, partitions)})
		}
		if t.ReplicationFactor < opt.ReplicationFactor {
			changes = append(changes, Change{Topic: d.Name, Action: ActionRefuse,
				Detail: fmt.Sprintf("has replication factor %d instead of %d; raise it with kafka-reassign-partitions.sh", t.ReplicationFactor, opt.ReplicationFactor)})
		}
		differ := make(map[string]string)
		for key, w := range want {
			// A broker that does not know a setting does not report it (kfake has no elections, unclean or not).
			if h, reported := have.configs[d.Name][key]; reported && !satisfies(key, w, h) {
				differ[key] = w
			}
		}
		if len(differ) > 0 {
			changes = append(changes, Change{Topic: d.Name, Action: ActionAlter, Detail: "set " + settings(differ), configs: differ})
		}
	}
	return changes
}

func refused(changes []Change) error {
	var errs []error
	for _, c := range changes {
		if c.Action == ActionRefuse {
			errs = append(errs, fmt.Errorf("kafka: topic %s %s", c.Topic, c.Detail))
		}
	}
	return errors.Join(errs...)
}

func settings(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, " ")
}

func apply(ctx context.Context, a *admin.Client, c Change, opt Options) error {
	switch c.Action {
	case ActionCreate:
		configs := make(map[string]*string, len(c.configs))
		for k, v := range c.configs {
			configs[k] = kadm.StringPtr(v)
		}
		_, err := a.KAdm().CreateTopic(ctx, c.partitions, opt.ReplicationFactor, configs, c.Topic)
		// A broker whose answer came late or was lost is asked again, and says so; or somebody else provisions at the same time.
		if errors.Is(err, kerr.TopicAlreadyExists) {
			err = madeAlready(ctx, a, c, opt)
		}
		if err != nil {
			return fmt.Errorf("kafka: create topic %s: %w", c.Topic, err)
		}
		return waitForTopic(ctx, a, c.Topic, c.partitions)
	case ActionAlter:
		var alter []kadm.AlterConfig
		for k, v := range c.configs {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: kadm.StringPtr(v)})
		}
		answer, err := a.KAdm().AlterTopicConfigs(ctx, alter, c.Topic)
		for _, r := range answer {
			err = errors.Join(err, r.Err)
		}
		if err != nil {
			return fmt.Errorf("kafka: alter topic %s: %w", c.Topic, err)
		}
	}
	return nil
}

// madeAlready is nil if the topic that a change is to create is there just as the change would have made it.
func madeAlready(ctx context.Context, a *admin.Client, c Change, opt Options) error {
	for { // the broker that is asked may hear of it later
		topics, err := a.Topics(ctx, c.Topic)
		if err != nil {
			return err
		}
		t, ok := topics[c.Topic]
		if !ok {
			if backoff.Wait(ctx, 50*time.Millisecond) != nil {
				return ctx.Err()
			}
			continue
		}
		have, err := a.TopicConfigs(ctx, c.Topic)
		if err != nil {
			return err
		}
		if t.Partitions != c.partitions || t.ReplicationFactor != opt.ReplicationFactor {
			return fmt.Errorf("it was made meanwhile, with %d partitions and replication factor %d", t.Partitions, t.ReplicationFactor)
		}
		for k, v := range c.configs {
			if have[c.Topic][k] != v {
				return fmt.Errorf("it was made meanwhile, with %s=%s", k, have[c.Topic][k])
			}
		}
		return nil
	}
}

// waitForTopic waits until every broker that is up knows a new topic with leaders for all its partitions: creation answers earlier, and
// a service that checks right after it may ask the one broker that has not heard of the topic.
func waitForTopic(ctx context.Context, a *admin.Client, topic string, partitions int32) error {
	for {
		missing, err := doNotKnow(ctx, a, topic, partitions)
		if err == nil && len(missing) == 0 {
			// The client itself may go by what it was told a moment before.
			var told map[string]admin.Topic
			if told, err = a.Topics(ctx, topic); err == nil && told[topic].Partitions == partitions {
				return nil
			}
		}
		if backoff.Wait(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("kafka: topic %s was created but has no leaders yet, or brokers %v do not know it: %w", topic, missing, errors.Join(ctx.Err(), err))
		}
	}
}

// doNotKnow returns the brokers, by id, that do not know a topic as it was created.
func doNotKnow(ctx context.Context, a *admin.Client, topic string, partitions int32) (missing []int32, err error) {
	brokers, err := a.KAdm().ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	for _, b := range brokers {
		answer, err := a.KGo().Broker(int(b.NodeID)).Request(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("ask broker %d: %w", b.NodeID, err)
		}
		if topics := answer.(*kmsg.MetadataResponse).Topics; len(topics) != 1 || topics[0].ErrorCode != 0 || len(topics[0].Partitions) != int(partitions) || !led(topics[0].Partitions) {
			missing = append(missing, b.NodeID)
		}
	}
	return missing, nil
}

func led(partitions []kmsg.MetadataResponseTopicPartition) bool {
	for _, p := range partitions {
		if p.ErrorCode != 0 || p.Leader < 0 {
			return false
		}
	}
	return true
}
