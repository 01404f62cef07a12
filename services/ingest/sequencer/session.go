package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
	"github.com/neuronx/engine/services/ingest/worker"
)

type phase int

const (
	restoring phase = iota
	undoing         // restored; an operator's reset of the group's offset is being undone
	running
	waiting // paused: the next record can't be judged now
	stopped
)

const (
	retryPaused  = time.Second
	retryStopped = 30 * time.Second
	retryUndo    = 200 * time.Millisecond
	pollWait     = 250 * time.Millisecond
)

// partition is one assigned ingress partition. It belongs to the loop's goroutine.
type partition struct {
	strays     int64 // records of others in the state topic that were named
	id         int32
	assignment int64
	phase      phase
	cancel     context.CancelFunc // of its restore
	assigned   time.Time
	retry      time.Time // when to look again, for all phases but running
	loading    int       // waiting until the schema cache's generation is another; 0: not
	reason     string    // what was announced: of waiting and stopped, as the metric's label has it
	state      *admission.State
	reset      *Reset
	pending    []*kafka.Record  // read, not judged yet
	held       int              // bytes of pending
	tail       int64            // ingress offset after the last one of pending
	unread     map[int64]string // why the batch that ends at this ingress offset could not be read
	epoch      int32            // leader epoch of the last record that the state has
	flying     *staged          // what the transaction in flight has of it

	deltaBytes   int // written since the last snapshot
	lastSnapshot time.Time
	snapshots    []int64 // offsets in the state topic where snapshots begin
}

// session is one membership of the group and all state that was built under it.
type session struct {
	*sequencer
	*worker.Worker
	reader     *read.TopicReader
	parts      map[int32]*partition
	restored   chan restored
	memory     *keys.Memory
	flight     *flight       // nil: none
	lastEnd    time.Time     // of the last commit
	lastCommit time.Duration // how long it took
	committed  bool
}

// runSession opens a session and works until something fails or ctx ends. committed says whether any transaction succeeded.
func (s *sequencer) runSession(ctx context.Context) (committed bool, err error) {
	reader, err := read.NewTopicReader(s.cfg.Kafka, kafka.TopicIngress)
	if err != nil {
		return false, err
	}
	defer reader.Close()
	id := instanceID(s.cfg.Slot)
	w, err := worker.Open(ctx, worker.Config{Role: "sequencer", Log: s.log, Ready: s.ready, Wake: worker.NewSignal(), Txn: txn.Config{
		Config: s.cfg.Kafka, Group: kafka.GroupSequencer, Topic: kafka.TopicIngress, TransactionalID: id, InstanceID: id,
		SessionTimeout: s.cfg.SessionTimeout,
	}})
	if err != nil {
		return false, err
	}
	c := &session{sequencer: s, Worker: w, reader: reader, parts: map[int32]*partition{}, restored: make(chan restored, s.partitions), memory: keys.NewMemory(s.cfg.KeyMemory)}
	defer c.close()
	s.schemas.onLoaded(c.Wake.Set)
	tasks, cancelTasks := context.WithCancel(ctx)
	defer cancelTasks()
	c.Tasks.Go(func() { c.watchStable(tasks) })
	c.Tasks.Go(func() { c.watchOrphans(tasks) })
	s.log.Info("session opened", "transactional_id", id)
	err = c.loop(ctx, tasks)
	if ctx.Err() != nil {
		// Stopped on purpose: others may have the partitions now.
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := w.Txn.Leave(leave); err != nil {
			s.log.Warn("the group was not left; its partitions wait for the session time-out", "err", err)
		}
	}
	return c.committed, err
}

// close gives everything up. What was staged or open is left to the broker to abort.
func (c *session) close() {
	c.schemas.onLoaded(nil)
	for _, p := range c.parts {
		c.drop(p)
	}
	c.Worker.Close() // waits for a transaction in flight, too
}

func (c *session) loop(ctx, tasks context.Context) error {
	for ctx.Err() == nil {
		if err := c.Check(); err != nil {
			return err
		}
		c.reconcile(tasks)
		c.collect()
		c.revisit(tasks)
		if c.flight == nil || c.hasLanded() {
			if err := c.land(ctx, tasks); err != nil {
				return err
			}
		}
		if !c.poll(ctx) {
			continue
		}
		if err := c.transact(ctx, tasks); err != nil {
			return err
		}
	}
	// The transaction in flight ends as it would have; what was judged over it is dropped.
	if err := c.land(ctx, tasks); err != nil {
		return err
	}
	return ctx.Err()
}

// undoDue sets back what an operator's reset, or a lost marker, made of the group's offset. It must not be called while a transaction is in
// flight.
func (c *session) undoDue() {
	for _, p := range c.parts {
		if p.phase == undoing && !time.Now().Before(p.retry) {
			c.undo(p)
		}
	}
}

// reconcile compares the partitions at hand with the assignment: what is gone, or was away, is forgotten; what is new is restored.
func (c *session) reconcile(tasks context.Context) {
	now := c.Txn.Assignment()
	for id, p := range c.parts {
		if now[id] != p.assignment {
			c.log.Info("partition left", "partition", id)
			c.drop(p)
		}
	}
	for id, n := range now {
		if c.parts[id] == nil {
			p := &partition{id: id, assignment: n, assigned: time.Now(), epoch: -1}
			c.parts[id] = p
			c.startRestore(tasks, p)
		}
	}
	c.m.owned.Set(float64(len(c.parts)))
}

func (c *session) drop(p *partition) {
	if p.cancel != nil {
		p.cancel()
	}
	c.reader.Remove(p.id)
	c.leave(p)
	c.m.keys.DeleteLabelValues(label(p.id))
	c.m.forget(p.id)
	c.m.keyBytes.DeleteLabelValues(label(p.id))
	c.memory.Forget(p.id)
	delete(c.parts, p.id)
}

// enter puts a partition into a phase in which it is not sequenced, and says so.
func (c *session) enter(p *partition, ph phase, reason, detail string, retry time.Duration) {
	again := p.reason == reason // paused or stopped again, after another look
	if !again {
		c.leave(p)
	}
	p.phase, p.reason, p.retry = ph, reason, time.Now().Add(retry)
	if again {
		return
	}
	name := fmt.Sprintf("sequencer partition %d", p.id)
	switch ph {
	case stopped:
		c.m.stopped.WithLabelValues(label(p.id), reason).Set(1)
		c.ready.Set(name, fmt.Errorf("stopped: %s: %s", reason, detail))
		c.log.Error("partition stopped; its tenants' events wait in ingress", "partition", p.id, "reason", reason, "detail", detail)
	case waiting:
		c.m.paused.WithLabelValues(label(p.id), reason).Set(1)
		c.ready.Set(name, fmt.Errorf("paused: %s: %s", reason, detail))
		c.log.Error("partition paused", "partition", p.id, "reason", reason, "detail", detail)
	}
}

// leave clears what enter announced.
func (c *session) leave(p *partition) {
	if p.reason != "" {
		c.m.stopped.DeleteLabelValues(label(p.id), p.reason)
		c.m.paused.DeleteLabelValues(label(p.id), p.reason)
		c.ready.Set(fmt.Sprintf("sequencer partition %d", p.id), nil)
	}
	p.reason = ""
}

// collect takes the results of finished restores.
func (c *session) collect() {
	for {
		select {
		case r := <-c.restored:
			p := c.parts[r.partition]
			if p == nil || p.assignment != r.assignment {
				continue
			}
			p.cancel()
			c.nameStrays(p, r.stray)
			var stop *stopError
			if errors.As(r.err, &stop) {
				c.enter(p, stopped, stop.code, stop.detail, retryStopped)
				continue
			}
			p.state, p.reset, p.deltaBytes, p.snapshots, p.lastSnapshot = r.state, r.reset, r.bytes, r.snapshots, time.Now()
			p.phase, p.retry = undoing, time.Time{}
			if !r.commit {
				c.run(p)
			}
		default:
			return
		}
	}
}

// run starts to read a partition from where its state says.
func (c *session) run(p *partition) {
	c.leave(p)
	p.phase, p.pending, p.held, p.tail = running, nil, 0, p.state.Next
	c.reader.Add(p.id, p.state.Next)
	took := time.Since(p.assigned)
	c.m.restore.Observe(took.Seconds())
	c.m.restoredIn(p, took)
	c.m.window(p)
	c.log.Info("partition restored", "partition", p.id, "log_id", p.state.LogID, "next", p.state.Next, "tenants", len(p.state.Tenants), "keys", p.state.Keys.Len(), "took", took)
}

// revisit looks again at partitions that wait for a time.
func (c *session) revisit(tasks context.Context) {
	now := time.Now()
	for _, p := range c.parts {
		if now.Before(p.retry) && (p.loading == 0 || p.loading == c.schemas.generation()) {
			continue
		}
		switch p.phase {
		case waiting:
			// Judged again by the next transaction; it is paused again if nothing has changed. What was read ahead is kept, what
			// was not read yet is read from behind it.
			p.phase, p.loading = running, 0
			c.reader.Add(p.id, p.tail)
		case stopped:
			p.assigned = time.Now()
			c.startRestore(tasks, p)
		}
	}
}

func label(partition int32) string { return fmt.Sprint(partition) }

// nameStrays tells of what a restore passed over; once, though a partition that is stopped is restored again and again.
func (c *session) nameStrays(p *partition, s statelog.Stray) {
	c.m.strays.WithLabelValues(label(p.id)).Set(float64(s.Records))
	if s.Records > p.strays {
		c.log.Error("somebody else writes to the sequencer's state; such records are ignored", "topic", kafka.TopicState, "partition", p.id,
			"records", s.Records, "first_offset", s.Offset, "reason", s.Why)
	}
	p.strays = s.Records
}
