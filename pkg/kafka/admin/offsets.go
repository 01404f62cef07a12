package admin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
)

// Isolation is Kafka's isolation level of a read or of an offset listing.
type Isolation int8

// ReadUncommitted ends at the high water mark, ReadCommitted at the last stable offset, which lags the commit of a
// transaction by some milliseconds.
const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// OffsetAt answers "which is the first record at or after a time": Found is false when none is as young.
type OffsetAt struct {
	Offset int64
	Found  bool
}

// ErrGroupActive says that offsets were not committed because the group has members.
var ErrGroupActive = errors.New("kafka: the group has active members")

// StartOffsets returns the first offset that each partition still holds. With an error, which may be of one topic that is gone or of one
// partition that has no leader, it returns those that are known.
func (a *Client) StartOffsets(ctx context.Context, topics ...string) (map[kafka.TopicPartition]int64, error) {
	listed, err := a.kadm.ListStartOffsets(ctx, topics...)
	return byPartition("start offsets", listed, err, offsetOf)
}

// EndOffsets returns the offset after the last record: the high water mark, or the last stable offset. With an error it returns those that are
// known, as StartOffsets does.
func (a *Client) EndOffsets(ctx context.Context, isolation Isolation, topics ...string) (map[kafka.TopicPartition]int64, error) {
	if isolation == ReadCommitted {
		listed, err := a.kadm.ListCommittedOffsets(ctx, topics...)
		return byPartition("last stable offsets", listed, err, offsetOf)
	}
	listed, err := a.kadm.ListEndOffsets(ctx, topics...)
	return byPartition("end offsets", listed, err, offsetOf)
}

// OffsetsAfter returns the first offsets whose timestamps are at or after t. With an error it returns those that are known, as StartOffsets does.
func (a *Client) OffsetsAfter(ctx context.Context, t time.Time, topics ...string) (map[kafka.TopicPartition]OffsetAt, error) {
	// Where nothing is as young, kadm answers with the end of the log, which has no timestamp.
	listed, err := a.kadm.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topics...)
	return byPartition("offsets by time", listed, err, func(o kadm.ListedOffset) OffsetAt {
		return OffsetAt{Offset: o.Offset, Found: o.Timestamp >= 0}
	})
}

// Kafka's own topics: the groups' offsets, and the coordinators' log of transactions.
const (
	offsetsTopic  = "__consumer_offsets"
	TxnStateTopic = "__transaction_state"
)

// OffsetsPartition is where a group's offsets are kept.
func (a *Client) OffsetsPartition(ctx context.Context, group string) (kafka.TopicPartition, error) {
	return a.internalPartition(ctx, offsetsTopic, group)
}

// ErrNoTopic says that a topic does not exist, or does not exist yet.
var ErrNoTopic = errors.New("the topic does not exist")

// internalPartition is where one of Kafka's own topics keeps a name.
func (a *Client) internalPartition(ctx context.Context, topic, name string) (kafka.TopicPartition, error) {
	topics, err := a.Topics(ctx, topic)
	if err != nil {
		return kafka.TopicPartition{}, err
	}
	n := topics[topic].Partitions
	if n == 0 {
		return kafka.TopicPartition{}, fmt.Errorf("kafka: %s: %w", topic, ErrNoTopic)
	}
	return kafka.TopicPartition{Topic: topic, Partition: hashPartition(name, n)}, nil
}

// hashPartition is a name's partition of n as Kafka's coordinators have it: the absolute value of Java's String.hashCode, 0 for the one that has
// none (Utils.abs), over n.
func hashPartition(name string, n int32) int32 {
	var h int32
	for _, c := range utf16.Encode([]rune(name)) {
		h = 31*h + int32(c)
	}
	if h == math.MinInt32 {
		return 0
	}
	return max(h, -h) % n
}

// byPartition keeps what is known, whatever the error: a partition without a leader fails the whole answer of the client.
func byPartition[V any](what string, listed kadm.ListedOffsets, failed error, value func(kadm.ListedOffset) V) (map[kafka.TopicPartition]V, error) {
	out := make(map[kafka.TopicPartition]V)
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s-%d: %w", o.Topic, o.Partition, o.Err))
			return
		}
		out[kafka.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = value(o)
	})
	if failed != nil {
		return out, fmt.Errorf("kafka: list %s: %w", what, failed)
	}
	return out, nil
}

func offsetOf(o kadm.ListedOffset) int64 { return o.Offset }

// Committed returns everything that a group has committed, with metadata; partitions without a commit are absent. Offsets
// of a transaction that is still open are waited for (KIP-447), and so is a coordinator that is moving or has just been made with
// the first group of a cluster, both up to ctx.
func (a *Client) Committed(ctx context.Context, group string) (map[kafka.TopicPartition]kafka.Committed, error) {
	for {
		answer, err := a.kadm.FetchOffsets(kadm.RequireStable(ctx), group)
		if err == nil {
			err = answer.Error()
		}
		switch {
		case errors.Is(err, kerr.UnstableOffsetCommit), errors.Is(err, kerr.CoordinatorNotAvailable),
			errors.Is(err, kerr.CoordinatorLoadInProgress), errors.Is(err, kerr.NotCoordinator):
			if backoff.Wait(ctx, 50*time.Millisecond) != nil {
				return nil, fmt.Errorf("kafka: committed offsets of %s: %w", group, errors.Join(err, ctx.Err()))
			}
		case errors.Is(err, kerr.GroupIDNotFound):
			return map[kafka.TopicPartition]kafka.Committed{}, nil
		case err != nil:
			return nil, fmt.Errorf("kafka: committed offsets of %s: %w", group, err)
		default:
			out := make(map[kafka.TopicPartition]kafka.Committed)
			answer.Each(func(o kadm.OffsetResponse) {
				if o.At >= 0 {
					out[kafka.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = kafka.Committed{Group: group, Offset: o.At, Metadata: o.Metadata, Present: true}
				}
			})
			return out, nil
		}
	}
}

// Commit writes offsets with metadata for a group that has no members; one that has is ErrGroupActive. The leader epoch is
// left out on purpose: these are not positions that somebody read up to.
func (a *Client) Commit(ctx context.Context, group string, offsets map[kafka.TopicPartition]kafka.Committed) error {
	var os kadm.Offsets
	for tp, c := range offsets {
		os.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: c.Offset, LeaderEpoch: -1, Metadata: c.Metadata})
	}
	answer, err := a.kadm.CommitOffsets(ctx, group, os)
	if err == nil {
		err = answer.Error()
	}
	switch {
	case errors.Is(err, kerr.UnknownMemberID):
		return fmt.Errorf("kafka: commit offsets of %s: %w", group, ErrGroupActive)
	case err != nil:
		return fmt.Errorf("kafka: commit offsets of %s: %w", group, err)
	}
	return nil
}

// DeleteOffsets makes a group forget what it has committed for partitions; none that it has nothing for is an error. A group with members
// that read them is ErrGroupActive.
func (a *Client) DeleteOffsets(ctx context.Context, group string, of []kafka.TopicPartition) error {
	if len(of) == 0 {
		return nil
	}
	set := make(kadm.TopicsSet)
	for _, tp := range of {
		set.Add(tp.Topic, tp.Partition)
	}
	answer, err := a.kadm.DeleteOffsets(ctx, group, set)
	if err == nil {
		err = answer.Error()
	}
	switch {
	case errors.Is(err, kerr.GroupSubscribedToTopic), errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("kafka: delete offsets of %s: %w", group, ErrGroupActive)
	case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
		return fmt.Errorf("kafka: delete offsets of %s: %w", group, err)
	}
	return nil
}

// DeleteRecords trims partitions: records below the given offsets are gone.
func (a *Client) DeleteRecords(ctx context.Context, before map[kafka.TopicPartition]int64) error {
	var os kadm.Offsets
	for tp, at := range before {
		os.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: at})
	}
	answer, err := a.kadm.DeleteRecords(ctx, os)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return fmt.Errorf("kafka: delete records: %w", err)
	}
	return nil
}

// DeleteGroup removes a group without members and all that it has committed. One that does not exist is none; one that has members is
// ErrGroupActive.
func (a *Client) DeleteGroup(ctx context.Context, group string) error {
	answer, err := a.kadm.DeleteGroup(ctx, group)
	if err == nil {
		err = answer.Err
	}
	switch {
	case err == nil, errors.Is(err, kerr.GroupIDNotFound):
		return nil
	case errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("kafka: delete group %s: %w", group, ErrGroupActive)
	}
	return fmt.Errorf("kafka: delete group %s: %w", group, err)
}

// TxnStatePartition is where the coordinator's log keeps a transactional id.
func (a *Client) TxnStatePartition(ctx context.Context, id string) (kafka.TopicPartition, error) {
	return a.internalPartition(ctx, TxnStateTopic, id)
}
