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

// settle is how long a steady load runs before latencies count.
const settle = time.Second

// admissionLatency measures produce → visible at a steady rate: through the sequencer to the log, and raw to a plain topic.
func (b *bench) admissionLatency(ctx context.Context, r *report) error {
	pairs, err := b.pairs(ctx, nil,
		func(ctx context.Context) (sample, error) { return b.steady(ctx, topicRaw, topicRaw) },
		func(ctx context.Context) (s sample, err error) {
			if err := b.sequencer.Start(); err != nil {
				return s, err
			}
			defer func() { err = errors.Join(err, b.sequencer.Term()) }()
			if err := b.sequencer.Ready(ctx); err != nil {
				return s, err
			}
			return b.steady(ctx, kafka.TopicIngress, kafka.TopicEvents)
		})
	if err != nil {
		return err
	}
	r.latency("admission", fmt.Sprintf("%d events/s for %s a round, from produce to neuronx.ingress (acks=all, linger 0) to visible to a read_committed consumer of neuronx.events, only the sequencer running; "+
		"raw limit: plain produce to consume of the same events", b.o.rate, b.o.load), pairs)
	return nil
}

// steady produces to one topic at the steady rate and waits for the same events in another.
func (b *bench) steady(ctx context.Context, in, out string) (sample, error) {
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
	producer, err := kgo.NewClient(producing(b.c.Kafka.Brokers, kgo.ProducerLinger(0))...)
	if err != nil {
		return sample{}, err
	}
	defer producer.Close()

	var mu sync.Mutex
	sent := map[string]time.Time{}
	var failed error
	n := int((settle + b.o.load).Seconds() * float64(b.o.rate))
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		began := time.Now()
		for i := range n {
			at := began.Add(time.Duration(i) * time.Second / time.Duration(b.o.rate))
			if wait(ctx, at) != nil {
				return
			}
			id := b.maker.id()
			r := b.maker.record(b.maker.tenant(), id)
			r.Topic = in
			mu.Lock()
			sent[id] = time.Now()
			mu.Unlock()
			producer.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			})
		}
	}()
	all, err := b.arrivals(ctx, consumer, n, &mu, sent)
	<-sending
	mu.Lock()
	defer mu.Unlock()
	if in == kafka.TopicIngress {
		b.window += int64(n)
	}
	return latencies(all), errors.Join(err, failed)
}

// arrivals collects the latencies of n events, but for those sent while the load settled.
func (b *bench) arrivals(ctx context.Context, consumer *kgo.Client, n int, mu *sync.Mutex, sent map[string]time.Time) (all []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, settle+b.o.load+30*time.Second)
	defer cancel()
	began := time.Now()
	for seen := 0; seen < n; {
		fetches := consumer.PollFetches(ctx)
		now := time.Now()
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("%d of %d events arrived: %w", seen, n, err)
		}
		mu.Lock()
		for it := fetches.RecordIter(); !it.Done(); {
			id, _ := kafka.Header(it.Next(), "ce_id")
			at, ok := sent[id]
			if !ok {
				continue
			}
			seen++
			delete(sent, id)
			if at.Sub(began) >= settle {
				all = append(all, now.Sub(at))
			}
		}
		mu.Unlock()
	}
	return all, nil
}

func wait(ctx context.Context, until time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(until)):
		return nil
	}
}
