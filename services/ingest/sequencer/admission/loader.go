package admission

import (
	"bytes"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// Loader folds the records of a state partition, in order, into a State.
type Loader struct {
	TopicID   [16]byte // of neuronx.ingress
	Partition int32
	Trimmed   bool          // the topic's beginning was deleted, so a snapshot must come first
	Window    time.Duration // how long keys are remembered; 0: DefaultWindow

	// Room is asked before a window is given so many more keys than it has; nil: there always is room. Its error ends the restore.
	Room func(w *keys.Window, more int) error

	State     *State  // nil until the first record
	Deltas    int     // bytes of deltas since the last snapshot
	Snapshots []int64 // offsets where snapshots begin
	pending   int     // snapshot chunks still to come
	fresh     *State
}

// Add folds one record, at offset. What does not follow from what came before is an error: a record is missing.
func (l *Loader) Add(offset int64, value []byte) error {
	r, err := parseState(value)
	if err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	if r.topicID != l.TopicID || r.partition != l.Partition {
		return fmt.Errorf("state record at offset %d is of ingress topic %x partition %d, not of %x partition %d: the ingress topic was recreated", offset, r.topicID, r.partition, l.TopicID, l.Partition)
	}
	if r.kind == kindSnapshot {
		return l.addSnapshot(offset, r)
	}
	if l.pending > 0 {
		return fmt.Errorf("state record at offset %d: %d chunks of a snapshot are missing before it", offset, l.pending)
	}
	if l.State == nil {
		if l.Trimmed {
			return fmt.Errorf("state record at offset %d: what came before it is missing", offset)
		}
		l.State = NewState(r.topicID, r.partition, r.logID, l.Window)
		l.State.Next = r.from
	}
	if r.from != l.State.Next || r.logID != l.State.LogID || r.position < l.State.Position {
		return fmt.Errorf("state record at offset %d begins at ingress offset %d, the one before it ended at %d", offset, r.from, l.State.Next)
	}
	l.Deltas += len(value)
	return l.apply(offset, l.State, &r)
}

// Whole reports whether the last snapshot has all its chunks.
func (l *Loader) Whole() bool { return l.pending == 0 }

func (l *Loader) addSnapshot(offset int64, r stateRecord) error {
	if r.chunk == 0 && l.pending == 0 {
		l.fresh, l.pending = NewState(r.topicID, r.partition, r.logID, l.Window), r.chunks
		l.Snapshots = append(l.Snapshots, offset)
	}
	if l.fresh == nil || l.pending != r.chunks-r.chunk || l.State != nil && (r.next != l.State.Next || r.logID != l.State.LogID) {
		return fmt.Errorf("state record at offset %d: chunk %d of %d of a snapshot does not follow", offset, r.chunk, r.chunks)
	}
	if r.chunk == 0 {
		// Most of a snapshot is keys, and all chunks but the last are of one size.
		if err := l.reserve(offset, l.fresh.Keys, r.keys.n*r.chunks); err != nil {
			return err
		}
		l.fresh.Keys.Reserve(r.keys.n * r.chunks)
	}
	if err := l.apply(offset, l.fresh, &r); err != nil {
		return err
	}
	if l.pending--; l.pending == 0 {
		l.fresh.Keys.Filled()
		l.State, l.fresh, l.Deltas = l.fresh, nil, 0
	}
	return nil
}

func (l *Loader) reserve(offset int64, w *keys.Window, more int) error {
	if l.Room == nil {
		return nil
	}
	if err := l.Room(w, more); err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	return nil
}

// apply makes what a record says the state. After an error the state is of no use.
func (l *Loader) apply(offset int64, s *State, r *stateRecord) error {
	if err := l.reserve(offset, s.Keys, r.keys.n); err != nil {
		return err
	}
	s.Next, s.Position, s.Log, s.Dead = r.next, r.position, r.log, r.dead
	for _, t := range r.tenants {
		s.Tenants[t.name] = t.Tenant
	}
	if err := r.keys.each(r.position, s.Keys.PutAll); err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	s.Keys.Expire(event.PositionTime(s.Position))
	return nil
}

// Follows tells whether a record can be folded next. An error is one that can't be read.
func (l *Loader) Follows(value []byte) (bool, error) {
	r, err := parseState(value)
	if err != nil {
		return false, err
	}
	return l.fits(&r), nil
}

func (l *Loader) fits(r *stateRecord) bool {
	if r.topicID != l.TopicID || r.partition != l.Partition {
		return false
	}
	if r.kind == kindSnapshot && l.pending > 0 {
		return l.pending == r.chunks-r.chunk && r.next == l.fresh.Next && r.logID == l.fresh.LogID
	}
	if l.pending > 0 || r.kind == kindSnapshot && r.chunk > 0 {
		return false
	}
	return l.State == nil && (r.kind == kindSnapshot || !l.Trimmed) || l.State != nil && r.from == l.State.Next && r.logID == l.State.LogID && r.position >= l.State.Position
}

// NextOf reads nothing of a state record but the ingress offset that it ends at.
func NextOf(b []byte) (next int64, ok bool) {
	d := decoder{b: b}
	if head := d.bytes(4); !bytes.HasPrefix(head, []byte{'N', 'X', stateVersion}) {
		return 0, false
	}
	d.bytes(16)
	d.number(1<<31 - 1)
	d.bytes(16)
	d.number(maxInt)
	next = d.number(maxInt)
	return next, !d.bad
}
