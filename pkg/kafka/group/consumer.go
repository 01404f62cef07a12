package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/membership"
	"github.com/neuronx/engine/pkg/kafka/read"
)

const (
	defaultMaxRecords     = 2000
	defaultSessionTimeout = 15 * time.Second
	tickInterval          = time.Second
	// finishWait is how long a batch may go on after Run was told to stop.
	finishWait = 20 * time.Second
)

// ResumeFunc decides where to read from when partitions are assigned: it gets what the group has committed for exactly those
// partitions (those without a commit are there too, with Present false) and the ids of their topics. A partition that it
// leaves out resumes at its commit, or without one at the start of the log. An error makes the member join again.
type ResumeFunc func(ctx context.Context, committed map[kafka.TopicPartition]kafka.Committed, topicIDs map[string][16]byte) (map[kafka.TopicPartition]int64, error)

// Config says what a Consumer reads and how it resumes.
type Config struct {
	kafka.Config
	Group      string
	Topics     []string
	MaxRecords int // of a batch; 0 means 2,000
	Log        *slog.Logger
	Reg        prometheus.Registerer // nil: no metrics
	// SessionTimeout is how long the group waits for a silent member before it gives its partitions away; 0 means 15 s.
	SessionTimeout time.Duration
	// Resume is called at every assignment. Nil resumes at the commits.
	Resume ResumeFunc
	// Metadata is written with every commit of a partition: "nx1:<slot>:<log id>", to which the group and the offset are added (see
	// CommitMark). Nil writes "nx1::".
	Metadata func(kafka.TopicPartition) string
	// Assigned is told of new partitions before Resume is asked, Revoked of those that went. Both are optional and must be
	// brief. Correctness must not rest on Revoked: a member that was paused learns of it late.
	Assigned, Revoked func(context.Context, []kafka.TopicPartition)
}

// Consumer is one member of a consumer group.
type Consumer struct {
	cfg     Config
	log     *slog.Logger
	opts    []kgo.Opt
	client  *kgo.Client // set by Run; callbacks use the one that they are given, as they may run before that
	metrics *lagCollector

	fetched      map[kafka.TopicPartition]kafka.Committed // what offsetsFetched saw; used by resume, which follows it
	resumeClient *kgo.Client

	member *membership.Balancer

	foreign atomic.Int64 // members that are none of the engine's, where this one is the leader

	mu    sync.Mutex
	owned map[kafka.TopicPartition]*partition
	stale bool // what is owned was another member's (see membership): it is not committed
}

// New prepares a member; Run joins.
func New(cfg Config) (*Consumer, error) {
	if cfg.Group == "" || len(cfg.Topics) == 0 {
		return nil, errors.New("kafka: a consumer group needs a name and topics")
	}
	if cfg.MaxRecords <= 0 {
		cfg.MaxRecords = defaultMaxRecords
	}
	if cfg.SessionTimeout <= 0 {
		cfg.SessionTimeout = defaultSessionTimeout
	}
	if cfg.Metadata == nil {
		cfg.Metadata = func(kafka.TopicPartition) string { return kafka.CommitMark + "::" }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Consumer{cfg: cfg, log: cfg.Log.With("group", cfg.Group), owned: make(map[kafka.TopicPartition]*partition)}
	g.member = membership.New(g.log)
	cfg.Config.Log = g.log
	opts, err := cfg.Options(read.Options(kgo.NoResetOffset().AtStart())...)
	if err != nil {
		return nil, err
	}
	g.opts = append(opts,
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topics...),
		// Classic groups: KIP-848's commits race with its rebalances before Kafka 4.3.
		kgo.Balancers(&balancer{g.member, g}),
		kgo.WithHooks(g),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, cfg.SessionTimeout/3)),
		kgo.DisableAutoCommit(),
		// From a poll to AllowRebalance this member keeps its partitions, so that a commit is never for somebody else's.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(g.assigned),
		kgo.OnPartitionsRevoked(g.revoked),
		kgo.OnPartitionsLost(g.lost),
		kgo.OnOffsetsFetched(g.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(g.resume),
	)
	if g.metrics, err = newLagCollector(g, cfg.Reg); err != nil {
		return nil, err
	}
	return g, nil
}

// OnNewClient is franz-go's hook for a client that has not begun to work.
func (g *Consumer) OnNewClient(client *kgo.Client) { g.member.Watch(client) }

// Run joins the group and reads until ctx is done, which is no error, or handle fails. It may be called once.
//
// handle gets the records of one poll, in order per partition; their offsets are committed after it returned nil. With a nil
// batch it is a tick, once a second, also while records flow. Its context outlives ctx by up to 20 s: told to stop, Run
// finishes the batch in hand, commits, and leaves.
func (g *Consumer) Run(ctx context.Context, handle func(ctx context.Context, batch []*kafka.Record) error) error {
	client, err := kgo.NewClient(g.opts...)
	if err != nil {
		return fmt.Errorf("kafka: join group %s: %w", g.cfg.Group, err)
	}
	g.client = client
	defer g.metrics.unregister()
	defer client.CloseAllowingRebalance() // calls revoked, which commits what is left
	work, cancel := outlive(ctx, finishWait)
	defer cancel()
	defer g.watchEnds(ctx, kadm.NewClient(client))()

	var lastTick time.Time
	for ctx.Err() == nil {
		batch := g.poll(ctx, lastTick.Add(tickInterval)) // blocks rebalances
		err := g.process(work, batch, handle)
		if err == nil && time.Since(lastTick) >= tickInterval {
			err = handle(work, nil)
			g.commit(work, client) // what is left: control records, and commits that failed
			lastTick = time.Now()  // after, so that slow ticks leave time to poll
		}
		client.AllowRebalance()
		if err != nil {
			return err
		}
	}
	return nil
}

// process hands over a batch and, when it is done, commits it.
func (g *Consumer) process(ctx context.Context, batch *batch, handle func(context.Context, []*kafka.Record) error) error {
	if len(batch.records) > 0 {
		if err := handle(ctx, batch.records); err != nil {
			return err
		}
	}
	g.done(batch)
	if len(batch.records) > 0 {
		g.commit(ctx, g.client)
	}
	return nil
}

// outlive returns a context that ends grace after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var timer *time.Timer
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, cancel)
	})
	return out, func() {
		cancel()
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
	}
}
