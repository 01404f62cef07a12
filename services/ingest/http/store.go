package httpin

import (
	"context"
	"sync/atomic"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// store produces events that passed the gate, in order, and waits until each is
// acknowledged, has failed, or the ack timeout is over. The answer has one entry
// an event; nil is acknowledged, everything else is unknown. Records whose wait
// was given up stay on their way: cancelling an idempotent produce can lose a
// later record (franz-go before 1.22.2) and never un-sends one.
func (s *Server) store(ctx context.Context, events []event.Event) []error {
	wait, cancel := context.WithTimeout(ctx, s.AckTimeout)
	defer cancel()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(events)) // buffered: a late acknowledgement finds room though nobody waits
	for i := range events {
		rec := kafka.ToRecord(kafka.TopicIngress, &events[i])
		size := int64(len(events[i].Value))
		s.Producer.ProduceAsync(rec, func(_ *kafka.Record, err error) {
			s.gate.leave(size)
			results <- result{i, err}
		})
	}
	out := make([]error, len(events))
	for i := range out {
		out[i] = context.DeadlineExceeded
	}
	for range events {
		select {
		case res := <-results:
			out[res.i] = res.err
		case <-wait.Done():
			return out
		}
	}
	return out
}

// Bounds on what waits for Kafka. They lie below the client's own buffer, in
// which Produce would block: while Kafka is away the door says 503 at once.
const (
	maxWaitingRecords = 8000
	maxWaitingBytes   = 64 << 20
)

// gate counts records that were handed to the producer and have no
// acknowledgement yet, abandoned ones too.
type gate struct {
	records, bytes atomic.Int64
}

func (g *gate) enter(events []event.Event) bool {
	var size int64
	for i := range events {
		size += int64(len(events[i].Value))
	}
	n := int64(len(events))
	if g.records.Add(n) > maxWaitingRecords {
		g.records.Add(-n)
		return false
	}
	if g.bytes.Add(size) > maxWaitingBytes {
		g.records.Add(-n)
		g.bytes.Add(-size)
		return false
	}
	return true
}

func (g *gate) leave(size int64) {
	g.records.Add(-1)
	g.bytes.Add(-size)
}
