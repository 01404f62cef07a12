package sequencer

import (
	"context"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

const watchEvery = 5 * time.Second

// watchStable measures how long an open transaction has held up the readers of an owned ingress partition.
func (c *session) watchStable(ctx context.Context) {
	type seen struct {
		at    int64
		since time.Time
	}
	stuck := map[int32]seen{}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Stable first: what is written in between may look like an open transaction for one tick, which counts as no time.
		stable, err := c.admin.EndOffsets(ctx, kafka.ReadCommitted, kafka.TopicIngress)
		if err != nil {
			continue
		}
		end, err := c.admin.EndOffsets(ctx, kafka.ReadUncommitted, kafka.TopicIngress)
		if err != nil {
			continue
		}
		age := 0.0
		for id := range c.txn.Assignment() {
			tp := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: id}
			s, ok := stuck[id]
			switch {
			case stable[tp] >= end[tp]:
				delete(stuck, id)
			case !ok || s.at != stable[tp]:
				stuck[id] = seen{stable[tp], time.Now()}
			default:
				age = max(age, time.Since(s.since).Seconds())
			}
		}
		c.m.stableAge.Set(age)
	}
}

// watchOrphans asks for a rebalance when the group is stable and yet leaves a partition to nobody. A cooperative rebalance takes a
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
			c.txn.Rebalance()
			orphaned = 0
		}
	}
}
