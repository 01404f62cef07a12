package sequencer

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
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
	c.Txn.Hold()
	defer c.Txn.Release()
	c.reconcileHeld()
	if c.parts[p.id] != p {
		return nil
	}
	var recs []*kafka.Record
	for _, chunk := range admission.Snapshot(p.state) {
		recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: p.id, Value: chunk, Headers: statelog.Seal(c.cfg.Keys, chunk)})
	}
	// The unchanged offset fences it: a process that no longer owns the partition must write none.
	offsets := map[int32]txn.Offset{p.id: {Next: p.state.Next, Epoch: p.epoch, Metadata: c.metadata(p.state.LogID), Assignment: p.assignment}}
	if err := c.Write(ctx, recs, func(ctx context.Context) error { return c.Txn.Commit(ctx, offsets) }); err != nil {
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
		c.Tasks.Go(func() {
			if err := c.admin.DeleteRecords(tasks, map[kafka.TopicPartition]int64{{Topic: kafka.TopicState, Partition: id}: before}); err != nil && tasks.Err() == nil {
				c.log.Warn("state topic not trimmed", "partition", id, "err", err)
			}
		})
	}
	return nil
}
