package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// snapshotDue writes a snapshot of at most one partition that is due for one, and trims the state topic below the last but one.
func (c *session) snapshotDue(ctx, tasks context.Context) error {
	for _, p := range c.parts {
		due := p.deltaBytes >= c.cfg.SnapshotBytes || p.deltaBytes > 0 && time.Since(p.lastSnapshot) >= c.cfg.SnapshotEvery
		if p.phase != running || !due {
			continue
		}
		return c.snapshot(ctx, tasks, p)
	}
	return nil
}

func (c *session) snapshot(ctx, tasks context.Context, p *partition) error {
	c.txn.Hold()
	defer c.txn.Release()
	c.reconcileHeld()
	if c.parts[p.id] != p {
		return nil
	}
	var recs []*kafka.Record
	for _, chunk := range p.state.snapshot() {
		recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: p.id, Value: chunk, Headers: SealState(c.cfg.Keys, chunk)})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	// The unchanged offset fences it: a snapshot by somebody who no longer owns the partition must not be.
	offsets := map[int32]txn.Offset{p.id: {Next: p.state.next, Epoch: p.epoch, Metadata: c.metadata(p.state.logID), Assignment: p.assignment}}
	if err := c.write(ctx, recs, offsets); err != nil {
		c.m.transactions.WithLabelValues("failed").Inc()
		return fmt.Errorf("snapshot of partition %d: %w", p.id, err)
	}
	c.transacted()
	c.m.snapshots.Inc()
	p.deltaBytes, p.lastSnapshot = 0, time.Now()
	c.m.stateWritten(p)
	p.snapshots = append(p.snapshots, recs[0].Offset)
	if n := len(p.snapshots); n > 2 {
		p.snapshots = p.snapshots[n-2:]
	}
	if len(p.snapshots) == 2 {
		id, before := p.id, p.snapshots[0]
		c.tasks.Go(func() {
			if err := c.admin.DeleteRecords(tasks, map[kafka.TopicPartition]int64{{Topic: kafka.TopicState, Partition: id}: before}); err != nil && tasks.Err() == nil {
				c.log.Warn("state topic not trimmed", "partition", id, "err", err)
			}
		})
	}
	return nil
}
