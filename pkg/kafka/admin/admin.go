package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// Client reads and changes what a cluster knows about topics, offsets and groups. It is safe for concurrent use.
type Client struct {
	cfg    kafka.Config
	client *kgo.Client
	kadm   *kadm.Client
}

// Topic is what the cluster says about one topic.
type Topic struct {
	Name              string
	ID                [16]byte // KIP-516; another one under the same name is another topic
	Partitions        int32
	ReplicationFactor int16
}

// Member is one living member of a group.
type Member struct {
	ID, ClientID, Host string
	InstanceID         string // of a static member (KIP-345); "" of another
	Partitions         []kafka.TopicPartition
}

// Consumer is a group's state, in Kafka's words: Empty, Stable, PreparingRebalance, CompletingRebalance or Dead.
type Group struct {
	Group   string
	State   string
	Members []Member
}

// Inactive reports whether offsets may be reset: the group has no members.
func (g Group) Inactive() bool { return g.State == "Empty" || g.State == "Dead" }

// New opens an admin client. It does not wait for a broker.
func New(cfg kafka.Config) (*Client, error) {
	opts, err := cfg.Options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: open admin client: %w", err)
	}
	return &Client{cfg: cfg, client: client, kadm: kadm.NewClient(client)}, nil
}

// Close closes the client.
func (a *Client) Close() { a.kadm.Close() }

// Config is what the client was opened with.
func (a *Client) Config() kafka.Config { return a.cfg }

// KAdm is the client underneath, for packages below pkg/kafka only.
func (a *Client) KAdm() *kadm.Client { return a.kadm }

// KGo is the client under KAdm, for packages below pkg/kafka only.
func (a *Client) KGo() *kgo.Client { return a.client }

// Ping asks a broker for an answer. It goes over the network: what the client remembers of the cluster does not count.
func (a *Client) Ping(ctx context.Context) error {
	if err := a.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: ping: %w", err)
	}
	return nil
}

// Topics describes topics; one that does not exist is absent from the answer. Without names it describes all but the
// cluster's internal ones.
func (a *Client) Topics(ctx context.Context, topics ...string) (map[string]Topic, error) {
	list := a.kadm.ListTopics
	if len(topics) > 0 {
		list = a.kadm.ListTopicsWithInternal
	}
	details, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: describe topics: %w", err)
	}
	out := make(map[string]Topic, len(details))
	for name, d := range details {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("kafka: describe topic %s: %w", name, d.Err)
		default:
			out[name] = Topic{
				Name: name, ID: d.ID,
				Partitions:        int32(len(d.Partitions)),
				ReplicationFactor: int16(d.Partitions.NumReplicas()),
			}
		}
	}
	return out, nil
}

// TopicIDs returns the ids of topics (KIP-516); a missing topic is an error.
func (a *Client) TopicIDs(ctx context.Context, topics ...string) (map[string][16]byte, error) {
	have, err := a.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := make(map[string][16]byte, len(topics))
	for _, name := range topics {
		t, ok := have[name]
		if !ok {
			return nil, fmt.Errorf("kafka: topic %s does not exist", name)
		}
		out[name] = t.ID
	}
	return out, nil
}

// TopicConfigs returns the effective configuration of topics, keys as Kafka names them.
func (a *Client) TopicConfigs(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	answer, err := a.kadm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: describe topic configurations: %w", err)
	}
	out := make(map[string]map[string]string, len(answer))
	for _, r := range answer {
		if r.Err != nil {
			return nil, fmt.Errorf("kafka: describe configuration of topic %s: %w", r.Name, r.Err)
		}
		m := make(map[string]string, len(r.Configs))
		for _, c := range r.Configs {
			m[c.Key] = c.MaybeValue()
		}
		out[r.Name] = m
	}
	return out, nil
}

// DescribeGroup returns a group's state and members. A group that does not exist is Dead.
func (a *Client) DescribeGroup(ctx context.Context, group string) (Group, error) {
	answer, err := a.kadm.DescribeGroups(ctx, group)
	if err != nil {
		return Group{}, fmt.Errorf("kafka: describe group %s: %w", group, err)
	}
	d := answer[group]
	// Since DescribeGroups v6 (KIP-1043) an unknown group is an error; before, it was Dead.
	if errors.Is(d.Err, kerr.GroupIDNotFound) {
		return Group{Group: group, State: "Dead"}, nil
	}
	if d.Err != nil {
		return Group{}, fmt.Errorf("kafka: describe group %s: %w", group, d.Err)
	}
	out := Group{Group: group, State: d.State}
	for _, m := range d.Members {
		member := Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost}
		if m.InstanceID != nil {
			member.InstanceID = *m.InstanceID
		}
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				for _, p := range t.Partitions {
					member.Partitions = append(member.Partitions, kafka.TopicPartition{Topic: t.Topic, Partition: p})
				}
			}
		}
		kafka.SortPartitions(member.Partitions)
		out.Members = append(out.Members, member)
	}
	return out, nil
}

// ListGroups names all groups of the cluster, sorted.
func (a *Client) ListGroups(ctx context.Context) ([]string, error) {
	groups, err := a.kadm.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafka: list groups: %w", err)
	}
	return slices.Sorted(maps.Keys(groups)), nil
}

// LandingTopics lists the landing topics that exist, with their ids. It asks for all names and picks by hand: no reader subscribes by a
// pattern, which the broker would resolve for the client's rights and not by what a landing topic is.
func (a *Client) LandingTopics(ctx context.Context) (map[string]Topic, error) {
	all, err := a.Topics(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(name string, _ Topic) bool { _, ok := kafka.LandingTenant(name); return !ok })
	return all, nil
}
