package group

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// offsetsFetched keeps the answer from which the client takes its offsets, because only it has the metadata. The client
// calls resume right after it, from the same goroutine.
func (g *Consumer) offsetsFetched(_ context.Context, client *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	g.fetched, g.resumeClient = make(map[kafka.TopicPartition]kafka.Committed), client
	for _, group := range answer.Groups { // it is the one
		for _, t := range group.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 || p.Offset < 0 {
					continue
				}
				c := kafka.Committed{Group: g.cfg.Group, Offset: p.Offset, Present: true}
				if p.Metadata != nil {
					c.Metadata = *p.Metadata
				}
				g.fetched[kafka.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = c
			}
		}
	}
	return nil
}

// resume is the client's AdjustFetchOffsetsFn: the one place where the first offset of an assignment is decided.
// (kgo.SetOffsets would be the obvious other one, but it ignores partitions that were never polled.)
func (g *Consumer) resume(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	committed := make(map[kafka.TopicPartition]kafka.Committed)
	for t, ps := range offsets {
		for p := range ps {
			tp := kafka.TopicPartition{Topic: t, Partition: p}
			committed[tp] = g.fetched[tp]
		}
	}
	if len(committed) == 0 {
		return offsets, nil
	}
	at, err := g.askResume(ctx, committed)
	if err != nil {
		g.log.Error("could not decide where to resume; joining again", "err", err)
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for tp, c := range committed {
		p := g.owned[tp]
		if p == nil { // revoked in the meantime; the client drops it too
			continue
		}
		p.next = -1
		if c.Present {
			p.next, p.committed = c.Offset, c.Offset
		}
		from, decided := at[tp]
		if decided && (!c.Present || from != c.Offset) {
			// Without an epoch: it is the row's word, not a position that was read under that epoch.
			offsets[tp.Topic][tp.Partition] = kgo.NoResetOffset().At(from).WithEpoch(-1)
			p.next = from
		}
		if decided && !(c.Marked() && c.Offset == from) {
			// The group's offset follows the row, within a tick and without waiting for traffic: an operator's reset is put back, and a
			// mark of an earlier release gives way to one that names the offset.
			p.committed, p.done = -1, kgo.EpochOffset{Epoch: -1, Offset: from}
		}
		p.from = p.next
		g.log.Info("resuming", "topic", tp.Topic, "partition", tp.Partition,
			"offset", p.next, "committed", p.committed, "metadata", c.Metadata)
	}
	return offsets, nil
}

func (g *Consumer) askResume(ctx context.Context, committed map[kafka.TopicPartition]kafka.Committed) (map[kafka.TopicPartition]int64, error) {
	if g.cfg.Resume == nil {
		return nil, nil
	}
	details, err := kadm.NewClient(g.resumeClient).ListTopics(ctx, g.cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: topic ids: %w", err)
	}
	ids := make(map[string][16]byte)
	for name, d := range details {
		if d.Err != nil {
			return nil, fmt.Errorf("kafka: id of topic %s: %w", name, d.Err)
		}
		ids[name] = d.ID
	}
	at, err := g.cfg.Resume(ctx, committed, ids)
	if err != nil {
		return nil, err
	}
	for tp, from := range at {
		if from < 0 {
			return nil, fmt.Errorf("kafka: resume %s at %d: an offset is at least 0", tp, from)
		}
	}
	return at, nil
}
