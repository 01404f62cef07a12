package soak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// Between two probes of a partition.
const probeEvery = 250 * time.Millisecond

// Watch reads ingress, log and dead letters and probes every partition.
type Watch struct {
	reader, producer *kgo.Client
	history          *checker.History
	encode           func(data map[string]string) ([]byte, error)
	tenants          [cluster.Partitions]string // one that belongs to each partition
	prefix           string

	mu      sync.Mutex
	witness *checker.Witness
	busy    [cluster.Partitions]int64 // records of ingress that were read, and when they are halved, of late
	probes  map[string]*probe
	broken  error
}

type probe struct {
	partition           int
	sent, acked, logged time.Time
}

// WatchConfig is what a Watch needs.
type WatchConfig struct {
	Brokers []string
	Tenants []string // to choose the probes' from
	History *checker.History
	Encode  func(data map[string]string) ([]byte, error) // of lead.created
	Seed    uint64
}

// NewWatch makes a watch that reads from the beginning.
func NewWatch(c WatchConfig) (*Watch, error) {
	w := &Watch{history: c.History, encode: c.Encode, prefix: fmt.Sprintf("probe-%d-", c.Seed), probes: map[string]*probe{}}
	w.witness = checker.NewWitness(partitionOf)
	for _, t := range c.Tenants {
		w.tenants[partitionOf(t)] = t
	}
	for p, t := range w.tenants {
		if t == "" {
			return nil, fmt.Errorf("no tenant belongs to partition %d", p)
		}
	}
	topics := map[string]map[int32]kgo.Offset{}
	for _, topic := range []string{kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter} {
		topics[topic] = map[int32]kgo.Offset{}
		for p := range int32(cluster.Partitions) {
			topics[topic][p] = kgo.NewOffset().AtStart()
		}
	}
	var err error
	// It is in no hurry, and every answer to a fetch costs a broker as much as one with more in it.
	if w.reader, err = kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ConsumePartitions(topics), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMinBytes(256<<10), kgo.FetchMaxWait(200*time.Millisecond)); err != nil {
		return nil, err
	}
	if w.producer, err = kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.DefaultProduceTopic(kafka.TopicIngress), kgo.ProducerLinger(0)); err != nil {
		w.reader.Close()
		return nil, err
	}
	return w, nil
}

func partitionOf(tenant string) int32 {
	return kafka.PartitionFor([]byte(tenant), cluster.Partitions)
}

// Close closes the connections.
func (w *Watch) Close() {
	w.reader.Close()
	w.producer.Close()
}

// Read reads until ctx ends. A record that cannot be understood ends it, and everything that is asked of the watch fails from then on.
func (w *Watch) Read(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := w.reader.PollFetches(ctx)
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			if err := w.take(r); err != nil {
				w.broken = errors.Join(w.broken, err)
			}
		})
		w.mu.Unlock()
	}
}

func (w *Watch) take(r *kgo.Record) error {
	switch r.Topic {
	case kafka.TopicIngress:
		e, err := kafka.ParseRecord(r)
		if err != nil {
			return fmt.Errorf("offset %d of partition %d of ingress: %w", r.Offset, r.Partition, err)
		}
		w.witness.Ingress(r.Partition, r.Offset, &e)
		w.busy[r.Partition]++
	case kafka.TopicEvents:
		e, err := kafka.ParseRecorded(r)
		if err != nil {
			return fmt.Errorf("offset %d of partition %d of the log: %w", r.Offset, r.Partition, err)
		}
		e.Value = nil // the record's memory is not kept
		w.witness.Log(&e)
		if p := w.probes[e.ID]; p != nil && p.logged.IsZero() {
			p.logged = time.Now()
		}
	case kafka.TopicDeadLetter:
		d := checker.DeadLetter{Tenant: string(r.Key)}
		for _, h := range r.Headers {
			switch h.Key {
			case "ce_id":
				d.ID = string(h.Value)
			case "nx_error_code":
				d.Code = string(h.Value)
			case "ce_deriver":
				d.Deriver = string(h.Value)
			}
		}
		w.witness.DeadLetter(d)
	}
	return nil
}

// Probe sends an event to every partition four times a second until ctx ends.
func (w *Watch) Probe(ctx context.Context) error {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		ops := make([]checker.Op, len(w.tenants))
		for p, tenant := range w.tenants {
			id := fmt.Sprintf("%s%d-%d", w.prefix, p, n)
			ops[p] = checker.Op{At: time.Now(), Client: "probe", Tenant: tenant, ID: id, Type: "lead.created", Subject: "lead/" + id, Outcome: checker.Unknown, Tries: 1}
		}
		if err := w.history.Write(ops...); err != nil {
			return err
		}
		for p, op := range ops {
			if err := w.send(p, op); err != nil {
				return err
			}
		}
	}
}

func (w *Watch) send(p int, op checker.Op) error {
	value, err := w.encode(map[string]string{"lead_id": op.ID, "source": "probe"})
	if err != nil {
		return err
	}
	r := kafka.ToRecord(kafka.TopicIngress, &event.Event{TenantID: op.Tenant, ID: op.ID, Type: op.Type, Source: "/e2e/probe", Subject: op.Subject, Time: op.At.UTC(), Value: value})
	sent := &probe{partition: p, sent: time.Now()}
	w.mu.Lock()
	w.probes[op.ID] = sent
	w.mu.Unlock()
	w.producer.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			return
		}
		w.mu.Lock()
		sent.acked = time.Now()
		w.mu.Unlock()
		op.Outcome = checker.OK
		_ = w.history.Write(op) // one that is missing stays of unknown outcome
	})
	return nil
}

// Recovered waits until a probe of every partition that was sent after since was acknowledged and is in the log, and returns how long
// after since the slowest partition had its first one.
func (w *Watch) Recovered(ctx context.Context, since time.Time, limit time.Duration) (took time.Duration, err error) {
	err = cluster.Eventually(ctx, limit, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.broken != nil {
			return w.broken
		}
		var first [cluster.Partitions]time.Time
		for _, p := range w.probes {
			if p.sent.Before(since) || p.acked.IsZero() || p.logged.IsZero() {
				continue
			}
			if at := later(p.acked, p.logged); first[p.partition].IsZero() || at.Before(first[p.partition]) {
				first[p.partition] = at
			}
		}
		took = 0
		for p, at := range first {
			if at.IsZero() {
				return fmt.Errorf("no probe of partition %d came through", p)
			}
			took = max(took, at.Sub(since))
		}
		return nil
	})
	return took, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Forget drops probes that are older than what anybody still asks for.
func (w *Watch) Forget(before time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, p := range w.probes {
		if p.sent.Before(before) && !p.logged.IsZero() && !p.acked.IsZero() {
			delete(w.probes, id)
		}
	}
}

// Busiest is the partition through which most came of late.
func (w *Watch) Busiest() int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	best := 0
	for p := range w.busy {
		if w.busy[p] > w.busy[best] {
			best = p
		}
	}
	for p := range w.busy {
		w.busy[p] /= 2
	}
	w.busy[best] = 0 // another one next time
	return int32(best)
}

// Ask lets fn ask the witness while nothing is added to what it knows.
func (w *Watch) Ask(fn func(*checker.Witness)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(w.witness)
	return w.broken
}

// Judged waits until everything below the sequencer's committed offsets is known to be in the log or in the dead letters. What is not in
// time is an I10 that is broken.
func (w *Watch) Judged(ctx context.Context, committed map[int32]int64, limit time.Duration) error {
	var left []string
	err := cluster.Eventually(ctx, limit, func(context.Context) error {
		err := w.Ask(func(x *checker.Witness) { left = x.Unjudged(committed) })
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%s came in below the committed offset and is nowhere", strings.Join(left, ", "))
		}
		return err
	})
	if err != nil && len(left) > 0 && ctx.Err() == nil {
		return errors.Join(w.Ask(func(x *checker.Witness) { x.Broken("I10", err.Error()) }), err)
	}
	return err
}
