package group

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// errRejoined stops a commit whose records were read as another member of the group, or as an earlier generation.
var errRejoined = errors.New("kafka: the group was joined again since these records were read")

// done notes that a batch was handled; commit tells the group.
func (g *Consumer) done(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for tp, at := range b.upTo {
		p := g.owned[tp]
		if p == nil {
			continue
		}
		p.done = at
		p.waiting = time.Time{}
		if p.end > at.Offset {
			p.waiting = b.lastTime(tp)
		}
	}
}

// lastTime is the timestamp of the last record of a partition, a close guess at that of the next.
func (b *batch) lastTime(tp kafka.TopicPartition) time.Time {
	for i := len(b.records) - 1; i >= 0; i-- {
		if r := b.records[i]; r.Topic == tp.Topic && r.Partition == tp.Partition {
			return r.Timestamp
		}
	}
	return time.Now()
}

// commit commits what was handled and is not committed yet, and waits for the answer. It is called between poll and
// AllowRebalance, or from revoked: at those times the partitions can't have become another member's unless the group has put
// this one out, and then the broker refuses. A commit that fails is not fatal: either the partition is lost, and its next
// owner reads again from the last commit, or it is still ours, and the next commit covers it.
func (g *Consumer) commit(ctx context.Context, client *kgo.Client) {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	member, generation := client.GroupMetadata() // before stale is looked at, which is set before there is a new one
	g.mu.Lock()
	for tp, p := range g.owned {
		if !g.stale && p.done.Offset >= 0 && p.done.Offset != p.committed && p.stopped == nil {
			if offsets[tp.Topic] == nil {
				offsets[tp.Topic] = make(map[int32]kgo.EpochOffset)
			}
			offsets[tp.Topic][tp.Partition] = p.done
		}
	}
	g.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		if req.MemberID != member || req.Generation != generation {
			return errRejoined
		}
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				m := kafka.MarkOf(g.cfg.Metadata(kafka.TopicPartition{Topic: t.Topic, Partition: p.Partition}), g.cfg.Group, p.Offset)
				p.Metadata = &m
			}
		}
		return nil
	})
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			g.log.Warn("commit failed; the records may be read again", "err", err)
			return
		}
		g.committed(offsets, answer)
	})
}

// committed notes what the broker took.
func (g *Consumer) committed(offsets map[string]map[int32]kgo.EpochOffset, answer *kmsg.OffsetCommitResponse) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range answer.Topics {
		for _, rp := range t.Partitions {
			tp := kafka.TopicPartition{Topic: t.Topic, Partition: rp.Partition}
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				g.log.Warn("commit refused; the records may be read again", "topic", tp.Topic, "partition", tp.Partition, "err", err)
				continue
			}
			if p := g.owned[tp]; p != nil {
				p.committed = offsets[tp.Topic][tp.Partition].Offset
			}
		}
	}
}
