package group

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// batch is what one poll brought.
type batch struct {
	records []*kafka.Record                          // data records, in order per partition
	upTo    map[kafka.TopicPartition]kgo.EpochOffset // behind the last record of each partition, control records included
}

// poll waits for records until the deadline, or until ctx is done. It blocks rebalances in any case.
func (g *Consumer) poll(ctx context.Context, deadline time.Time) *batch {
	pctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	fetches := g.client.PollRecords(pctx, g.cfg.MaxRecords)
	b := &batch{upTo: make(map[kafka.TopicPartition]kgo.EpochOffset)}
	fetches.EachError(func(topic string, p int32, err error) {
		g.fetchError(ctx, kafka.TopicPartition{Topic: topic, Partition: p}, err)
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
		tp := kafka.TopicPartition{Topic: ft.Topic, Partition: ft.Partition}
		p := g.owned[tp]
		if p == nil || p.stopped != nil || len(ft.Records) == 0 {
			return
		}
		if why := read.Jumped(ft, p.next); p.next >= 0 && why != nil {
			g.stop(tp, p, why)
			return
		}
		p.end = max(p.end, ft.LastStableOffset)
		if p.from < 0 {
			p.from = ft.Records[0].Offset
		}
		for _, r := range ft.Records {
			if r.Offset < p.next { // a batch holds whole transactions of the broker's making, and may begin before our offset
				continue
			}
			p.next = r.Offset + 1
			b.upTo[tp] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
			if r.Attrs.IsControl() {
				continue
			}
			if p.waiting.IsZero() {
				p.waiting = r.Timestamp
			}
			b.records = append(b.records, r)
		}
	})
	return b
}

// fetchError decides what an error of the client means. The client retries what can be retried and tells us the rest.
func (g *Consumer) fetchError(ctx context.Context, tp kafka.TopicPartition, err error) {
	var session *kgo.ErrGroupSession
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed),
		errors.Is(err, read.ErrInflateBudget):
		return
	case errors.As(err, &session):
		// Unknown member, illegal generation: this member was silent for too long (paused, or the broker was away) and has
		// been put out. The client joins again; nothing of it is fatal.
		g.log.Warn("the group session ended; joining again", "err", session.Err)
		return
	}
	next := g.nextOf(tp)
	stopped := &read.StoppedError{TopicPartition: tp, Next: next, Err: err}
	var loss *kgo.ErrDataLoss
	var fat *kgo.ErrDecompressTooLarge
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		stopped.Reason = g.outOfRange(ctx, tp, next)
	case errors.As(err, &loss):
		stopped.Reason = "the log was truncated below what was read; compare it with the archive before going on"
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		stopped.Reason = "the topic was deleted and recreated; its offsets mean other records now"
	case errors.As(err, &fat):
		stopped.Reason = "a batch inflates to more than the allowed size"
	default:
		g.log.Error("fetch failed", "topic", tp.Topic, "partition", tp.Partition, "err", err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.owned[tp]; p != nil && p.stopped == nil {
		g.stop(tp, p, stopped)
	}
}

// stop ends the reading of one partition; the others go on. The caller holds g.mu.
func (g *Consumer) stop(tp kafka.TopicPartition, p *partition, why *read.StoppedError) {
	p.stopped = why
	g.client.PauseFetchPartitions(map[string][]int32{tp.Topic: {tp.Partition}})
	g.log.Error("partition stopped", "topic", tp.Topic, "partition", tp.Partition, "offset", why.Next, "err", why)
}

func (g *Consumer) nextOf(tp kafka.TopicPartition) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.owned[tp]; p != nil {
		return p.next
	}
	return -1
}

// outOfRange finds out on which side of the log an offset lies.
func (g *Consumer) outOfRange(ctx context.Context, tp kafka.TopicPartition, next int64) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return read.OutOfRange(ctx, kadm.NewClient(g.client), tp, next)
}
