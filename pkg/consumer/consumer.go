package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/stream"
)

// Schemas finds the schema that a value was written with. *registry.Client is one.
type Schemas interface {
	SchemaByID(ctx context.Context, id int32) (*avro.Schema, error)
}

// PublishFunc publishes an event signed by the engine into the tenant's stream (pkg/control).
type PublishFunc func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error

// Config of a Consumer. Name, Kafka and Pool are needed.
type Config struct {
	Name        string // the consumer group, and the consumer's name in the rows: kafka.GroupProjector …
	Slot        string // stands in the metadata of commits
	Kafka       kafka.Config
	Pool        *pgxpool.Pool
	Archive     stream.Source // where missing sequences come from; nil: a missing sequence is a loss at once (the archiver)
	Registry    Schemas       // for Decoder; nil when the handler does not decode
	Feeds       []Feed        // further handlers of the same log, with progress of their own
	DeadLetters bool          // read neuronx.deadletter too; the handler must be a DeadLetterHandler
	MaxBatch    int           // records a batch; 0 means 2,000
	Publish     PublishFunc   // announces engine.replay.*; nil: nothing is announced
	// Assigned is told of each assignment of partitions of neuronx.events, before they are read, also of one that this member had a moment ago. It must be
	// brief: the group waits for it. May be nil.
	Assigned func(partitions ...int32)
	Meaning  string // what a reset means here (rebuild, audit, compare, redeliver), for engine.replay.started

	RetryBudget time.Duration // how long one batch is tried again before its partitions are left to other members; 0 means 30 s
	GapTimeout  time.Duration // how long a missing sequence is waited for; 0 means 10 min
	PollEvery   time.Duration // how often catching-up tenants and requests are looked for; 0 means 500 ms
	IdleTimeout time.Duration // a transaction of ours that stands still is ended by Postgres; 0 means 30 s

	Log   *slog.Logger
	Reg   prometheus.Registerer // nil: no metrics
	Ready *app.Readiness        // is told what is waited for; may be nil
}

// Consumer is one member of a consumer group with its rows.
type Consumer struct {
	cfg     Config
	handler Handler // of the main feed
	feeds   []*feed // the main one is the last
	metrics *metrics
	batches atomic.Int64 // written

	mu    sync.Mutex
	group *group.Consumer
}

// New checks the configuration.
func New(cfg Config, h Handler) (*Consumer, error) {
	if cfg.Name == "" || cfg.Pool == nil || h == nil {
		return nil, errors.New("consumer: name, pool and handler are needed")
	}
	if _, ok := h.(DeadLetterHandler); cfg.DeadLetters && !ok {
		return nil, errors.New("consumer: dead letters are to be read, but the handler takes none")
	}
	cfg.MaxBatch = cmp.Or(cfg.MaxBatch, 2_000)
	cfg.RetryBudget = cmp.Or(cfg.RetryBudget, 30*time.Second)
	cfg.GapTimeout = cmp.Or(cfg.GapTimeout, 10*time.Minute)
	cfg.PollEvery = cmp.Or(cfg.PollEvery, 500*time.Millisecond)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 30*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	feeds, err := makeFeeds(cfg.Name, h, cfg.Feeds)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Reg, feeds)
	if err != nil {
		return nil, err
	}
	return &Consumer{cfg: cfg, handler: h, feeds: feeds, metrics: m}, nil
}

// Run joins the group and reads until ctx is done (then it returns nil) or something is broken that waiting can't mend: the topic was
// recreated (ErrTopicChanged), the database lacks tables at the start, or the configuration can't be used.
//
// Postgres, Kafka or the registry being away, full or slow is waited for. A batch that could not be written in the retry budget is
// given up, which is shorter than the group waits for a member in a rebalance: this member leaves, another one that may have a better
// way to Postgres gets the partitions, and this one joins again after a pause. The rows say where to resume, so nothing is lost or
// applied twice.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.checkTables(ctx); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		before := c.batches.Load()
		err := c.join(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if c.batches.Load() > before {
			attempt = 0
		}
		switch {
		case errors.Is(err, errTakenOver):
			c.metrics.takeovers.Inc()
			c.cfg.Log.Warn("dropped a batch and joining again: another member went on from here", "consumer", c.cfg.Name, "err", err)
		case err == nil, errors.Is(err, ErrTopicChanged), app.IsFatal(err):
			return err
		default:
			report(c.cfg.Ready, activityJoin, err)
			c.cfg.Log.Warn("left the group; joining again after a pause", "consumer", c.cfg.Name, "err", err)
		}
		_ = backoff.Wait(ctx, backoff.Pause(attempt))
	}
}

// Activities, as readiness tells them apart.
const (
	activityJoin    = "joining the group"
	activityBatch   = "writing a batch"
	activityCatchUp = "catching up"
)

// Owned lists the partitions of neuronx.events assigned to this member, sorted.
func (c *Consumer) Owned() []int32 {
	c.mu.Lock()
	g := c.group
	c.mu.Unlock()
	if g == nil {
		return nil
	}
	return ofLog(g.Owned())
}

// ofLog are the partitions of neuronx.events, sorted.
func ofLog(tps []kafka.TopicPartition) (partitions []int32) {
	for _, tp := range tps {
		if tp.Topic == kafka.TopicEvents {
			partitions = append(partitions, tp.Partition)
		}
	}
	slices.Sort(partitions)
	return partitions
}

// Stopped returns the partitions that are assigned but not read any more, and why: the log was trimmed or truncated under the row.
// A person has to decide; the other partitions go on.
func (c *Consumer) Stopped() map[kafka.TopicPartition]error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.group == nil {
		return nil
	}
	return c.group.Stopped()
}

// session is one membership, from joining to leaving.
type session struct {
	c      *Consumer
	log    *slog.Logger
	topics []string
	admin  *admin.Client
	group  *group.Consumer
	recent stream.Recent
	logs   lineage // a reseed needs an empty group, so it does not change under a member

	catchers []*catcher // one a feed

	mu      sync.Mutex // guards what the loop and the assignment share
	next    map[kafka.TopicPartition]int64
	logIDs  map[kafka.TopicPartition]string
	putBack map[kafka.TopicPartition]bool
	fatal   error

	ticked time.Time // of the loop
	failed time.Time // of the loop: when a batch was last not written, or the membership began
}

// join is one membership:
//
//	Kafka ──> group.Run ──> handle ──> one transaction (rows, data) ──> group's offset
//	            │ resume: the rows say where to begin
//	archive ──> catchUp, one a feed ──> one transaction a tenant and chunk
//	resets  ──> runResets ──> ResetHandler
func (c *Consumer) join(ctx context.Context) error {
	adm, err := admin.New(c.cfg.Kafka)
	if err != nil {
		return app.Fatal(fmt.Errorf("open admin client: %w", err))
	}
	defer adm.Close()
	s := &session{
		c: c, log: c.cfg.Log.With("consumer", c.cfg.Name), topics: []string{kafka.TopicEvents}, admin: adm,
		failed: time.Now(),
		next:   map[kafka.TopicPartition]int64{}, logIDs: map[kafka.TopicPartition]string{}, putBack: map[kafka.TopicPartition]bool{},
	}
	s.catchers = s.newCatchers()
	if err := c.register(ctx); err != nil {
		return fmt.Errorf("%w %s: %w", errResume, c.cfg.Name, err)
	}
	for _, f := range c.feeds {
		if err := f.skips.load(ctx, c.cfg.Pool, f.consumer); err != nil {
			return fmt.Errorf("%w %s: %w", errResume, c.cfg.Name, err)
		}
	}
	if s.logs, err = loadLineage(ctx, c.cfg.Pool); err != nil {
		return fmt.Errorf("%w %s: %w", errResume, c.cfg.Name, err)
	}
	if c.cfg.DeadLetters {
		s.topics = append(s.topics, kafka.TopicDeadLetter)
	}
	s.group, err = group.New(group.Config{
		Config: c.cfg.Kafka, Group: c.cfg.Name, Topics: s.topics, MaxRecords: c.cfg.MaxBatch, Log: c.cfg.Log, Reg: c.cfg.Reg,
		Resume: s.resume, Metadata: s.metadata, Assigned: s.assigned,
	})
	if err != nil {
		return app.Fatal(fmt.Errorf("join group: %w", err))
	}
	c.setGroup(s.group)
	defer c.setGroup(nil)
	actors, ctx := errgroup.WithContext(ctx)
	actors.Go(func() error {
		if err := s.group.Run(ctx, s.handle); err != nil {
			return err
		}
		return errLeft // stops the others
	})
	for _, k := range s.catchers {
		actors.Go(func() error { return k.catchUp(ctx) })
	}
	actors.Go(func() error { return s.runResets(ctx) })
	if err := actors.Wait(); !errors.Is(err, errLeft) {
		return err
	}
	return nil
}

var errLeft = errors.New("left the group")

func (c *Consumer) setGroup(g *group.Consumer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group = g
}

// assigned tells who asked for it which partitions of the log are new here.
func (s *session) assigned(_ context.Context, tps []kafka.TopicPartition) {
	if of := ofLog(tps); s.c.cfg.Assigned != nil && len(of) > 0 {
		s.c.cfg.Assigned(of...)
	}
}

// quiet is how long a membership must be without a failure to count as one that works.
const quiet = 10 * time.Second

// wrote tells readiness that nothing keeps this member from writing.
func (s *session) wrote() {
	report(s.c.cfg.Ready, activityJoin, nil)
	report(s.c.cfg.Ready, activityBatch, nil)
}

// handle is called with the records of one poll, or with none at least once a second.
func (s *session) handle(ctx context.Context, records []*kafka.Record) error {
	if time.Since(s.ticked) > time.Second/2 {
		s.ticked = time.Now()
		if time.Since(s.failed) > quiet { // also when there was nothing to write, because another member has the partitions now
			s.wrote()
		}
		if err := s.confirmPutBack(ctx); err != nil {
			s.log.Warn("it is not known yet whether the group's offset was put back", "err", err)
		}
	}
	s.mu.Lock()
	fatal := s.fatal
	s.mu.Unlock()
	if fatal != nil {
		return fatal
	}
	if len(records) == 0 {
		return nil
	}
	s.mu.Lock()
	b := takeApart(records, s.next)
	s.mu.Unlock()
	return s.process(ctx, b)
}

// wake makes the catch-ups look at once.
func (s *session) wake() {
	for _, k := range s.catchers {
		select {
		case k.woken <- struct{}{}:
		default:
		}
	}
}
