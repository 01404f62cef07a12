package httpin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// send produces events that passed the gate, in order, which they leave together when the last one has its acknowledgement. The events
// may change afterwards.
func (s *Server) send(tenant string, events []event.Event) *acks {
	n, size := int64(len(events)), sizeOf(events)
	a := newAcks(len(events), func(stored bool) {
		s.gate.leave(tenant, n, size)
		if stored {
			s.acked.Store(s.now().UnixNano())
		}
	})
	recs := kafka.ToRecords(kafka.TopicIngress, events)
	for i := range recs {
		s.Producer.ProduceAsync(&recs[i], func(_ *kafka.Record, err error) { a.take(i, err) })
	}
	return a
}

// sizeOf is how many bytes the values of events have.
func sizeOf(events []event.Event) (size int64) {
	for i := range events {
		size += int64(len(events[i].Value))
	}
	return size
}

// wait waits until each event that was sent is acknowledged, has failed, or the ack timeout is over. The answer has one entry
// an event; nil is acknowledged, everything else is unknown. Records whose wait
// was given up stay on their way: cancelling an idempotent produce can lose a
// later record (franz-go before 1.22.2) and never un-sends one.
func (s *Server) wait(ctx context.Context, a *acks) []error {
	if len(a.errs) == 0 {
		return nil
	}
	timer := time.NewTimer(s.AckTimeout)
	defer timer.Stop()
	select {
	case <-a.all:
	case <-timer.C:
	case <-ctx.Done():
	}
	return a.soFar()
}

// acks collects the acknowledgements of one request. Only the last one wakes the request up.
type acks struct {
	all  chan struct{}     // closed by the last one
	done func(stored bool) // called by the last one; stored says that Kafka took at least one record

	mu     sync.Mutex
	errs   []error
	left   int
	stored bool
}

func newAcks(n int, done func(stored bool)) *acks {
	a := &acks{all: make(chan struct{}), done: done, errs: make([]error, n), left: n}
	for i := range a.errs {
		a.errs[i] = context.DeadlineExceeded
	}
	return a
}

// take takes the acknowledgement of record i, or its failure. It never blocks for long, also when the request has ended.
func (a *acks) take(i int, err error) {
	a.mu.Lock()
	a.errs[i] = err
	a.stored = a.stored || err == nil
	a.left--
	last, stored := a.left == 0, a.stored
	a.mu.Unlock()
	if last {
		a.done(stored)
		close(a.all)
	}
}

func (a *acks) soFar() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.errs)
}

// Bounds on what waits for Kafka. They lie below the client's own buffer, in
// which Produce would block: while Kafka is away the answer is 503 at once.
const (
	maxWaitingRecords = 8000
	maxWaitingBytes   = 64 << 20
)

// gate counts records that were handed to the producer, until all of their request are acknowledged or have failed, abandoned ones too. One tenant may have half of them.
type gate struct {
	records, bytes *budget
}

func newGate() *gate {
	return &gate{records: newBudget(maxWaitingRecords, maxWaitingRecords/2), bytes: newBudget(maxWaitingBytes, maxWaitingBytes/2)}
}

func (g *gate) enter(tenant string, events []event.Event) bool {
	n, size := int64(len(events)), sizeOf(events)
	if g.records.take(tenant, 0, n) != enough {
		return false
	}
	if g.bytes.take(tenant, 0, size) != enough {
		g.records.give(tenant, n)
		return false
	}
	return true
}

func (g *gate) leave(tenant string, n, size int64) {
	g.records.give(tenant, n)
	g.bytes.give(tenant, size)
}

// ackedLately is how young an acknowledgement must be to count for more than a probe that says that Kafka is away.
const ackedLately = 5 * time.Second

// away refuses a request before its body is read while Kafka is known to be away: nothing of it could be stored, and it would only
// take memory until its time is over.
func (s *Server) away() *Problem {
	if s.Away == nil || s.now().Sub(time.Unix(0, s.acked.Load())) < ackedLately {
		return nil
	}
	cause := s.Away()
	if cause == nil {
		return nil
	}
	s.metrics.event(statusRefused, event.CodeUnavailable)
	p := problem(event.CodeUnavailable, "Kafka does not answer, so nothing can be stored; nothing of this request was").
		hint("send it again later with the same id or Idempotency-Key").retry(5)
	p.cause = cause
	return p
}
