package sequencer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// poll reads records until there is enough for a transaction, or it is time for one, and reports whether there is. Something else may be
// to be done first.
func (c *session) poll(ctx context.Context) bool {
	for ctx.Err() == nil && !c.hasLanded() {
		n := c.ready4txn()
		if c.enough(n) {
			return true
		}
		wait := pollWait
		if n > 0 && c.flight == nil {
			// A transaction right after another waits for the other's markers anyway: better to collect meanwhile.
			if wait = time.Until(c.lastEnd.Add(c.cfg.Pace)); wait <= 0 {
				return true
			}
		}
		if woken := c.pollOnce(ctx, wait, c.cfg.MaxRecords-n); woken || n == 0 && c.ready4txn() == 0 {
			return false
		}
	}
	return false
}

// pollOnce reads once, up to limit records, and returns early, with woken, when the assignment changed or a task finished.
func (c *session) pollOnce(ctx context.Context, wait time.Duration, limit int) (woken bool) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-c.wake:
			woken = true
		case <-c.txn.Changed():
			woken = true
		case <-ctx.Done():
		}
		cancel()
	}()
	recs, failed := c.reader.Poll(ctx, limit)
	cancel()
	<-done
	c.tellRead(ctx, recs)
	for _, r := range recs {
		if p := c.parts[r.Partition]; p != nil && r.Offset >= p.tail {
			p.push(r)
			p.tail = r.Offset + 1
		}
	}
	for id, err := range failed {
		p := c.parts[id]
		if p == nil {
			continue
		}
		var fat *read.OversizeError
		if errors.As(err, &fat) {
			c.skipUnread(p, fat)
			continue
		}
		var gap *read.StoppedError
		if errors.As(err, &gap) {
			c.enter(p, stopped, "ingress_gap", err.Error(), retryStopped)
			continue
		}
		c.enter(p, waiting, "ingress_unreadable", err.Error(), retryPaused)
	}
	return woken
}

// tellRead logs what was read, for those who look for a record that was not.
func (c *session) tellRead(ctx context.Context, recs []*kafka.Record) {
	if len(recs) == 0 || !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	from := 0
	for i, r := range recs {
		if i+1 == len(recs) || recs[i+1].Partition != r.Partition {
			c.log.Debug("read", "partition", r.Partition, "from", recs[from].Offset, "to", r.Offset, "records", i+1-from)
			from = i + 1
		}
	}
}

// skipUnread lets a record that inflates to more than is held, or the rest of a decompression bomb, be refused in the order of the partition,
// under its last offset: waiting for a person would let one producer stop every tenant of the partition. It counts as one refusal, because
// nobody looks how many records the rest has.
func (c *session) skipUnread(p *partition, fat *read.OversizeError) {
	if p.unread == nil {
		p.unread = map[int64]string{}
	}
	maps.DeleteFunc(p.unread, func(offset int64, _ string) bool { return offset < p.state.next })
	p.unread[fat.Next-1] = fat.Error()
	p.push(fat.Stand())
	p.tail = fat.Next
	c.reader.Skip(fat)
	c.log.Warn("records are refused unread", "partition", p.id, "err", fat)
}

// ready4txn counts the records at hand of partitions that run.
func (c *session) ready4txn() int {
	n := 0
	for _, p := range c.parts {
		if p.phase == running {
			n += len(p.pending)
		}
	}
	return n
}

// enough reports whether n records at hand fill a transaction. What is read further ahead than that only takes memory.
func (c *session) enough(n int) bool {
	bytes := 0
	for _, p := range c.parts {
		if p.phase == running {
			bytes += p.held
		}
	}
	return n >= c.cfg.MaxRecords || bytes >= maxBytes
}

func (p *partition) push(r *kafka.Record) {
	p.pending = append(p.pending, r)
	p.held += weight(r)
}

// headerCost is what a header takes besides its bytes.
const headerCost = 40

// weight is how many bytes a record holds. Headers count: nobody bounds them before admission.
func weight(r *kafka.Record) int {
	n := len(r.Key) + len(r.Value) + len(r.Headers)*headerCost
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// asInput is an ingress record as admission sees it.
func asInput(r *kafka.Record) input {
	headers := kafka.FromHeaders(r.Headers)
	return input{offset: r.Offset, ms: r.Timestamp.UnixMilli(), stamped: r.Attrs.TimestampType() == 1, key: r.Key, headers: headers, value: r.Value}
}
