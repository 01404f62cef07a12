package sequencer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// endTimeout bounds one transaction once it has begun, also when the process is asked to stop in the middle of it.
const endTimeout = 15 * time.Second

// flight is the one transaction that is being written. Its goroutine has the transactional session to itself until it has landed; the
// loop judges the next records meanwhile, over what the flight will have made of the state.
type flight struct {
	b      *batch
	landed chan error // one; nil is a confirmed commit
	ended  time.Time  // these two when it has landed
	took   time.Duration
}

// transact judges what was read, also while a transaction is in flight, and sends it off when that one has landed. Any error ends the
// session.
func (c *session) transact(ctx, tasks context.Context) error {
	b := c.stage()
	if err := c.land(ctx, tasks); err != nil || b.n == 0 {
		return err
	}
	c.launch(ctx, b)
	return nil
}

// launch begins to write a batch in one transaction, with the offsets of all partitions that it touches. No other may be in flight.
func (c *session) launch(ctx context.Context, b *batch) {
	// No partition can be taken away between here and the landing, unless this member is thrown out of the group; then the commit fails.
	c.txn.Hold()
	c.reconcileHeld()
	b.keep(func(st *staged) bool { return c.parts[st.p.id] == st.p })
	if len(b.parts) == 0 {
		c.txn.Release()
		return
	}
	recs, offsets := b.records(), make(map[int32]txn.Offset, len(b.parts))
	for _, st := range b.parts {
		st.p.flying = st
		offsets[st.p.id] = txn.Offset{Next: st.o.next, Epoch: st.epoch, Metadata: c.metadata(st.p.state.logID), Assignment: st.p.assignment}
	}
	f := &flight{b: b, landed: make(chan error, 1)}
	c.flight = f
	// A stop of the process lets the transaction finish.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	began := time.Now()
	c.tasks.Go(func() {
		defer cancel()
		for _, r := range recs {
			if r.Topic == kafka.TopicState {
				r.Headers = SealState(c.cfg.Keys, r.Value)
			}
		}
		err := c.write(ctx, recs, offsets)
		f.ended = time.Now()
		f.took = f.ended.Sub(began)
		f.landed <- err
		c.wakeUp()
	})
}

// hasLanded reports whether land would not wait.
func (c *session) hasLanded() bool { return c.flight != nil && len(c.flight.landed) > 0 }

// land waits for the transaction in flight, if there is one, and merges its work when, and only when, its commit is confirmed. Then it does
// what must not be done while one is in flight.
func (c *session) land(ctx, tasks context.Context) error {
	if f := c.flight; f != nil {
		err := <-f.landed
		c.flight = nil
		c.txn.Release()
		if err != nil {
			c.m.transactions.WithLabelValues("failed").Inc()
			return err
		}
		c.lastEnd, c.lastCommit = f.ended, f.took
		c.transacted()
		c.m.txnSeconds.Observe(f.ended.Sub(f.b.began).Seconds())
		c.m.txnRecords.Observe(float64(f.b.n))
		c.merge(f.b)
	}
	c.reportErrors()
	c.undoDue()
	return c.snapshotDue(ctx, tasks)
}

// write is one transaction: begin, produce, commit.
func (c *session) write(ctx context.Context, recs []*kafka.Record, offsets map[int32]txn.Offset) error {
	if err := c.txn.ClearRevoked(ctx); err != nil {
		return fmt.Errorf("clear revoked: %w", err)
	}
	if err := c.txn.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := c.txn.Produce(ctx, recs); err != nil {
		return err
	}
	return c.txn.Commit(ctx, offsets)
}

// transacted counts a committed transaction.
func (c *session) transacted() {
	c.committed = true
	c.m.transactions.WithLabelValues("committed").Inc()
}

// merge makes the work of a transaction the state of its partitions.
func (c *session) merge(b *batch) {
	debug := c.log.Enabled(context.Background(), slog.LevelDebug)
	for _, st := range b.parts {
		p := st.p
		if debug {
			c.log.Debug("committed", "partition", p.id, "from", p.state.next, "next", st.o.next, "records", st.n, "log", after(st.log), "forwards", len(st.forwards))
		}
		p.state.merge(st.o, after(st.log), after(st.dead))
		p.flying = nil
		p.epoch = st.epoch
		p.deltaBytes += st.delta
		c.m.count(&st.tally)
		if c.parts[p.id] != p {
			continue // lost meanwhile
		}
		if p.phase == running {
			c.leave(p)
		}
		c.m.stateWritten(p)
		c.m.window(p)
	}
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

// keep drops the work on other partitions.
func (b *batch) keep(fn func(*staged) bool) {
	kept := b.parts[:0]
	b.n = 0
	for _, st := range b.parts {
		if fn(st) {
			kept = append(kept, st)
			b.n += st.n
		}
	}
	b.parts = kept
}

// records are what the transaction writes. The states must be those that the batch lies over.
func (b *batch) records() []*kafka.Record {
	recs := make([]*kafka.Record, 0, b.n+len(b.parts))
	for _, st := range b.parts {
		st.o.settle()
		recs = append(recs, st.log...)
		recs = append(recs, st.dead...)
		recs = append(recs, st.receipts...)
		recs = append(recs, st.forwards...)
		delta := st.o.finish(st.record)
		st.record, st.delta = stateRecord{}, len(delta)
		recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: st.p.id, Value: delta})
	}
	return recs
}

// after is the offset behind the last of the acknowledged records.
func after(recs []*kafka.Record) int64 {
	if len(recs) == 0 {
		return 0
	}
	return recs[len(recs)-1].Offset + 1
}
