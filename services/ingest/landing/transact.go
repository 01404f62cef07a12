package landing

import (
	"context"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// work is what one transaction does.
type work struct {
	recs    []*kafka.Record
	fates   []fate
	offsets map[*part]txn.ExtraOffset
	taken   map[*lane]int
}

// transact forwards what a fair pick gives, and says how long to read before the next one.
func (s *session) transact(ctx context.Context) (wait time.Duration, err error) {
	if !s.anything() {
		return pollWait, nil
	}
	if early := time.Until(s.lastEnd.Add(s.cfg.Pace)); early > 0 && s.held() < s.cfg.MaxRecords {
		return early, nil
	}
	// No partition of ingress can be taken away between here and the commit, unless this member is thrown out of the group; then the
	// commit fails.
	s.Txn.Hold()
	defer s.Txn.Release()
	s.reconcile()
	w, wait := s.stage(time.Now())
	throttled := 0
	for _, q := range s.ring.queues {
		if q.throttled {
			throttled++
		}
	}
	s.m.throttle(throttled)
	if wait == 0 || wait > pollWait {
		wait = pollWait
	}
	if len(w.offsets) == 0 {
		return wait, nil
	}
	if err := s.commit(ctx, w); err != nil {
		s.m.transactions.WithLabelValues("failed").Inc()
		return 0, err
	}
	s.m.transactions.WithLabelValues("committed").Inc()
	s.committed, s.lastEnd = true, time.Now()
	s.merge(w)
	if s.held() > 0 {
		wait = min(wait, s.cfg.Pace)
	}
	return wait, nil
}

// anything reports whether there is something to forward, or an offset to put back.
func (s *session) anything() bool {
	for _, l := range s.lanes {
		if len(l.pending) > 0 || slices.ContainsFunc(l.parts, func(p *part) bool { return p.open && p.putBack }) {
			return true
		}
	}
	return false
}

// held counts the records at hand that may go now.
func (s *session) held() int {
	n := 0
	for _, q := range s.ring.queues {
		if !q.throttled {
			n += len(q.pending)
		}
	}
	return n
}

// stage decides the records that are picked. Nothing is taken from the queues before the commit.
func (s *session) stage(now time.Time) (work, time.Duration) {
	picked, wait := s.ring.pick(now, s.cfg.MaxRecords, s.cfg.MaxBytes)
	w := work{offsets: map[*part]txn.ExtraOffset{}, taken: map[*lane]int{}}
	for _, l := range s.lanes {
		for _, p := range l.parts {
			if p.open && p.putBack {
				w.offsets[p] = s.extra(l, p, p.committedTo(), -1)
			}
		}
		n := picked[&l.queue]
		if n == 0 {
			continue
		}
		w.taken[l] = n
		for _, r := range l.pending[:n] {
			p := l.parts[r.Partition]
			f := decide(r, origin{tenant: l.tenant, topicID: l.topic.ID, unread: p.unread[r.Offset]}, s.cfg.Sign)
			f.record.Partition = l.home
			w.recs, w.fates = append(w.recs, f.record), append(w.fates, f)
			w.offsets[p] = s.extra(l, p, r.Offset+1, r.LeaderEpoch)
		}
	}
	return w, wait
}

func (s *session) extra(l *lane, p *part, next int64, epoch int32) txn.ExtraOffset {
	return txn.ExtraOffset{
		TopicPartition: p.tp, TopicID: l.topic.ID, With: l.home,
		Offset: txn.Offset{Next: next, Epoch: epoch, Metadata: s.mark(l.topic.ID), Assignment: l.assignment},
	}
}

func (p *part) committedTo() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// commit is one transaction. Any error ends the session.
func (s *session) commit(ctx context.Context, w work) error {
	offsets := make([]txn.ExtraOffset, 0, len(w.offsets))
	for _, o := range w.offsets {
		offsets = append(offsets, o)
	}
	return s.Write(ctx, w.recs, func(ctx context.Context) error {
		if s.cfg.BeforeCommit != nil {
			if err := s.cfg.BeforeCommit(); err != nil {
				return err
			}
		}
		return s.Txn.CommitExtra(ctx, offsets)
	})
}

// merge takes out of the queues what is committed.
func (s *session) merge(w work) {
	for l, n := range w.taken {
		for _, r := range l.take(n) {
			delete(l.parts[r.Partition].unread, r.Offset)
		}
		for _, p := range l.parts {
			p.forwarded(l.oldest(p))
		}
	}
	for p, o := range w.offsets {
		p.putBack = false
		p.mu.Lock()
		p.next = o.Next
		p.mu.Unlock()
	}
	for i := range w.fates {
		s.m.count(&w.fates[i])
	}
}

// oldest is the time of the first record of a partition that waits.
func (l *lane) oldest(p *part) time.Time {
	for _, r := range l.pending {
		if r.Partition == p.tp.Partition {
			return r.Timestamp
		}
	}
	return time.Time{}
}

// trimDue deletes from the landing topics what was committed the last time it was asked: personal data does not stay in two topics, and a
// lost offset costs minutes.
func (s *session) trimDue(tasks context.Context) {
	if time.Since(s.lastTrim) < s.cfg.TrimEvery {
		return
	}
	s.lastTrim = time.Now()
	before := map[kafka.TopicPartition]int64{}
	for _, l := range s.lanes {
		for _, p := range l.parts {
			p.mu.Lock()
			if p.open && p.trim > p.trimmed {
				before[p.tp], p.trimmed = p.trim, p.trim
			}
			p.trim = p.next
			p.mu.Unlock()
		}
	}
	if len(before) == 0 {
		return
	}
	s.Tasks.Go(func() {
		if err := s.admin.DeleteRecords(tasks, before); err != nil && tasks.Err() == nil {
			s.log.Warn("landing topics not trimmed", "err", err)
		}
	})
}
