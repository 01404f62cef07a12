package statelog

import (
	"crypto/rand"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// Other writers of the state topic can put records there that are not the sequencer's. They must not stop the partition, and what is
// the sequencer's own and does not fit must. So a record is recognised by what others can't give it: every build writes state in
// transactions, and this one seals it with the engine's signing keys. The seal is a header, which older builds do not look at.
const (
	hdrSeal     = "neuronx-seal"
	hdrNonce    = "neuronx-seal-nonce" // sealed with the value
	purposeSeal = "sequencer state v1"
)

// Seal returns the headers that a state record with this value has. They differ each time: a partition without traffic has the same
// snapshot again, and that must not be taken for a copy.
func Seal(keys *event.Keyring, value []byte) []kafka.RecordHeader {
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
	*admission.Loader
	keys   *event.Keyring // nil: seals are not looked at
	sealed bool           // a record of ours with a seal was read; then what does not fit and has none is not ours
	seen   map[string]bool
	base   int64 // the ingress offset that the first record of ours ends at

	stray Stray
}

// add folds a record, or notes that it is another writer's. An error is one of our own records that does not fit.
func (r *stateReader) add(rec *kafka.Record) error {
	if why := r.foreign(rec); why != "" {
		if r.stray.Records++; r.stray.Records == 1 {
			r.stray.Offset, r.stray.Why = rec.Offset, why
		}
		return nil
	}
	if err := r.Loader.Add(rec.Offset, rec.Value); err != nil {
		return err
	}
	if r.base == 0 {
		r.base, _ = admission.NextOf(rec.Value)
	}
	return nil
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
	follows, err := r.Follows(rec.Value)
	switch {
	case err != nil:
		return "it has no valid seal, and is " + err.Error()
	case !follows:
		return "it has no valid seal, and does not follow the record before it"
	}
	return ""
}

// copied finds what is sealed and was written again by another, who read it.
func (r *stateReader) copied(seal string, value []byte) string {
	if r.seen[seal] {
		return "it is a copy of an earlier record"
	}
	if next, ok := admission.NextOf(value); ok && r.Trimmed && next < r.base {
		return "it is a copy of a record that was trimmed"
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[seal], r.sealed = true, true
	return ""
}
