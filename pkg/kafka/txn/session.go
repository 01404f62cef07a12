package txn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
)

// ErrFenced says that another process opened a session under the same transactional id.
var ErrFenced = errors.New("kafka: another process uses this transactional id")

// ErrInstanceTaken is ErrFenced by the group alone: it has another member under the group instance id. That need not be another process: a broker
// that could not write the last join down goes back to an older member id, and refuses the process that has the newer one.
var ErrInstanceTaken = fmt.Errorf("%w: the group has another member under its instance id", ErrFenced)

// ErrNotOwned stops a commit of a partition that was given up since its assignment number was read.
var ErrNotOwned = errors.New("kafka: a partition of the transaction is no longer assigned")

// Config configures a Session.
type Config struct {
	kafka.Config
	Group           string // consumer group, the fence of the transactions (KIP-447)
	Topic           string // the one topic whose partitions the group shares
	TransactionalID string // stable per slot, so that a restart ends what its predecessor left open
	// InstanceID makes the member static (KIP-345): a process that died and comes back within SessionTimeout takes up its partitions at
	// once, where a new member would wait for the dead one to expire. Empty means a dynamic member.
	InstanceID     string
	SessionTimeout time.Duration // default 10 s
}

// Offset is what a transaction commits for one partition.
type Offset struct {
	Next       int64  // offset of the next record to read
	Epoch      int32  // leader epoch of the last record read, -1 if unknown
	Metadata   string // nx1:<slot>:<log id>, to which the group and the offset are added (see CommitMark)
	Assignment int64  // the number under which the partition was owned when the work began
}

// Session is membership in a group together with a transactional producer, made of one franz-go GroupTransactSession. It does not
// read: partitions are fetched by a TopicReader from where the caller's own state says, and the group's offsets are an output.
//
// Three properties of the client are covered here. Revoke callbacks can be skipped until End is called, so ownership is taken from
// the balancer, which sees every assignment (see tracker). A transaction that commits no offsets is not fenced, so Commit refuses
// to be called without any. The broker checks that a committing member is of the current generation, but not that it owns the
// partition, so Commit checks that itself, at the last moment and against the generation that is sent.
//
// A session that failed in any way is closed and never used again. Methods other than Assignment and Changed are for one goroutine.
type Session struct {
	cfg     Config
	session *kgo.GroupTransactSession
	owned   *tracker
	topicID [16]byte
	began   time.Time
	fenced  atomic.Bool // another process joined under our instance id
}

// OnNewClient is franz-go's hook for a client that has not begun to work.
func (s *Session) OnNewClient(client *kgo.Client) { s.owned.Watch(client) }

// OnGroupManageError is franz-go's hook for a membership that ended. It is called before the client joins again, which must not
// happen when another process has our instance id: the two would throw each other out for ever.
func (s *Session) OnGroupManageError(err error) {
	if errors.Is(err, kerr.FencedInstanceID) {
		s.fenced.Store(true)
		s.owned.signal()
	}
}

// Fenced reports ErrInstanceTaken when another process has joined under this one's instance id.
func (s *Session) Fenced() error {
	if s.fenced.Load() {
		return fmt.Errorf("%w (%s)", ErrInstanceTaken, s.cfg.InstanceID)
	}
	return nil
}

// Open fences and aborts what another session under the same transactional id left open, and joins the group.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 10 * time.Second
	}
	t := newTracker(cfg.Topic, cfg.Log)
	s := &Session{cfg: cfg, owned: t}
	opts, err := cfg.Config.Options(append(
		// A transaction is produced whole and then flushed, which ends any linger: one request a broker.
		kafka.Producing(time.Second),
		kgo.WithHooks(s),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(cfg.Topic),
		kgo.Balancers(t),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // no assignment changes between Hold and Release
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(cfg.SessionTimeout/5),
		kgo.RebalanceTimeout(cfg.SessionTimeout+5*time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtStart()),
		kgo.TransactionalID(cfg.TransactionalID),
		kgo.TransactionTimeout(kafka.TxnTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(100_000),
	)...)
	if err != nil {
		return nil, err
	}
	if cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(cfg.InstanceID))
	}
	if s.session, err = kgo.NewGroupTransactSession(opts...); err != nil {
		return nil, fmt.Errorf("kafka: open transactional session: %w", err)
	}
	client := s.session.Client()
	client.PauseFetchTopics(cfg.Topic)
	if err := s.init(ctx, client); err != nil {
		s.Close()
		return nil, fmt.Errorf("kafka: open transactional session %s: %w", cfg.TransactionalID, err)
	}
	return s, nil
}

func (s *Session) init(ctx context.Context, client *kgo.Client) error {
	// Done now and not at the first produce: a predecessor's open transaction holds up every reader until it is aborted.
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("init producer id: %w", err)
	}
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &s.cfg.Topic
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("topic id: %w", err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("topic %s: %w", s.cfg.Topic, err)
		}
		s.topicID = t.TopicID
	}
	return nil
}

// TopicID is the id of the group's topic when the session was opened (KIP-516).
func (s *Session) TopicID() [16]byte { return s.topicID }

// Assignment returns the partitions that are owned now, each with the number of its assignment: a partition that was away in between,
// however briefly, has another number.
func (s *Session) Assignment() map[int32]int64 { return s.owned.snapshot() }

// Joined reports whether the group has given this member an assignment yet, if only an empty one.
func (s *Session) Joined() bool { return s.owned.joined() }

// Changed is signalled when Assignment may have changed.
func (s *Session) Changed() <-chan struct{} { return s.owned.changed }

// Rebalance asks the group for a new assignment.
func (s *Session) Rebalance() { s.session.Client().ForceRebalance() }

// Hold keeps the group from rebalancing this member until Release. It waits for a rebalance that is going on.
func (s *Session) Hold() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// A poll with a done context reads nothing, but counts as a poller, which BlockRebalanceOnPoll makes rebalances wait for.
	s.session.PollFetches(ctx)
}

// Release lets rebalances go on.
func (s *Session) Release() { s.session.AllowRebalance() }

// Errors drains what went wrong in the background: group management and metadata. They are for the log; the client retries. It must
// not be called between Hold and Release.
func (s *Session) Errors() []error {
	defer s.Release() // a poll that returns something, an error too, holds up rebalances
	var out []error
	for _, e := range s.session.PollFetches(nil).Errors() { //nolint:staticcheck // nil is the library's way to ask for what is there and not to wait
		out = append(out, e.Err)
	}
	return out
}

// Begin starts a transaction.
func (s *Session) Begin() error {
	s.began = time.Now()
	return s.classify(s.session.Begin())
}

// Produce writes records to the partitions that they name and returns when all are acknowledged; their offsets are set then. On any
// error the transaction must not be committed.
func (s *Session) Produce(ctx context.Context, recs []*kafka.Record) error {
	var answers sync.WaitGroup
	var first atomic.Pointer[error]
	answers.Add(len(recs))
	answered := func(_ *kafka.Record, err error) {
		if err != nil {
			failed := err // err itself would be on the heap for every record
			first.CompareAndSwap(nil, &failed)
		}
		answers.Done()
	}
	// One context for all that is never cancelled: cancelling an idempotent produce can lose a later record. Waiting is what ends.
	forGood := context.WithoutCancel(ctx)
	for _, r := range recs {
		s.session.Produce(forGood, r, answered)
	}
	if err := s.session.Client().Flush(ctx); err != nil {
		return fmt.Errorf("kafka: flush transaction: %w", err)
	}
	answers.Wait() // after a flush, for no record any more
	if failed := first.Load(); failed != nil {
		return s.classify(fmt.Errorf("kafka: produce in transaction: %w", *failed))
	}
	return nil
}

// Commit commits the transaction together with the offsets, of which there must be at least one. Only nil means committed. With an
// error it may be committed or not: the session must be closed, and what is true must be read from the topics.
func (s *Session) Commit(ctx context.Context, offsets map[int32]Offset) error {
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = s.cfg.Topic, s.topicID
	for p, o := range offsets {
		rt.Partitions = append(rt.Partitions, o.commit(s.cfg.Group, p))
	}
	return s.commit(ctx, offsets, []kmsg.TxnOffsetCommitRequestTopic{rt})
}

// commit ends the transaction with the offsets of topics, unless one of owned, partitions of the session's own topic, is not owned as it
// was when the work began.
func (s *Session) commit(ctx context.Context, owned map[int32]Offset, topics []kmsg.TxnOffsetCommitRequestTopic) error {
	if len(owned) == 0 {
		return errors.New("kafka: a transaction without offsets is not fenced")
	}
	sent, member := false, ""
	ctx = kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error {
		member = req.MemberID
		// The generation in req was read before this check. If the check passes, the partitions were owned all the time up to
		// now, so in that generation too; if the generation changes after it, the broker refuses the request.
		if !s.owned.still(owned) {
			return ErrNotOwned
		}
		req.Topics = topics
		sent = true
		return nil
	})
	committed, err := s.session.End(ctx, kgo.TryCommit)
	switch {
	case errors.Is(err, kerr.FencedInstanceID) && s.owned.MemberID() != member:
		// Nobody else is to blame: this member was thrown out, and has joined again under its instance id, as another one.
		return fmt.Errorf("kafka: end transaction: this process was out of the group for a while: %w", err)
	case err != nil:
		return s.classify(fmt.Errorf("kafka: end transaction: %w", err))
	case !committed:
		return errors.New("kafka: the transaction was aborted, or its outcome is unknown")
	case !sent:
		return errors.New("kafka: the transaction was committed without its offsets")
	}
	return nil
}

// ClearRevoked lets the client forget that partitions were revoked while no transaction was open; without it the next transaction
// would be aborted for nothing. It is cheap and sends nothing.
func (s *Session) ClearRevoked(ctx context.Context) error {
	_, err := s.session.End(ctx, kgo.TryAbort)
	return err
}

// classify marks errors that say that another process took the transactional id. The same codes come when the broker gave up on a
// transaction of ours because it took too long (this process was paused); then no other member is to blame.
func (s *Session) classify(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, kerr.FencedInstanceID) {
		return fmt.Errorf("%w (%s): %w", ErrInstanceTaken, s.cfg.InstanceID, err)
	}
	if (errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)) && time.Since(s.began) < kafka.TxnTimeout-time.Second {
		return fmt.Errorf("%w (%s): %w", ErrFenced, s.cfg.TransactionalID, err)
	}
	return err
}

// CommitPlain commits one offset as a member of the group, outside of any transaction.
func (s *Session) CommitPlain(ctx context.Context, partition int32, o Offset) error {
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		if !s.owned.still(map[int32]Offset{partition: o}) {
			return ErrNotOwned
		}
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				m := kafka.MarkOf(o.Metadata, s.cfg.Group, req.Topics[i].Partitions[j].Offset)
				req.Topics[i].Partitions[j].Metadata = &m
			}
		}
		return nil
	})
	var failed error
	offsets := map[string]map[int32]kgo.EpochOffset{s.cfg.Topic: {partition: {Epoch: o.Epoch, Offset: o.Next}}}
	s.session.Client().CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("kafka: commit offset of %s-%d: %w", s.cfg.Topic, partition, failed)
	}
	return nil
}

// StableOffset returns what the group has committed for one partition. An offset of a transaction that is still open is waited for,
// up to ctx (KIP-447). Other partitions' transactions are not.
func (s *Session) StableOffset(ctx context.Context, partition int32) (kafka.Committed, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = s.cfg.Group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = s.cfg.Topic, s.topicID, []int32{partition}
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	for {
		c, err := stableOffset(ctx, s.session.Client(), req)
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			return c, err
		}
		if serr := backoff.Wait(ctx, 20*time.Millisecond); serr != nil {
			return c, fmt.Errorf("kafka: committed offset of %s-%d: %w: %w", s.cfg.Topic, partition, err, serr)
		}
	}
}

func stableOffset(ctx context.Context, client *kgo.Client, req *kmsg.OffsetFetchRequest) (kafka.Committed, error) {
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return kafka.Committed{}, fmt.Errorf("kafka: fetch committed offset: %w", err)
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return kafka.Committed{}, fmt.Errorf("kafka: fetch committed offset: %w", err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return kafka.Committed{}, fmt.Errorf("kafka: fetch committed offset: %w", err)
				}
				c := kafka.Committed{Group: g.Group, Offset: p.Offset, Present: p.Offset >= 0}
				if p.Metadata != nil {
					c.Metadata = *p.Metadata
				}
				return c, nil
			}
		}
	}
	return kafka.Committed{}, nil
}

// Leave gives up the membership at once. It is for a process that ends for good, just before Close: Close alone leaves a static
// member's partitions to it until the session times out, for the case that it comes back.
func (s *Session) Leave(ctx context.Context) error {
	client := s.session.Client()
	member, _ := client.GroupMetadata()
	if s.cfg.InstanceID == "" || member == "" {
		return nil
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.cfg.Group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = member, &s.cfg.InstanceID
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(ctx, client); err != nil {
		return fmt.Errorf("kafka: leave group %s: %w", s.cfg.Group, err)
	}
	return nil
}

// Close closes the connections. A transaction that is open is left to its time-out or to the next session under the same id, which
// aborts it when it opens.
func (s *Session) Close() { s.session.CloseAllowingRebalance() }
