package sequencer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// endTimeout bounds one transaction once it has begun, also when the process is asked to stop in the middle of it.
const endTimeout = 15 * time.Second

// maxBytes bounds the values of one transaction, so that thousands of records of a megabyte are not held and written at once.
const maxBytes = 16 << 20

// maxShare bounds the records of one partition in one transaction: what they change is one state record, which has a size limit.
const maxShare = 2000

// maxJudging bounds what MaxDuration may become, well below the transaction's time-out.
const maxJudging = time.Second

// judging is how long the records of one transaction may be judged: at least MaxDuration, and as long as the last commit took. Where a
// commit takes long, because brokers or cores are busy, short transactions would spend nearly all the time on commits, and a backlog
// that has come up in an outage would not go away.
func (c *session) judging() time.Duration {
	return max(c.cfg.MaxDuration, min(c.lastCommit, maxJudging))
}

// batch is the staged work of one transaction.
type batch struct {
	parts []*staged
	recs  []*kafka.Record
	n     int
}

// staged is the work on one partition.
type staged struct {
	p         *partition
	o         *overlay
	decisions []decision
	log, dead []*kafka.Record
	receipts  []*kafka.Record
	delta     int
	epoch     int32
}

// transact judges what was read and commits it. Any error ends the session.
func (c *session) transact(ctx context.Context) error {
	if c.ready4txn() == 0 {
		return nil
	}
	// No partition can be taken away between here and the commit, unless this member is thrown out of the group; then the commit
	// fails.
	c.txn.Hold()
	defer c.txn.Release()
	c.reconcileHeld()
	start := time.Now()
	b := c.stage(start)
	if b.n == 0 {
		return nil
	}
	committing := time.Now()
	if err := c.commit(ctx, b); err != nil {
		c.m.transactions.WithLabelValues("failed").Inc()
		if keepsAbortedBatch && c.keepAborted(ctx, b, err) {
			return nil
		}
		return err
	}
	c.lastEnd = time.Now()
	c.lastCommit = c.lastEnd.Sub(committing)
	c.m.txnSeconds.Observe(time.Since(start).Seconds())
	c.m.txnRecords.Observe(float64(b.n))
	return nil
}

// reconcileHeld drops what left since reconcile; what is new is restored later.
func (c *session) reconcileHeld() {
	now := c.txn.Assignment()
	for id, p := range c.parts {
		if now[id] != p.assignment {
			c.drop(p)
		}
	}
}

// stage judges records of all running partitions, in fair shares, until the transaction is full or its time is over.
func (c *session) stage(start time.Time) *batch {
	b := &batch{}
	var runnable []*partition
	for _, p := range c.parts {
		if p.phase == running && len(p.pending) > 0 {
			runnable = append(runnable, p)
		}
	}
	slices.SortFunc(runnable, func(x, y *partition) int { return len(x.pending) - len(y.pending) })
	env := &env{
		topic: kafka.TopicIngress, partitions: c.partitions, partitionOf: kafka.PartitionFor, schema: c.schemas.get,
		verify: c.cfg.Keys.Verify, sign: c.cfg.Keys.Sign, nowMS: c.cfg.Now().UnixMilli(),
		rates: c.cfg.Rates,
	}
	judging := c.judging()
	for i, p := range runnable {
		// Those with little come first; what they leave of their share goes to the others.
		share := min(maxShare, max(1, (c.cfg.MaxRecords-b.n)/(len(runnable)-i)))
		if !c.remembers(p, min(share, len(p.pending))) {
			continue
		}
		deadline := start.Add(judging * time.Duration(i+1) / time.Duration(len(runnable)))
		if st := c.stagePartition(env, p, share, maxBytes/len(runnable), deadline); st != nil {
			b.parts = append(b.parts, st)
			b.n += len(st.decisions)
			b.recs = append(b.recs, st.log...)
			b.recs = append(b.recs, st.dead...)
			b.recs = append(b.recs, st.receipts...)
		}
	}
	for _, st := range b.parts {
		for i := range st.decisions {
			if f := st.decisions[i].forward; f != nil {
				b.recs = append(b.recs, toRecord(kafka.TopicIngress, f))
			}
		}
		delta := st.o.delta()
		st.delta = len(delta)
		b.recs = append(b.recs, &kafka.Record{Topic: kafka.TopicState, Partition: st.p.id, Value: delta})
	}
	return b
}

func (c *session) stagePartition(env *env, p *partition, share, room int, deadline time.Time) *staged {
	n := min(share, len(p.pending))
	st := &staged{p: p, o: newOverlayFor(p.state, n), epoch: p.epoch, decisions: make([]decision, 0, n), log: make([]*kafka.Record, 0, n)}
	recs := make([]kafka.Record, n) // of the log, in one piece of memory
	bytes := 0
	for i, r := range p.pending[:n] {
		if bytes += len(r.Value); i > 0 && (bytes > room || i%64 == 0 && time.Now().After(deadline)) {
			break
		}
		loads := c.schemas.generation()
		in := asInput(r)
		in.unread = p.unread[r.Offset]
		d := admit(env, st.o, in)
		if d.outcome == paused {
			c.pause(p, &d, loads)
			break
		}
		st.epoch = r.LeaderEpoch
		switch {
		case d.recorded != nil:
			rec := &recs[len(st.log)]
			kafka.FillRecorded(rec, d.recorded, in.key)
			st.log = append(st.log, rec)
		case d.dead != nil:
			st.dead = append(st.dead, toRecord(kafka.TopicDeadLetter, d.dead))
		}
		if r := receiptOf(&d, p.id); r != nil {
			st.receipts = append(st.receipts, r)
		}
		st.decisions = append(st.decisions, d)
	}
	if len(st.decisions) == 0 {
		return nil
	}
	return st
}

func toRecord(topic string, o *output) *kafka.Record {
	headers := make([]kafka.RecordHeader, len(o.headers))
	for i, h := range o.headers {
		headers[i] = kafka.RecordHeader(h)
	}
	return &kafka.Record{Topic: topic, Partition: o.partition, Key: o.key, Headers: headers, Value: o.value}
}

// remembers reports whether the keys of n more records fit into memory; otherwise it pauses the partition: what is not remembered must
// not be admitted. Waiting does not help, because the window ages by what is admitted, but another instance or a restart with more
// memory does.
func (c *session) remembers(p *partition, n int) bool {
	err := c.memory.admit(p.id, p.state.keys, n)
	if err == nil {
		return true
	}
	detail := err.Error()
	var stop *stopError
	if errors.As(err, &stop) {
		detail = stop.detail
	}
	c.reader.Remove(p.id)
	c.enter(p, waiting, stopKeys, detail, retryPaused)
	return false
}

// pause keeps a partition from being read on until its next record can be judged.
func (c *session) pause(p *partition, d *decision, loads int) {
	c.reader.Remove(p.id)
	if d.loading {
		p.phase, p.retry = waiting, time.Now().Add(retryPaused)
		p.loading = loads // looked at again as soon as a look-up has ended
		return
	}
	c.enter(p, waiting, string(d.code), d.detail, retryPaused)
}

// commit writes the batch in one transaction with the offsets of all partitions that it touches, and merges it when, and only when,
// the commit is confirmed.
func (c *session) commit(ctx context.Context, b *batch) error {
	// A stop of the process lets the transaction finish.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	offsets := make(map[int32]kafka.TxnOffset, len(b.parts))
	for _, st := range b.parts {
		offsets[st.p.id] = kafka.TxnOffset{Next: st.o.next, Epoch: st.epoch, Metadata: c.metadata(st.p.state.logID), Assignment: st.p.assignment}
	}
	if mergesBeforeCommit {
		if err := c.commitLate(b, func() error { return c.write(ctx, b.recs, offsets) }); err != nil {
			return err
		}
	} else {
		if err := c.write(ctx, b.recs, offsets); err != nil {
			return err
		}
		c.merge(b)
	}
	for _, st := range b.parts {
		c.m.count(st.decisions)
		c.m.stateWritten(st.p)
		c.m.window(st.p)
	}
	return nil
}

// write is one transaction: begin, produce, commit.
func (c *session) write(ctx context.Context, recs []*kafka.Record, offsets map[int32]kafka.TxnOffset) error {
	if err := c.txn.ClearRevoked(ctx); err != nil {
		return fmt.Errorf("clear revoked: %w", err)
	}
	if err := c.txn.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := c.txn.Produce(ctx, recs); err != nil {
		return err
	}
	if err := c.txn.Commit(ctx, offsets); err != nil {
		return err
	}
	c.committed = true
	c.m.transactions.WithLabelValues("committed").Inc()
	return nil
}

func (c *session) merge(b *batch) {
	for _, st := range b.parts {
		p := st.p
		p.state.merge(st.o, after(st.log), after(st.dead))
		p.pending = p.pending[len(st.decisions):]
		p.epoch = st.epoch
		p.deltaBytes += st.delta
		if p.phase == running {
			c.leave(p)
		}
	}
}

// after is the offset behind the last of the acknowledged records.
func after(recs []*kafka.Record) int64 {
	if len(recs) == 0 {
		return 0
	}
	return recs[len(recs)-1].Offset + 1
}

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
		recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: p.id, Value: chunk})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	// The unchanged offset fences it: a snapshot by somebody who no longer owns the partition must not be.
	offsets := map[int32]kafka.TxnOffset{p.id: {Next: p.state.next, Epoch: p.epoch, Metadata: c.metadata(p.state.logID), Assignment: p.assignment}}
	if err := c.write(ctx, recs, offsets); err != nil {
		return fmt.Errorf("snapshot of partition %d: %w", p.id, err)
	}
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
