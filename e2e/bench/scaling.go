package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

const (
	jobScaling        = "scaling"
	jobScalingArchive = "scaling_archive"

	fillTimeout = 10 * time.Minute // of the transaction that hides a backlog; the broker's limit is 15
)

// point is a size of the engine. All but the base are larger along one axis.
type point struct {
	axis       string // empty: the base
	events     int    // measured; before them come as many as are measured at the base
	tenants    int
	partitions int32
}

// points are the base and one point an axis; more is how many times the tenants are.
func (b *bench) points(more int) []point {
	n := b.o.scaling
	return []point{
		{"", n, tenants, cluster.Partitions},
		{"events", 10 * n, tenants, cluster.Partitions},
		{"tenants", n, more * tenants, cluster.Partitions},
		{"partitions", n, tenants, 8 * cluster.Partitions},
	}
}

func (p point) String() string {
	if p.axis == "" {
		return "base"
	}
	return p.axis
}

// scaled is what one round measures at a point.
type scaled struct {
	sample
	counts counts
}

// scaling measures what an event's admission costs at every point: the sequencer's process and the broker.
func (b *bench) scaling(ctx context.Context, r *report) error {
	points := b.points(100)
	all, err := b.atPoints(ctx, points, func(ctx context.Context, p point) (scaled, error) { return b.scale(ctx, p, b.process(b.sequencer)) })
	if err == nil {
		r.scaling(jobScaling, "admission by one neuronx-ingest --roles sequencer, which has admitted as many events before as are measured at the base, "+
			"of a backlog that becomes readable at once; CPU without Postgres", points, all)
	}
	return err
}

// atPoints runs the rounds; in each every point is measured once, in another order than in the one before, so that none always comes
// after the same. Before them the base is measured for the broker's JVM, which compiles what it runs often.
func (b *bench) atPoints(ctx context.Context, points []point, measure func(context.Context, point) (scaled, error)) ([][]scaled, error) {
	if _, err := measure(ctx, points[0]); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	all := make([][]scaled, len(points))
	for i := range b.o.rounds {
		for k := range points {
			at := (i/2 + k) % len(points)
			if i%2 == 1 {
				at = len(points) - 1 - at
			}
			runtime.GC() // garbage of the point before is not this one's
			s, err := measure(ctx, points[at])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", points[at], err)
			}
			b.say("  round %d, %s: %s", i+1, points[at], s.sample)
			all[at] = append(all[at], s)
		}
	}
	return all, nil
}

// backlog is what waits in ingress at a point.
type backlog struct {
	warm, all map[int32]int64 // ingress offsets behind what is readable, and behind what is hidden
	show      func(context.Context) error
	close     func()
}

// prepare empties the engine, makes the tenants of a point, and fills ingress: with some events to warm up, and with those that are
// measured in a transaction that is still open, so that readers of committed records meet them all at once, when it ends.
func (b *bench) prepare(ctx context.Context, p point) (*backlog, error) {
	if err := b.c.Reprovision(ctx, p.partitions); err != nil {
		return nil, err
	}
	m := *b.maker
	m.partitions = p.partitions
	var err error
	if m.tenants, err = b.createTenants(ctx, p.tenants); err != nil {
		return nil, err
	}
	linger := kgo.ProducerLinger(5 * time.Millisecond)
	plain, err := kgo.NewClient(producing(b.c.Kafka.Brokers, linger)...)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	if err := m.write(ctx, plain, b.o.scaling); err != nil {
		return nil, err
	}
	l := &backlog{}
	if l.warm, err = b.ends(ctx, kafka.TopicIngress); err != nil {
		return nil, err
	}
	if got, want := sum(l.warm), int64(b.o.scaling+p.tenants); got != want {
		return nil, fmt.Errorf("fill ingress: %d events are there instead of %d", got, want)
	}
	hidden, err := kgo.NewClient(producing(b.c.Kafka.Brokers, linger, kgo.TransactionalID("neuronx.bench.fill"), kgo.TransactionTimeout(fillTimeout))...)
	if err != nil {
		return nil, err
	}
	l.close = hidden.Close
	l.show = func(ctx context.Context) error { return hidden.EndTransaction(ctx, kgo.TryCommit) }
	if err = hidden.BeginTransaction(); err == nil {
		err = m.write(ctx, hidden, p.events)
	}
	if err == nil {
		l.all, err = b.ends(ctx, kafka.TopicIngress) // before the commit adds its markers
	}
	if err != nil {
		hidden.Close()
		return nil, err
	}
	return l, nil
}

// createTenants makes tenants known to the sequencer. Keys and rules, which cluster.Tenants adds, mean nothing to it.
func (b *bench) createTenants(ctx context.Context, n int) ([]load.Tenant, error) {
	producer, err := kafka.NewProducer(b.c.Kafka, 5*time.Millisecond, nil)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	publisher := control.New(producer, b.c.Keys, b.c.Registry)
	out, recs := make([]load.Tenant, n), make([]*kafka.Record, n)
	for i := range out {
		id := fmt.Sprintf("bench-%d", i)
		const created = "tenant.created"
		e, err := publisher.Build(ctx, id, created, "tenant/"+id, event.DerivedID(id, "bench", created), map[string]any{"name": id})
		if err != nil {
			return nil, err
		}
		out[i], recs[i] = load.Tenant{ID: id}, kafka.ToRecord(kafka.TopicIngress, &e)
	}
	return out, producer.Produce(ctx, recs...)
}

// scale has the backlog of a point admitted by a process that is warm and idle when it appears.
func (b *bench) scale(ctx context.Context, p point, run runner) (out scaled, err error) {
	l, err := b.prepare(ctx, p)
	if err != nil {
		return out, err
	}
	defer l.close()
	pid, admitted, stop, err := run(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := errors.Join(b.drained(ctx, l.warm), admittedAll(ctx, admitted, sum(l.warm))); err != nil {
		return out, err
	}
	if err := b.calm(ctx); err != nil {
		return out, err
	}
	before, err := b.count(ctx)
	if err != nil {
		return out, err
	}
	began, cpu := time.Now(), b.meter.read(pid)
	if err := l.show(ctx); err != nil {
		return out, fmt.Errorf("show the backlog: %w", err)
	}
	if err := b.drained(ctx, l.all); err != nil {
		return out, err
	}
	out.sample = sample{n: float64(p.events), wall: time.Since(began), cpu: b.meter.read(pid).since(cpu), peak: peakMemory(pid)}
	out.cpu.postgres = 0 // cleans up after the database of the point before
	if err := admittedAll(ctx, admitted, sum(l.all)); err != nil {
		return out, err
	}
	after, err := b.count(ctx)
	out.counts = after.since(before)
	return out, err
}

// calm waits until the broker, which has just deleted, made and filled topics, uses less than a tenth of a core; after 10 s it is taken as
// it is.
func (b *bench) calm(ctx context.Context) error {
	const look = 500 * time.Millisecond
	for range 20 {
		before := b.meter.read(os.Getpid()).broker
		if err := wait(ctx, time.Now().Add(look)); err != nil {
			return err
		}
		if b.meter.read(os.Getpid()).broker-before < look/10 {
			break
		}
	}
	return nil
}

// drained waits until the sequencer has committed all of ingress up to some offsets.
func (b *bench) drained(ctx context.Context, to map[int32]int64) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(poll) {
		committed, err := b.admin.Committed(ctx, kafka.GroupSequencer)
		if err != nil {
			return err
		}
		left := 0
		for p, o := range to {
			if o > 0 && committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}].Offset < o {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the backlog was not admitted in 5 minutes:\n%s", b.sequencer.Tail(10))
}

// counts are what may explain a growth.
type counts struct {
	transactions float64
	state        float64 // bytes of deltas
}

func (c counts) since(d counts) counts {
	return counts{c.transactions - d.transactions, c.state - d.state}
}

// count reads the sequencer's metrics; a sequencer in this process, under a profile, is not asked.
func (b *bench) count(ctx context.Context) (c counts, err error) {
	if b.o.profiles != "" {
		return c, nil
	}
	if c.transactions, err = scrape(ctx, b.sequencer.Admin, `neuronx_sequencer_transactions_total{outcome="committed"`); err != nil {
		return c, err
	}
	c.state, err = scrape(ctx, b.sequencer.Admin, "neuronx_sequencer_delta_bytes")
	return c, err
}
