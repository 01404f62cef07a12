package sequencer

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Other writers of the state topic can put records there that are not the sequencer's. They must not stop the partition, and what is
// the sequencer's own and does not fit must. So a record is told by what somebody else can't give it: every build writes state in
// transactions, and this one seals it with the engine's signing keys. The seal is a header, which older builds do not look at.
const (
	hdrSeal     = "neuronx-seal"
	hdrNonce    = "neuronx-seal-nonce" // sealed with the value
	purposeSeal = "sequencer state v1"
)

// SealState returns the headers that a state record with this value has. They differ each time: a partition without traffic has the same
// snapshot again, and that must not be taken for a copy.
func SealState(keys *event.Keyring, value []byte) []kafka.RecordHeader {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	return []kafka.RecordHeader{{Key: hdrSeal, Value: []byte(keys.Seal(purposeSeal, value, nonce))}, {Key: hdrNonce, Value: nonce}}
}

// sealed reports whether one of the keys made the record's seal.
func sealed(keys *event.Keyring, rec *kafka.Record, seal string) bool {
	if nonce, has := kafka.Header(rec, hdrNonce); has {
		return keys.Sealed(seal, purposeSeal, rec.Value, []byte(nonce))
	}
	return keys.Sealed(seal, purposeSeal, rec.Value)
}

// stateReader keeps records of others from a loader, and notes them.
type stateReader struct {
	*loader
	keys   *event.Keyring // nil: seals are not looked at
	sealed bool           // a record of ours with a seal was read; then what does not fit and has none is not ours
	seen   map[string]bool
	base   int64 // the ingress offset that the first record of ours ends at

	strays    int64
	stray     int64  // offset of the first
	strayedBy string // why it is none of ours
}

// add folds a record, or notes that it is somebody else's and answers false. An error is one of our own records that does not fit.
func (r *stateReader) add(rec *kafka.Record) (ours bool, err error) {
	if why := r.foreign(rec); why != "" {
		if r.strays++; r.strays == 1 {
			r.stray, r.strayedBy = rec.Offset, why
		}
		return false, nil
	}
	if err := r.loader.add(rec.Offset, rec.Value); err != nil {
		return true, err
	}
	switch {
	case r.base > 0:
	case r.s != nil:
		r.base = r.s.next
	case r.fresh != nil:
		r.base = r.fresh.next
	}
	return true, nil
}

// foreign says why a record is none of ours; empty: it is, or nothing shows that it is not.
func (r *stateReader) foreign(rec *kafka.Record) string {
	if !rec.Attrs.IsTransactional() {
		return "it was not written in a transaction"
	}
	seal, has := kafka.Header(rec, hdrSeal)
	switch {
	case r.keys == nil: // as if nothing were sealed
	case has && sealed(r.keys, rec, seal):
		return r.copied(seal, rec.Value)
	case has && r.keys.Knows(seal):
		return "its seal does not match"
	}
	// From a build that made no seals, or sealed with a key that was taken out of the keyring since.
	if !r.sealed && r.keys != nil {
		return ""
	}
	p, err := parseState(rec.Value)
	switch {
	case err != nil:
		return "it has no valid seal, and is " + err.Error()
	case !r.follows(&p):
		return "it has no valid seal, and does not follow the record before it"
	}
	return ""
}

// copied finds what is sealed and was written again by somebody who read it.
func (r *stateReader) copied(seal string, value []byte) string {
	if r.seen[seal] {
		return "it is a copy of an earlier record"
	}
	if next, ok := stateNext(value); ok && r.trimmed && next < r.base {
		return "it is a copy of a record that was trimmed"
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[seal], r.sealed = true, true
	return ""
}

// follows tells whether a record can be folded next.
func (l *loader) follows(r *stateRecord) bool {
	if r.topicID != l.topicID || r.partition != l.partition {
		return false
	}
	if r.kind == kindSnapshot && l.pending > 0 {
		return l.pending == r.chunks-r.chunk && r.next == l.fresh.next && r.logID == l.fresh.logID
	}
	if l.pending > 0 || r.kind == kindSnapshot && r.chunk > 0 {
		return false
	}
	return l.s == nil && (r.kind == kindSnapshot || !l.trimmed) || l.s != nil && r.from == l.s.next && r.logID == l.s.logID && r.position >= l.s.position
}

// stateNext reads nothing of a state record but up to where in ingress it is.
func stateNext(b []byte) (next int64, ok bool) {
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

// Stray is what was found of others' records in a partition of the state topic.
type Stray struct {
	Partition int32
	Records   int64
	Offset    int64  // of the first
	Why       string // it is none of ours
}

// nameStrays tells of what a restore passed over; once, though a partition that is stopped is restored again and again.
func (c *session) nameStrays(p *partition, s Stray) {
	c.m.strays.WithLabelValues(label(p.id)).Set(float64(s.Records))
	if s.Records > p.strays {
		c.log.Error("somebody else writes to the sequencer's state; such records are ignored", "topic", kafka.TopicState, "partition", p.id,
			"records", s.Records, "first_offset", s.Offset, "reason", s.Why)
	}
	p.strays = s.Records
}

// Strays looks for records in neuronx.sequencer.state that are not the sequencer's. It ends with ctx, and then answers with what it has
// found; whole tells whether it has read all.
func Strays(ctx context.Context, cfg kafka.Config, keys *event.Keyring) (found []Stray, whole bool, err error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return nil, false, fmt.Errorf("look for strays: %w", err)
	}
	defer adm.Close()
	ids, err := adm.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, false, fmt.Errorf("look for strays: %w", err)
	}
	end, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicState)
	if err != nil {
		return nil, false, fmt.Errorf("look for strays: %w", err)
	}
	start, err := adm.StartOffsets(ctx, kafka.TopicState)
	if err != nil {
		return nil, false, fmt.Errorf("look for strays: %w", err)
	}
	order := func(a, b kafka.TopicPartition) int { return int(a.Partition) - int(b.Partition) }
	for _, tp := range slices.SortedFunc(maps.Keys(end), order) {
		r := stateReader{keys: keys, loader: &loader{topicID: ids[kafka.TopicIngress], partition: tp.Partition, trimmed: start[tp] > 0}}
		err := read.Range(ctx, cfg, tp.Topic, tp.Partition, start[tp], end[tp], func(rec *kafka.Record) error {
			_, err := r.add(rec)
			return err
		})
		if r.strays > 0 {
			found = append(found, Stray{tp.Partition, r.strays, r.stray, r.strayedBy})
		}
		if err != nil && ctx.Err() != nil {
			return found, false, nil
		}
		if err != nil {
			return found, false, fmt.Errorf("read the state of partition %d: %w", tp.Partition, err)
		}
	}
	return found, true, nil
}
