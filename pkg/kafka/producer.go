package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer writes records outside of transactions: idempotent, acks=all, never cancelled.
type Producer struct {
	client *kgo.Client
}

// NewProducer opens a producer. linger is how long it waits to fill a batch; 0 sends at once. reg may be nil.
func NewProducer(cfg Config, linger time.Duration, reg prometheus.Registerer) (*Producer, error) {
	return nil, errors.New("kafka: producer not built yet")
}

// Produce writes records and returns when every one is acknowledged, or with the first error. Cancelling ctx
// abandons only the waiting: the records stay on their way (H09), so such an error means "unknown".
func (p *Producer) Produce(ctx context.Context, recs ...*Record) error { return nil }

// ProduceAsync writes one record and calls done from a client goroutine when it is acknowledged or has failed.
func (p *Producer) ProduceAsync(rec *Record, done func(*Record, error)) {}

// Close waits up to 10 s for buffered records and closes.
func (p *Producer) Close() {}
