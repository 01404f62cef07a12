package sequencer

import (
	"context"
	"log/slog"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

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
	c.Txn.Hold()
	c.reconcileHeld()
	b.keep(func(st *staged) bool { return c.parts[st.p.id] == st.p })
	if len(b.parts) == 0 {
		c.Txn.Release()
		return
	}
	recs, offsets := b.records(), make(map[int32]txn.Offset, len(b.parts))
	for _, st := range b.parts {
		st.p.flying = st
		offsets[st.p.id] = txn.Offset{Next: st.o.Next, Epoch: st.epoch, Metadata: c.metadata(st.p.state.LogID), Assignment: st.p.assignment}
	}
	f := &flight{b: b, landed: make(chan error, 1)}
	c.flight = f
	began := time.Now()
	c.Tasks.Go(func() {
		for _, r := range recs {
			if r.Topic == kafka.TopicState {
				r.Headers = statelog.Seal(c.cfg.Keys, r.Value)
			}
		}
		err := c.Write(ctx, recs, func(ctx context.Context) error { return c.Txn.Commit(ctx, offsets) })
		f.ended = time.Now()
		f.took = f.ended.Sub(began)
		f.landed <- err
		c.Wake.Set()
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
		c.Txn.Release()
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
	c.ReportErrors()
	c.undoDue()
	return c.snapshotDue(ctx, tasks)
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
			c.log.Debug("committed", "partition", p.id, "from", p.state.Next, "next", st.o.Next, "records", st.n, "log", after(st.log), "forwards", len(st.forwards))
		}
		p.state.Merge(st.o, after(st.log), after(st.dead))
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
	now := c.Txn.Assignment()
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
		st.o.Rebase()
		recs = append(recs, st.log...)
		recs = append(recs, st.dead...)
		recs = append(recs, st.receipts...)
		recs = append(recs, st.forwards...)
		value := st.record.Encode(st.p.state)
		st.record, st.delta = admission.Delta{}, len(value)
		recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: st.p.id, Value: value})
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
