package landing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/worker"
)

const (
	pollWait        = 250 * time.Millisecond
	retryStopped    = 30 * time.Second
	openTimeout     = 15 * time.Second // of asking where partitions begin
	retryLeaderless = time.Second      // of a partition without a leader
)

// lane is one tenant's landing topic. It belongs to the session's goroutine, but for what its mutex guards.
type lane struct {
	queue
	topic      admin.Topic
	tenant     string
	home       int32 // the tenant's partition of ingress: its owner forwards this topic
	assignment int64
	parts      []*part
	away       bool // more of it is at hand than may be: it is not read on
}

// part is one partition of a landing topic; there is one, unless more were made.
type part struct {
	tp      kafka.TopicPartition
	open    bool             // it is read
	retry   time.Time        // of one that is not: when to look again
	tail    int64            // behind the last record read
	epoch   int32            // leader epoch of the last record forwarded
	putBack bool             // the group's offset is not ours: commit ours, records or not
	unread  map[int64]string // why the batch that ends at this offset could not be read

	mu         sync.Mutex
	next       int64     // what is committed; guarded by mu
	trim       int64     // what was committed at the last trim; guarded by mu
	trimmed    int64     // where the topic began after it; guarded by mu
	oldest     time.Time // of the records read and not forwarded; guarded by mu
	stopped    bool      // guarded by mu
	leaderless bool      // it has no leader, so that it could not be opened; guarded by mu
}

// session is one membership of the group.
type session struct {
	*forwarder
	*worker.Worker
	reader    *read.Reader
	lanes     map[string]*lane
	ring      ring
	mu        sync.Mutex // guards watched
	watched   map[string]*lane
	committed bool
	lastEnd   time.Time
	lastRates time.Time
	lastTrim  time.Time
}

// runSession opens a session and works until something fails or ctx ends. committed says whether any transaction succeeded.
func (f *forwarder) runSession(ctx context.Context) (committed bool, err error) {
	ingress, err := f.admin.Topics(ctx, kafka.TopicIngress)
	if err != nil {
		return false, err
	}
	if f.partitions = ingress[kafka.TopicIngress].Partitions; f.partitions == 0 {
		return false, fmt.Errorf("topic %s does not exist; create it with: neuronx provision --execute", kafka.TopicIngress)
	}
	reader, err := read.NewReader(f.cfg.Kafka)
	if err != nil {
		return false, err
	}
	defer reader.Close()
	w, err := worker.Open(ctx, worker.Config{Role: "landing", Log: f.log, Ready: f.ready, Wake: f.wake, Txn: txn.Config{
		Config: f.cfg.Kafka, Group: kafka.GroupLanding, Topic: kafka.TopicIngress, TransactionalID: "neuronx.landing." + f.cfg.Slot,
		SessionTimeout: f.cfg.SessionTimeout,
	}})
	if err != nil {
		return false, err
	}
	s := &session{forwarder: f, Worker: w, reader: reader, lanes: map[string]*lane{}, lastTrim: time.Now()}
	tasks, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		w.Close()
		s.m.clear()
	}()
	s.Tasks.Go(func() { s.watch(tasks) })
	err = s.loop(ctx, tasks)
	return s.committed, err
}

func (s *session) loop(ctx, tasks context.Context) error {
	for ctx.Err() == nil {
		if err := s.Check(); err != nil {
			return err
		}
		s.reconcile()
		if err := s.openParts(ctx); err != nil {
			return err
		}
		wait, err := s.transact(ctx)
		if err != nil {
			return err
		}
		s.bound(time.Now())
		s.poll(ctx, wait)
		s.trimDue(tasks)
		s.ReportErrors()
	}
	return ctx.Err()
}

// reconcile compares the lanes at hand with the topics that exist and with what this member owns of ingress.
func (s *session) reconcile() {
	known, owned, changed := s.known(), s.Txn.Assignment(), false
	for name, l := range s.lanes {
		if t, ok := known[name]; !ok || t.ID != l.topic.ID || t.Partitions != l.topic.Partitions || owned[l.home] != l.assignment {
			s.drop(l)
			changed = true
		}
	}
	for name, t := range known {
		tenant, _ := kafka.LandingTenant(name)
		home := kafka.PartitionFor([]byte(tenant), s.partitions)
		n, mine := owned[home]
		if !mine || s.lanes[name] != nil {
			continue
		}
		l := &lane{topic: t, tenant: tenant, home: home, assignment: n}
		l.limit(time.Now(), s.cfg.Rates(tenant))
		for p := range t.Partitions {
			l.parts = append(l.parts, &part{tp: kafka.TopicPartition{Topic: name, Partition: p}, epoch: -1})
		}
		s.lanes[name] = l
		s.ring.queues = append(s.ring.queues, &l.queue)
		changed = true
	}
	if time.Since(s.lastRates) > time.Second {
		s.lastRates = time.Now()
		for _, l := range s.lanes {
			l.limit(s.lastRates, s.cfg.Rates(l.tenant))
		}
	}
	if !changed {
		return
	}
	watched := make(map[string]*lane, len(s.lanes))
	for name, l := range s.lanes {
		watched[name] = l
	}
	s.mu.Lock()
	s.watched = watched
	s.mu.Unlock()
}

func (s *session) drop(l *lane) {
	for _, p := range l.parts {
		s.reader.Remove(p.tp)
	}
	delete(s.lanes, l.topic.Name)
	for i, q := range s.ring.queues {
		if q == &l.queue {
			s.ring.queues = append(s.ring.queues[:i:i], s.ring.queues[i+1:]...)
			break
		}
	}
}

// openParts asks where to begin with the partitions that are not read yet: a predecessor's transaction has to be over first.
func (s *session) openParts(ctx context.Context) error {
	ask, parts := map[kafka.TopicPartition][16]byte{}, map[kafka.TopicPartition]*part{}
	var topics []string
	for name, l := range s.lanes {
		n := len(ask)
		for _, p := range l.parts {
			if !p.open && time.Now().After(p.retry) {
				ask[p.tp], parts[p.tp] = l.topic.ID, p
			}
		}
		if len(ask) > n {
			topics = append(topics, name)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	committed, err := s.Txn.StableOffsets(ctx, ask)
	if err != nil {
		return err
	}
	starts, err := s.admin.StartOffsets(ctx, topics...)
	if err != nil {
		// A topic that has just been deleted, which the next look at the topics drops, or one that has no leader. The others don't wait for it.
		s.log.Warn("beginnings of landing topics not known", "err", err)
	}
	for tp, p := range parts {
		c, stable := committed[tp]
		start, led := starts[tp]
		p.mu.Lock()
		known := p.leaderless
		p.leaderless = !led
		p.mu.Unlock()
		switch {
		case !led:
			if !known {
				s.log.Error("landing topic is not read: it has no leader, or is gone; the others go on", "topic", tp.Topic, "partition", tp.Partition)
			}
			p.retry = time.Now().Add(retryLeaderless)
			continue
		case !stable:
			p.retry = time.Now().Add(50 * time.Millisecond)
			continue
		}
		next, undone := beginAt(c, start, ask[tp])
		if undone {
			s.m.resets.Inc()
			s.log.Warn("the group's offset is not the forwarder's; it begins with what the topic holds, and what was forwarded already is dropped as a duplicate",
				"topic", tp.Topic, "partition", tp.Partition, "offset", c.Offset, "metadata", c.Metadata, "begin", next)
		}
		p.open, p.tail, p.putBack = true, next, undone
		p.mu.Lock()
		p.next, p.trim, p.trimmed = next, next, start
		p.mu.Unlock()
		s.reader.Add(tp, next)
		s.log.Info("landing topic is forwarded", "topic", tp.Topic, "partition", tp.Partition, "next", next)
	}
	return nil
}

// beginAt is the offset to read from: what we committed for this very topic, else the topic's beginning. undone says that another
// set an offset, which is not followed.
func beginAt(c kafka.Committed, start int64, id [16]byte) (next int64, undone bool) {
	if c.Ours() && strings.HasSuffix(c.Metadata, fmt.Sprintf(":%x", id)) {
		return c.Offset, false
	}
	return start, c.Present && !c.Ours()
}

// poll reads what there is, at most for wait, unless as much is at hand as may be.
func (s *session) poll(ctx context.Context, wait time.Duration) {
	held, _ := s.ring.held()
	if held >= s.cfg.Buffer {
		s.Await(ctx, wait, func(ctx context.Context) { <-ctx.Done() })
		return
	}
	var recs []*kafka.Record
	var failed map[kafka.TopicPartition]error
	s.Await(ctx, wait, func(ctx context.Context) { recs, failed = s.reader.Poll(ctx, s.cfg.MaxRecords) })
	for _, r := range recs {
		if l, p := s.part(kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}); p != nil && r.Offset >= p.tail {
			p.tail = r.Offset + 1
			l.push(r)
			p.read(r.Timestamp)
		}
	}
	for tp, err := range failed {
		if l, p := s.part(tp); p != nil {
			s.unreadable(l, p, err)
		}
	}
}

func (s *session) part(tp kafka.TopicPartition) (*lane, *part) {
	if l := s.lanes[tp.Topic]; l != nil && int(tp.Partition) < len(l.parts) {
		return l, l.parts[tp.Partition]
	}
	return nil, nil
}

// unreadable passes over what inflates to more than is held, in its turn and with a refusal; anything else stops the partition, and
// only that.
func (s *session) unreadable(l *lane, p *part, err error) {
	if fat, ok := errors.AsType[*read.OversizeError](err); ok {
		if p.unread == nil {
			p.unread = map[int64]string{}
		}
		p.unread[fat.Next-1] = fat.Error()
		p.tail = fat.Next
		l.push(fat.Stand())
		s.reader.Skip(fat)
		s.log.Warn("records are refused unread", "topic", p.tp.Topic, "err", fat)
		return
	}
	wait := time.Second
	if _, ok := errors.AsType[*read.StoppedError](err); ok {
		wait = retryStopped
		p.mu.Lock()
		p.stopped = true
		p.mu.Unlock()
	}
	// What was read of it before goes out first; then it is opened again where that ended.
	p.open, p.retry = false, time.Now().Add(wait)
	l.discard(p)
	s.log.Error("landing topic is not read on", "topic", p.tp.Topic, "partition", p.tp.Partition, "again_in", wait, "err", err)
}

// discard forgets what was read of a partition: it is read again from what is committed.
func (l *lane) discard(p *part) {
	all := l.pending
	l.pending, l.bytes = nil, 0
	for _, r := range all {
		if r.Partition != p.tp.Partition {
			l.push(r)
		}
	}
	p.forwarded(time.Time{})
}

// read notes that a record of that time waits.
func (p *part) read(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = false
	if p.oldest.IsZero() {
		p.oldest = at
	}
}

// forwarded notes which record waits now; zero: none.
func (p *part) forwarded(waiting time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oldest = waiting
}
