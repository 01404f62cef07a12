package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// ExtraOffset is an offset of another topic than the session's, for work that goes with one of the session's partitions: the owner of that one
// does it. So a group can share out topics that come and go without a rebalance, and the group's generation fences their offsets as it does
// those of its own topic.
type ExtraOffset struct {
	kafka.TopicPartition
	TopicID [16]byte
	With    int32 // the partition of the session's topic
	Offset        // Assignment is that of With
}

// CommitExtra is Commit for offsets of other topics.
func (s *Session) CommitExtra(ctx context.Context, offsets []ExtraOffset) error {
	owned, topics := map[int32]Offset{}, map[string]*kmsg.TxnOffsetCommitRequestTopic{}
	for _, o := range offsets {
		if had, ok := owned[o.With]; ok && had.Assignment != o.Assignment {
			return ErrNotOwned
		}
		owned[o.With] = o.Offset
		if topics[o.Topic] == nil {
			rt := kmsg.NewTxnOffsetCommitRequestTopic()
			rt.Topic, rt.TopicID = o.Topic, o.TopicID
			topics[o.Topic] = &rt
		}
		topics[o.Topic].Partitions = append(topics[o.Topic].Partitions, o.commit(s.cfg.Group, o.Partition))
	}
	list := make([]kmsg.TxnOffsetCommitRequestTopic, 0, len(topics))
	for _, t := range topics {
		list = append(list, *t)
	}
	return s.commit(ctx, owned, list)
}

func (o Offset) commit(group string, partition int32) kmsg.TxnOffsetCommitRequestTopicPartition {
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	mark := kafka.MarkOf(o.Metadata, group, o.Next)
	rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = partition, o.Next, o.Epoch, &mark
	return rp
}

// StableOffsets returns what the group has committed for partitions of any topics; what it has nothing for is not Present. Those that
// are part of a transaction that is still open are absent: ask again (KIP-447). Partitions whose topic is gone are absent too.
func (s *Session) StableOffsets(ctx context.Context, of map[kafka.TopicPartition][16]byte) (map[kafka.TopicPartition]kafka.Committed, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = s.cfg.Group
	names := map[[16]byte]string{}
	at := map[string]int{}
	for tp, id := range of {
		i, ok := at[tp.Topic]
		if !ok {
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic, t.TopicID = tp.Topic, id
			i, names[id] = len(g.Topics), tp.Topic
			at[tp.Topic] = i
			g.Topics = append(g.Topics, t)
		}
		g.Topics[i].Partitions = append(g.Topics[i].Partitions, tp.Partition)
	}
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, s.session.Client())
	if err != nil {
		return nil, fmt.Errorf("kafka: fetch committed offsets: %w", err)
	}
	out := make(map[kafka.TopicPartition]kafka.Committed, len(of))
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, fmt.Errorf("kafka: fetch committed offsets: %w", err)
		}
		for _, t := range g.Topics {
			name := t.Topic
			if name == "" {
				name = names[t.TopicID]
			}
			for _, p := range t.Partitions {
				err := kerr.ErrorForCode(p.ErrorCode)
				switch {
				case errors.Is(err, kerr.UnstableOffsetCommit), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
					continue
				case err != nil:
					return nil, fmt.Errorf("kafka: fetch committed offset of %s-%d: %w", name, p.Partition, err)
				}
				c := kafka.Committed{Group: s.cfg.Group, Offset: p.Offset, Present: p.Offset >= 0}
				if p.Metadata != nil {
					c.Metadata = *p.Metadata
				}
				out[kafka.TopicPartition{Topic: name, Partition: p.Partition}] = c
			}
		}
	}
	return out, nil
}
