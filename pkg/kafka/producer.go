package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// ErrBufferFull says that a record was not taken because too many are waiting to be acknowledged: Kafka is slow or away.
// Nothing was written; the caller may say "try again later".
var ErrBufferFull = errors.New("kafka: the producer's buffer is full")

// ErrTooLarge says that a record is over its topic's max.message.bytes. Nothing was written.
var ErrTooLarge = errors.New("kafka: the record is over the topic's size limit")

// maxUnacknowledged bounds the memory of records on their way, in bytes.
const maxUnacknowledged = 128 << 20

// closeWait is how long Close waits for records on their way.
const closeWait = 10 * time.Second

// Producer writes records outside of transactions: idempotent, acks=all, never cancelled. It is safe for concurrent use.
type Producer struct {
	client  *kgo.Client
	room    *semaphore.Weighted
	metrics *producerMetrics

	moved atomic.Int64 // Unix nanoseconds: when a record was acknowledged last, exact to progressStep
	watch struct {     // of Check
		sync.Mutex
		moved int64     // as it was last seen
		since time.Time // since when records wait and it has not changed; zero: they don't, or it has
	}
}

// NewProducer opens a producer. linger is how long it waits to fill a batch; 0 sends at once. reg may be nil. It does not
// wait for a broker.
func NewProducer(cfg Config, linger time.Duration, reg prometheus.Registerer) (*Producer, error) {
	opts, err := cfg.Options(Producing(linger)...)
	if err != nil {
		return nil, err
	}
	// The semaphore bounds what is on its way, so the client's own bounds, which block without an end, never bind.
	opts = append(opts, partitioner(), kgo.MaxBufferedRecords(math.MaxInt32))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: open producer: %w", err)
	}
	return &Producer{client: client, room: semaphore.NewWeighted(maxUnacknowledged), metrics: newProducerMetrics(reg)}, nil
}

// Produce writes records and returns when every one is acknowledged, or with the first error. Cancelling ctx abandons only
// the waiting, because a record on its way can't be called back: then its outcome is unknown, and the caller must say
// so rather than "failed". Records for one partition keep their order.
func (p *Producer) Produce(ctx context.Context, recs ...*Record) error {
	acks := make(chan error, len(recs)) // never blocks the client, even when nobody waits any more
	for _, r := range recs {
		if !Fits(r) {
			return fmt.Errorf("produce to %s: %d bytes: %w", r.Topic, BatchSize(r), ErrTooLarge)
		}
	}
	for i, r := range recs {
		if err := p.room.Acquire(ctx, weight(r)); err != nil {
			if i == 0 {
				return fmt.Errorf("produce to %s: %w: %w", r.Topic, ErrBufferFull, err)
			}
			return fmt.Errorf("produce: %d of %d records handed over, their outcome unknown: %w", i, len(recs), err)
		}
		p.send(r, func(_ *Record, err error) { acks <- err })
	}
	for range recs {
		select {
		case err := <-acks:
			if err != nil {
				return fmt.Errorf("produce: %w", err)
			}
		case <-ctx.Done():
			return fmt.Errorf("produce: outcome unknown: %w", ctx.Err())
		}
	}
	return nil
}

// ProduceAsync writes one record and calls done when it is acknowledged or has failed: from a goroutine of the client, which
// done must not block, or from this one with ErrTooLarge or ErrBufferFull when the record was not taken.
func (p *Producer) ProduceAsync(rec *Record, done func(*Record, error)) {
	switch {
	case !Fits(rec):
		done(rec, ErrTooLarge)
	case !p.room.TryAcquire(weight(rec)):
		done(rec, ErrBufferFull)
	default:
		p.send(rec, done)
	}
}

func (p *Producer) send(r *Record, done func(*Record, error)) {
	w, start := weight(r), time.Now()
	// The context is not the caller's: cancelling it would cancel the record.
	p.client.Produce(context.Background(), r, func(r *Record, err error) {
		p.room.Release(w)
		took := time.Since(start)
		if at := start.Add(took).UnixNano(); err == nil && at-p.moved.Load() > int64(progressStep) {
			p.moved.Store(at)
		}
		p.metrics.observe(r.Topic, took, err)
		done(r, err)
	})
}

// Ping asks a broker for an answer.
func (p *Producer) Ping(ctx context.Context) error { return p.client.Ping(ctx) }

// stuckAfter is how long nothing may be acknowledged while records are on their way. progressStep is how exactly acknowledgements are
// timed: cores that write the same word for every record would wait for each other.
const (
	stuckAfter   = 5 * time.Second
	progressStep = 100 * time.Millisecond
)

// Check is Ping, and fails when records were on their way at every call of the last 5 s and none was acknowledged: a broker whose disk is
// full answers questions and stores nothing.
func (p *Producer) Check(ctx context.Context) error {
	if err := p.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: ping: %w", err)
	}
	n, now := p.client.BufferedProduceRecords(), time.Now()
	p.watch.Lock()
	defer p.watch.Unlock()
	if moved := p.moved.Load(); n == 0 || moved != p.watch.moved {
		p.watch.moved, p.watch.since = moved, time.Time{}
	} else if p.watch.since.IsZero() {
		p.watch.since = now
	} else if idle := now.Sub(p.watch.since); idle > stuckAfter {
		return fmt.Errorf("kafka: it answers, but %d records wait to be stored, none was for %s: is a broker's disk full, or are too few replicas in sync?", n, idle.Round(time.Second))
	}
	return nil
}

// Close waits up to 10 s for records on their way, then closes; those that are left get an error.
func (p *Producer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = p.client.Flush(ctx) // an error here means that records are left; their callbacks say so
	p.client.Close()
}

// Abort closes at once; records on their way get an error, and their outcome is unknown.
func (p *Producer) Abort() { p.client.Close() }

func weight(r *Record) int64 { return min(int64(BatchSize(r)), maxUnacknowledged) }
