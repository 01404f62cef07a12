package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Isolation is Kafka's isolation level of a read or of an offset listing.
type Isolation int8

// ReadUncommitted ends at the high water mark, ReadCommitted at the last stable offset.
const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// Admin reads and changes what a cluster knows about topics, offsets and groups.
type Admin struct {
	kadm *kadm.Client
}

// Topic is what the cluster says about one topic.
type Topic struct {
	Name              string
	ID                [16]byte
	Partitions        int32
	ReplicationFactor int16
}

// Committed is what a group has committed for a partition; Present is false when it has nothing.
type Committed struct {
	Offset   int64
	Metadata string
	Present  bool
}

// OffsetAt is the answer to "the first offset at or after a time": Found is false when nothing is as young.
type OffsetAt struct {
	Offset int64
	Found  bool
}

// GroupMember is one living member of a group.
type GroupMember struct {
	ID, ClientID, Host string
	Partitions         []TopicPartition
}

// GroupDescription is a group's state: Empty, Stable, PreparingRebalance, CompletingRebalance, Dead.
type GroupDescription struct {
	Group   string
	State   string
	Members []GroupMember
}

// NewAdmin opens an admin client.
func NewAdmin(cfg Config) (*Admin, error) { return nil, errors.New("kafka: admin not built yet") }

// Close closes the client.
func (a *Admin) Close() {}

// KAdm is the client underneath, for packages below pkg/kafka only.
func (a *Admin) KAdm() *kadm.Client { return a.kadm }

// Ping asks a broker for metadata.
func (a *Admin) Ping(ctx context.Context) error { return nil }

// Topics describes topics; one that does not exist is absent from the answer. No argument means all.
func (a *Admin) Topics(ctx context.Context, topics ...string) (map[string]Topic, error) {
	return nil, nil
}

// TopicIDs returns the ids of topics (KIP-516); a missing topic is an error.
func (a *Admin) TopicIDs(ctx context.Context, topics ...string) (map[string][16]byte, error) {
	return nil, nil
}

// StartOffsets returns the first offset that each partition still holds.
func (a *Admin) StartOffsets(ctx context.Context, topics ...string) (map[TopicPartition]int64, error) {
	return nil, nil
}

// EndOffsets returns the offset after the last record: the high water mark, or the last stable offset.
func (a *Admin) EndOffsets(ctx context.Context, isolation Isolation, topics ...string) (map[TopicPartition]int64, error) {
	return nil, nil
}

// OffsetsAfter returns the first offsets whose timestamps are at or after t.
func (a *Admin) OffsetsAfter(ctx context.Context, t time.Time, topics ...string) (map[TopicPartition]OffsetAt, error) {
	return nil, nil
}

// Committed returns everything that a group has committed, with metadata. Partitions without a commit are absent.
func (a *Admin) Committed(ctx context.Context, group string) (map[TopicPartition]Committed, error) {
	return nil, nil
}

// Commit writes offsets with metadata for a group that has no members.
func (a *Admin) Commit(ctx context.Context, group string, offsets map[TopicPartition]Committed) error {
	return nil
}

// DescribeGroup returns a group's state and members. A group that does not exist is Dead.
func (a *Admin) DescribeGroup(ctx context.Context, group string) (GroupDescription, error) {
	return GroupDescription{}, nil
}

// ListGroups names all groups of the cluster, sorted.
func (a *Admin) ListGroups(ctx context.Context) ([]string, error) { return nil, nil }

// DeleteRecords trims partitions: offsets below the given ones are gone.
func (a *Admin) DeleteRecords(ctx context.Context, before map[TopicPartition]int64) error { return nil }

// TopicConfigs returns the effective configuration of topics.
func (a *Admin) TopicConfigs(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	return nil, nil
}
