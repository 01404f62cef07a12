package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// warmUp is how long a steady load runs before latencies count.
const warmUp = time.Second

// admissionLatency measures produce → visible at a steady rate: through the sequencer to the log, and raw to a plain topic.
func (b *bench) admissionLatency(ctx context.Context, r *report) error {
	pairs, err := b.pairs(ctx, nil,
		func(ctx context.Context) (sample, error) { return b.produced(ctx, topicRaw, topicRaw) },
		func(ctx context.Context) (s sample, err error) {
			if err := b.sequencer.Start(); err != nil {
				return s, err
			}
			defer func() { err = errors.Join(err, b.sequencer.Term()) }()
			if err := b.sequencer.Ready(ctx); err != nil {
				return s, err
			}
			return b.produced(ctx, kafka.TopicIngress, kafka.TopicEvents)
		})
	if err != nil {
		return err
	}
	r.latency("admission", fmt.Sprintf("%d events/s for %s a round, from produce to neuronx.ingress (acks=all, linger 0) to visible to a read_committed consumer of neuronx.events, only the sequencer running; "+
		"raw limit: plain produce to consume of the same events", b.o.rate, b.o.load), pairs)
	return nil
}

// produced produces to one topic at the steady rate and waits for the same events in another.
func (b *bench) produced(ctx context.Context, in, out string) (sample, error) {
	producer, err := kgo.NewClient(producing(b.c.Kafka.Brokers, kgo.ProducerLinger(0))...)
	if err != nil {
		return sample{}, err
	}
	defer producer.Close()
	s, err := b.steady(ctx, out, func(id string, done func(error)) {
		r := b.maker.record(b.maker.tenant(), id)
		r.Topic = in
		producer.Produce(ctx, r, func(_ *kgo.Record, err error) { done(err) })
	})
	if in == kafka.TopicIngress {
		b.window += int64(s.n)
	}
	return s, err
}

// steady sends events at the steady rate and waits for the same events in a topic. send does not block, and calls done once.
func (b *bench) steady(ctx context.Context, out string, send func(id string, done func(error))) (sample, error) {
	ends, err := b.ends(ctx, out)
	if err != nil {
		return sample{}, err
	}
	start := map[int32]kgo.Offset{}
	for p, o := range ends {
		start[p] = kgo.NewOffset().At(o)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.c.Kafka.Brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{out: start}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return sample{}, err
	}
	defer consumer.Close()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var mu sync.Mutex
	sent := map[string]time.Time{}
	n := int((warmUp + b.o.load).Seconds() * float64(b.o.rate))
	var open sync.WaitGroup
	open.Go(func() {
		began := time.Now()
		for i := range n {
			at := began.Add(time.Duration(i) * time.Second / time.Duration(b.o.rate))
			if wait(ctx, at) != nil {
				return
			}
			id := b.maker.id()
			mu.Lock()
			sent[id] = time.Now()
			mu.Unlock()
			open.Add(1)
			send(id, func(err error) {
				defer open.Done()
				if err != nil {
					fail(err)
				}
			})
		}
	})
	s, err := b.arrivals(ctx, consumer, n, &mu, sent)
	if err != nil {
		fail(err)
	}
	open.Wait()
	return s, context.Cause(ctx)
}

// arrivals collects the latencies of n events, but for those sent during the warm-up, and counts what else arrives after that.
func (b *bench) arrivals(ctx context.Context, consumer *kgo.Client, n int, mu *sync.Mutex, sent map[string]time.Time) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, warmUp+b.o.load+30*time.Second)
	defer cancel()
	var all []time.Duration
	counted, others := time.Now().Add(warmUp), 0
	for seen := 0; seen < n; {
		fetches := consumer.PollFetches(ctx)
		now := time.Now()
		if err := errors.Join(fetches.Err(), context.Cause(ctx)); err != nil {
			return sample{}, fmt.Errorf("%d of %d events arrived: %w", seen, n, err)
		}
		mu.Lock()
		for it := fetches.RecordIter(); !it.Done(); {
			id, _ := kafka.Header(it.Next(), "ce_id")
			at, ok := sent[id]
			if !ok {
				if now.After(counted) {
					others++
				}
				continue
			}
			seen++
			delete(sent, id)
			if !at.Before(counted) {
				all = append(all, now.Sub(at))
			}
		}
		mu.Unlock()
	}
	s := latencies(all)
	s.others = float64(others) / time.Since(counted).Seconds()
	return s, nil
}

func wait(ctx context.Context, until time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(until)):
		return nil
	}
}
