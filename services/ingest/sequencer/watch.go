package sequencer

import (
	"context"
	"maps"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
)

const watchEvery = 5 * time.Second

// watchedTopics are what the sequencer reads and writes: an open transaction on any of them holds readers up.
var watchedTopics = []string{kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState}

// stableWatch remembers where the last stable offset of a partition stood still, and since when.
type stableWatch map[kafka.TopicPartition]stableSeen

type stableSeen struct {
	at    int64
	since time.Time
}

// age says for how many seconds an open transaction has held up a partition's readers. What was not seen before counts as no time.
func (w stableWatch) age(topic string, partition int32, stable, end int64, now time.Time) float64 {
	tp := kafka.TopicPartition{Topic: topic, Partition: partition}
	s, ok := w[tp]
	switch {
	case stable >= end:
		delete(w, tp)
	case !ok || s.at != stable:
		w[tp] = stableSeen{stable, now}
	default:
		return now.Sub(s.since).Seconds()
	}
	return 0
}

// backlog remembers when each partition's ingress ended where, until the sequencer has come so far.
type backlog map[int32][]ingressEnd

type ingressEnd struct {
	end int64
	at  time.Time
}

const maxEnds = 1_000 // of a partition: 83 minutes; what comes later is not needed to tell how old the oldest is

// age says for how many seconds the oldest record that is not judged has been there. What was not seen before counts as no time.
func (b backlog) age(partition int32, stable, judged int64, now time.Time) float64 {
	ends := b[partition]
	for len(ends) > 0 && ends[0].end <= judged {
		ends = ends[1:]
	}
	if last := len(ends) - 1; stable > judged && len(ends) < maxEnds && (last < 0 || stable > ends[last].end) {
		ends = append(ends, ingressEnd{stable, now})
	}
	if len(ends) == 0 {
		delete(b, partition)
		return 0
	}
	b[partition] = ends
	return now.Sub(ends[0].at).Seconds()
}

// watchStable measures how long an open transaction has held up the readers of an owned partition, and ends one that its coordinator
// will not end: nothing that waits for it would ever go on, and no restart would help.
func (c *session) watchStable(ctx context.Context) {
	seen, waiting := stableWatch{}, backlog{}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Stable first: what is written in between may look like an open transaction for one tick, which counts as no time.
		// An error is of partitions that are left out, such as one without a leader; the others are watched.
		stable, _ := c.admin.EndOffsets(ctx, admin.ReadCommitted, watchedTopics...)
		end, _ := c.admin.EndOffsets(ctx, admin.ReadUncommitted, watchedTopics...)
		if len(stable) == 0 || len(end) == 0 {
			continue
		}
		now := time.Now()
		var stuck []kafka.TopicPartition
		for _, topic := range watchedTopics {
			oldest := 0.0
			for id := range c.Txn.Assignment() {
				tp := kafka.TopicPartition{Topic: topic, Partition: id}
				to, told := stable[tp]
				last, ends := end[tp]
				if !told || !ends {
					continue
				}
				age := seen.age(topic, id, to, last, now)
				if oldest = max(oldest, age); age > kafka.TxnTimeout.Seconds() {
					stuck = append(stuck, tp)
				}
			}
			c.m.stableAge.WithLabelValues(topic).Set(oldest)
		}
		mine := c.Txn.Assignment()
		for id := range mine {
			if judged, ok := c.m.judgedTo(id); ok {
				age := waiting.age(id, stable[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: id}], judged, now)
				c.m.behind.WithLabelValues(label(id)).Set(age)
			}
		}
		maps.DeleteFunc(waiting, func(id int32, _ []ingressEnd) bool { _, owned := mine[id]; return !owned })
		c.endHanging(ctx, stuck...)
	}
}

// endHanging ends the hanging transactions on partitions. Those that a coordinator still works for are left alone.
func (c *session) endHanging(ctx context.Context, partitions ...kafka.TopicPartition) {
	found, err := hanging.Find(ctx, c.admin, partitions...)
	if err != nil && ctx.Err() == nil {
		c.log.Warn("can't look for hanging transactions", "partitions", partitions, "err", err)
	}
	for _, t := range found {
		attrs := []any{"topic", t.Topic, "partition", t.Partition, "transactional_id", t.TransactionalID, "producer_id", t.ProducerID,
			"producer_epoch", t.ProducerEpoch, "start_offset", t.StartOffset, "last_write", t.LastWrite, "reason", t.Reason, "outcome", t.Outcome}
		if err := hanging.End(ctx, c.admin, t); err != nil {
			c.log.Error("a hanging transaction holds up all readers", append(attrs, "err", err)...)
			continue
		}
		c.m.hangingEnded.Inc()
		c.log.Warn("a hanging transaction was ended", attrs...)
	}
}

// watchOrphans asks for a rebalance when the group is stable and yet leaves a partition without an owner. A cooperative rebalance takes a
// partition away in one generation and gives it to another member in the next; a static member that is killed between the two comes
// back with what it had in the first, without a rebalance, and the partition would wait for the next one for ever.
func (c *session) watchOrphans(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	orphaned := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g, err := c.admin.DescribeGroup(ctx, kafka.GroupSequencer)
		if err != nil || g.State != "Stable" {
			orphaned = 0
			continue
		}
		covered := map[kafka.TopicPartition]bool{}
		for _, m := range g.Members {
			for _, tp := range m.Partitions {
				covered[tp] = true
			}
		}
		if len(covered) >= int(c.partitions) {
			orphaned = 0
			continue
		}
		// Twice, because a description may fall between the two halves of a rebalance.
		if orphaned++; orphaned >= 2 {
			c.log.Warn("partitions without an owner in a stable group; asking for a rebalance", "owned", len(covered), "partitions", c.partitions)
			c.Txn.Rebalance()
			orphaned = 0
		}
	}
}
