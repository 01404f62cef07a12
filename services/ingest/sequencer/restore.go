package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

// Reasons for which a partition is stopped.
const (
	stopTorn     = "log_torn"        // state, log, dead letters or ingress do not agree
	stopOffset   = "offset_mismatch" // the group's offset, written by us, is not the state's
	stopUnstable = "state_unstable"  // a transaction on the partition or its offset does not end
	stopNewer    = "state_newer"     // the state was written in a format of a newer build
	stopKeys     = "key_window_full" // also of a pause: keys would not fit into memory
)

const (
	// openTxnWait bounds the waiting for open transactions of the partition's last owner: its time-out, and enough for watchStable to end
	// one that hangs, so that the partition need not be stopped for it.
	openTxnWait  = kafka.TxnTimeout + 25*time.Second
	retryRestore = 500 * time.Millisecond
)

// stopError is a finding that stops a partition until it is repaired.
type stopError struct{ code, detail string }

func (e *stopError) Error() string { return e.code + ": " + e.detail }

func torn(format string, args ...any) error {
	return &stopError{stopTorn, fmt.Sprintf(format, args...)}
}

// restored is the result of a restore.
type restored struct {
	partition  int32
	assignment int64
	state      *admission.State
	bytes      int            // of deltas since the last snapshot
	stray      statelog.Stray // records of others in the state topic
	snapshots  []int64        // offsets of the last two snapshots
	commit     bool           // the group's offset has to be set to the state's
	reset      *Reset         // because an operator had set it
	err        error
}

// startRestore builds the state of a partition in the background.
func (c *session) startRestore(tasks context.Context, p *partition) {
	p.phase = restoring
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(tasks)
	id, assignment := p.id, p.assignment
	c.Tasks.Go(func() {
		for {
			r := restored{partition: id, assignment: assignment}
			if r.err = c.restore(ctx, &r); r.err != nil || ctx.Err() != nil {
				c.memory.Forget(id)
			}
			if ctx.Err() != nil {
				return
			}
			var stop *stopError
			if r.err == nil || errors.As(r.err, &stop) {
				select {
				case c.restored <- r:
					c.Wake.Set()
				case <-ctx.Done():
				}
				return
			}
			c.log.Warn("restore failed; trying again", "partition", id, "err", r.err)
			if backoff.Wait(ctx, retryRestore) != nil {
				return
			}
		}
	})
}

// restore reads the state topic and compares it with everything that it must agree with.
func (c *session) restore(ctx context.Context, r *restored) error {
	deadline := time.Now().Add(openTxnWait)
	for {
		// The group's offset first: it is given only when no transaction on the partition is open, so that all the last owner
		// wrote lies below the high water that is asked next.
		group, err := c.committedOffset(ctx, r.partition)
		if err != nil {
			return err
		}
		topics, err := c.ends(ctx, r.partition)
		if err != nil {
			return err
		}
		state, err := c.agreed(ctx, r, topics)
		if err != nil {
			return err
		}
		r.state = state
		switch {
		case !group.Present:
			return nil // new, or expired: the first transaction commits one
		case group.Offset == state.Next:
			return nil
		case !group.Ours():
			session, _ := group.ResetSession()
			r.commit, r.reset = true, newReset(state, group.Offset, session)
			return nil
		case time.Now().After(deadline) && group.Offset < state.Next:
			// A transaction whose markers were lost: the state's was written later, the offset's was taken for aborted.
			c.log.Warn("the group's offset is behind the state's for good; it is set again", "partition", r.partition, "group", group.Offset, "state", state.Next)
			r.commit = true
			return nil
		case time.Now().After(deadline):
			return &stopError{stopOffset, fmt.Sprintf("the group's offset is %d (%s), the state's is %d", group.Offset, group.Metadata, state.Next)}
		}
		c.log.Info("the group's offset is not the state's yet; reading on", "partition", r.partition, "group", group.Offset, "state", state.Next)
		if err := backoff.Wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// agreed is the state of the partition, which agrees with log, dead letters and ingress. A finding against it stands only if the bounds
// that it was made with are still the ones: they come from several brokers, at several moments, and a process that was away between two of the
// answers, and is the owner no more, sees some from before and some from after the next owner's work.
func (c *session) agreed(ctx context.Context, r *restored, topics bounds) (*admission.State, error) {
	state, err := c.load(ctx, r, topics)
	switch {
	case err != nil:
	case state == nil:
		state, err = c.begin(ctx, r.partition, topics)
	default:
		err = c.compare(ctx, state, topics)
	}
	var stop *stopError
	if !errors.As(err, &stop) {
		return state, err
	}
	now, again := c.ends(ctx, r.partition)
	switch {
	case again != nil:
		return nil, fmt.Errorf("%w; whether it still is so was not answered: %s", again, stop.Error())
	case now.written(r.partition) != topics.written(r.partition):
		return nil, fmt.Errorf("another process wrote or trimmed meanwhile; what was found in between: %s", stop.Error())
	}
	return nil, stop.withStrays(r.stray)
}

// withStrays adds what was passed over in the state topic: if the signing keys were replaced, it was the state itself.
func (e *stopError) withStrays(s statelog.Stray) error {
	if s.Records == 0 || e.code != stopTorn {
		return e
	}
	return &stopError{e.code, fmt.Sprintf("%s. %d records of the state topic were ignored, the first at offset %d: %s. If the signing keys were replaced, "+
		"put the old ones back into the keyring and restart ingest before anything else", e.detail, s.Records, s.Offset, s.Why)}
}

// committedOffset is the group's offset without open transactions; one that hangs is ended (watchStable sees to the partition's topics).
func (c *session) committedOffset(ctx context.Context, partition int32) (kafka.Committed, error) {
	const last = 10 * time.Second
	group, err := c.stableOffset(ctx, partition, openTxnWait-last)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return group, err
	}
	offsets, err := c.admin.OffsetsPartition(ctx, kafka.GroupSequencer)
	if err != nil {
		return group, err
	}
	c.endHanging(ctx, offsets)
	if group, err = c.stableOffset(ctx, partition, last); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = unstable(offsets, err)
	}
	return group, err
}

func (c *session) stableOffset(ctx context.Context, partition int32, wait time.Duration) (kafka.Committed, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return c.Txn.StableOffset(ctx, partition)
}

// unstable is a transaction that has been open for longer than it may. The session's watch ends those that hang on the partition's
// topics, so that a later look finds it gone; what is left has a coordinator that can't write its markers, or may not be ended by us.
func unstable(tp kafka.TopicPartition, err error) error {
	return &stopError{stopUnstable, fmt.Sprintf("a transaction on %s-%d does not end, though its time-out is long over (%v). "+
		"One that hangs is ended by itself if this process may (Alter on the cluster); else by: neuronx log hanging --execute", tp.Topic, tp.Partition, err)}
}

// bounds are the first and the next offset of each partition of the sequencer's topics.
type bounds struct {
	start, end map[kafka.TopicPartition]int64
}

func (b bounds) of(topic string, p int32) (start, end int64) {
	tp := kafka.TopicPartition{Topic: topic, Partition: p}
	return b.start[tp], b.end[tp]
}

// written are the bounds of what an owner of the partition writes: ingress is its producers'.
func (b bounds) written(p int32) (of [6]int64) {
	for i, topic := range []string{kafka.TopicState, kafka.TopicEvents, kafka.TopicDeadLetter} {
		of[2*i], of[2*i+1] = b.of(topic, p)
	}
	return of
}

// ends asks for high waters, not for last stable offsets: those lag a commit by milliseconds, and a restore up to them would miss the
// last transaction and number its events again (KAFKA-10167 was the same mistake). What is not known of another partition, which may have
// no leader, is no error; what is not known of this one always is.
func (c *session) ends(ctx context.Context, partition int32) (bounds, error) {
	end, noEnd := c.admin.EndOffsets(ctx, admin.ReadUncommitted, watchedTopics...)
	start, noStart := c.admin.StartOffsets(ctx, watchedTopics...)
	for _, topic := range watchedTopics {
		tp := kafka.TopicPartition{Topic: topic, Partition: partition}
		_, begins := start[tp]
		if _, ends := end[tp]; !begins || !ends {
			return bounds{}, fmt.Errorf("where %s-%d begins and ends is not known: %w", topic, partition, errors.Join(errNoBounds, noEnd, noStart))
		}
	}
	return bounds{start, end}, nil
}

var errNoBounds = errors.New("its leader did not say")

// read calls fn with the committed records of [from, to). It ends when to is reached, so it waits for transactions that are open.
func (c *session) read(ctx context.Context, topic string, partition int32, from, to int64, fn func(*kafka.Record) error) error {
	rctx, cancel := context.WithTimeout(ctx, openTxnWait)
	defer cancel()
	err := read.Range(rctx, c.cfg.Kafka, topic, partition, from, to, fn)
	if err != nil && rctx.Err() != nil && ctx.Err() == nil {
		return unstable(kafka.TopicPartition{Topic: topic, Partition: partition}, err)
	}
	return err
}

// load folds the state topic; nil is an empty one.
func (c *session) load(ctx context.Context, r *restored, topics bounds) (*admission.State, error) {
	start, end := topics.of(kafka.TopicState, r.partition)
	l := &admission.Loader{
		TopicID: c.Txn.TopicID(), Partition: r.partition, Trimmed: start > 0, Window: c.cfg.KeyWindow,
		Room: func(w *keys.Window, more int) error { return c.memory.Restore(r.partition, w, more) },
	}
	stray, err := statelog.Load(l, c.cfg.Keys, func(fn func(*kafka.Record) error) error {
		return c.read(ctx, kafka.TopicState, r.partition, start, end, fn)
	})
	r.bytes, r.stray, r.snapshots = l.Deltas, stray, l.Snapshots[max(0, len(l.Snapshots)-2):]
	if err != nil {
		return nil, stopOf(err)
	}
	if l.State == nil && start > 0 {
		return nil, torn("the state topic was trimmed to nothing")
	}
	return l.State, nil
}

// stopOf is what an error of Load means for the partition: one of its records stops it, anything else is tried again.
func stopOf(err error) error {
	var full *keys.FullError
	var newer *admission.NewerError
	var record *statelog.TornError
	switch {
	case errors.As(err, &full):
		return &stopError{stopKeys, full.Error()}
	case errors.As(err, &newer):
		return &stopError{stopNewer, err.Error() + ". Nothing is lost: run the newer build again, which goes on from there"}
	case errors.As(err, &record):
		return &stopError{stopTorn, record.Error()}
	}
	return err
}

// begin makes the first state of a partition, which is right only if nothing was ever written for it. Otherwise all consumers would
// take the new events, numbered from 1 again, for ones that they have applied.
func (c *session) begin(ctx context.Context, partition int32, topics bounds) (*admission.State, error) {
	for _, topic := range []string{kafka.TopicEvents, kafka.TopicDeadLetter} {
		start, end := topics.of(topic, partition)
		n, _, err := c.countOurs(ctx, topic, partition, start, end)
		if err != nil {
			return nil, err
		}
		if n > 0 || start > 0 {
			return nil, torn("the state topic is empty, but %s-%d holds %d records and begins at %d: its state is lost (neuronx log reseed --from-archive)", topic, partition, n, start)
		}
	}
	if c.cfg.First != nil {
		switch err := c.cfg.First(ctx); {
		case errors.Is(err, ErrOtherLog):
			return nil, torn("%v", err)
		case err != nil:
			return nil, err
		}
	}
	s := admission.NewState(c.Txn.TopicID(), partition, uuid.NewString(), c.cfg.KeyWindow)
	s.Next, _ = topics.of(kafka.TopicIngress, partition)
	return s, nil
}

// compare checks the ends of log, dead letters and ingress against what the state says of them, and moves the state's marks behind
// the last record.
func (c *session) compare(ctx context.Context, s *admission.State, topics bounds) error {
	start, end := topics.of(kafka.TopicIngress, s.Partition)
	if s.Next < start {
		return &stopError{"ingress_gap", fmt.Sprintf("the next record to judge is %d, but ingress begins at %d: %d records were deleted unread", s.Next, start, start-s.Next)}
	}
	if s.Next > end {
		return torn("the state has judged ingress up to %d, but it ends at %d", s.Next, end)
	}
	for _, x := range []struct {
		topic string
		e     *admission.Ends
	}{{kafka.TopicEvents, &s.Log}, {kafka.TopicDeadLetter, &s.Dead}} {
		start, end := topics.of(x.topic, s.Partition)
		if end < x.e.Next {
			return torn("%s-%d ends at %d; the state knows of offset %d", x.topic, s.Partition, end, x.e.Next)
		}
		n, last, err := c.countOurs(ctx, x.topic, s.Partition, max(start, x.e.Next), end)
		if err != nil {
			return err
		}
		trimmed := start > x.e.Next // then some of the last transaction may be gone by right
		if n != x.e.Count && !(trimmed && n < x.e.Count) {
			return torn("%s-%d holds %d records from offset %d, the state says %d", x.topic, s.Partition, n, x.e.Next, x.e.Count)
		}
		x.e.Next, x.e.Count = max(x.e.Next, last+1), 0
	}
	return nil
}

// countOurs counts the sequencer's records; what another wrote there, without a right to, must not stop the partition.
func (c *session) countOurs(ctx context.Context, topic string, partition int32, from, to int64) (n, last int64, err error) {
	mark, foreign := "ce_logid", 0
	if topic == kafka.TopicDeadLetter {
		mark = event.DeadCode
	}
	last = -1
	err = c.read(ctx, topic, partition, from, to, func(r *kafka.Record) error {
		if _, ok := kafka.Header(r, mark); !ok {
			foreign++
			return nil
		}
		n++
		last = r.Offset
		return nil
	})
	if foreign > 0 {
		c.log.Error("somebody else writes to the log; consumers ignore such records", "topic", topic, "partition", partition, "records", foreign)
	}
	return n, last, err
}
