package sequencer

import (
	"fmt"

	"github.com/neuronx/engine/pkg/event"
)

// loader folds the records of a state partition, in order, into a State.
type loader struct {
	topicID   [16]byte
	partition int32
	trimmed   bool   // the topic's beginning was deleted, so a snapshot must come first
	s         *State // nil until the first record
	pending   int    // snapshot chunks still to come
	snapshots []int64
	fresh     *State
	deltas    int   // bytes since the last snapshot
	spanMS    int64 // how long keys are remembered; 0: KeyWindow
	// room is asked before a window is given so many more keys than it has; nil: there always is. Its error ends the restore.
	room func(w *window, keys int) error
}

// add folds one record that stands at offset. What does not follow from what came before is an error: a record is missing.
func (l *loader) add(offset int64, value []byte) error {
	r, err := parseState(value)
	if err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	if r.topicID != l.topicID || r.partition != l.partition {
		return fmt.Errorf("state record at offset %d is of ingress topic %x partition %d, not of %x partition %d: the ingress topic was recreated", offset, r.topicID, r.partition, l.topicID, l.partition)
	}
	if r.kind == kindSnapshot {
		return l.addSnapshot(offset, r)
	}
	if l.pending > 0 {
		return fmt.Errorf("state record at offset %d: %d chunks of a snapshot are missing before it", offset, l.pending)
	}
	if l.s == nil {
		if l.trimmed {
			return fmt.Errorf("state record at offset %d: what came before it is missing", offset)
		}
		l.s = l.begin(&r)
		l.s.next = r.from
	}
	if r.from != l.s.next || r.logID != l.s.logID || r.position < l.s.position {
		return fmt.Errorf("state record at offset %d begins at ingress offset %d, the one before it ended at %d", offset, r.from, l.s.next)
	}
	l.deltas += len(value)
	return l.apply(offset, l.s, &r)
}

func (l *loader) begin(r *stateRecord) *State {
	s := newState(r.topicID, r.partition, r.logID)
	if l.spanMS > 0 { // from the beginning, or keys of a longer window would be forgotten while they are read
		s.keys.spanMS = l.spanMS
	}
	return s
}

func (l *loader) addSnapshot(offset int64, r stateRecord) error {
	if r.chunk == 0 && l.pending == 0 {
		l.fresh, l.pending = l.begin(&r), r.chunks
		l.snapshots = append(l.snapshots, offset)
	}
	if l.fresh == nil || l.pending != r.chunks-r.chunk || l.s != nil && (r.next != l.s.next || r.logID != l.s.logID) {
		return fmt.Errorf("state record at offset %d: chunk %d of %d of a snapshot does not follow", offset, r.chunk, r.chunks)
	}
	if r.chunk == 0 {
		// Most of a snapshot is keys, and all chunks but the last are of one size.
		if err := l.reserve(offset, l.fresh.keys, r.keys.n*r.chunks); err != nil {
			return err
		}
		l.fresh.keys.reserve(r.keys.n * r.chunks)
	}
	if err := l.apply(offset, l.fresh, &r); err != nil {
		return err
	}
	if l.pending--; l.pending == 0 {
		l.fresh.keys.settle()
		l.s, l.fresh, l.deltas = l.fresh, nil, 0
	}
	return nil
}

func (l *loader) reserve(offset int64, w *window, keys int) error {
	if l.room == nil {
		return nil
	}
	if err := l.room(w, keys); err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	return nil
}

// apply makes what a record says the state. After an error the state is of no use.
func (l *loader) apply(offset int64, s *State, r *stateRecord) error {
	if err := l.reserve(offset, s.keys, r.keys.n); err != nil {
		return err
	}
	s.next, s.position, s.log, s.dead = r.next, r.position, r.log, r.dead
	for _, t := range r.tenants {
		s.tenants[t.name] = t.tenant
	}
	if err := r.keys.each(r.position, s.keys.putAll); err != nil {
		return fmt.Errorf("state record at offset %d: %w", offset, err)
	}
	s.keys.expire(event.PositionTime(s.position))
	return nil
}
