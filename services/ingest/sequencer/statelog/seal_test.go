package statelog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// threeDeltas is what three transactions of a sequencer leave of a partition, with their seals.
func threeDeltas(t *testing.T, cfg kafka.Config, keys *event.Keyring, partition int32) []*kafka.Record {
	t.Helper()
	s := admission.NewState([16]byte{1}, partition, uuid.NewString(), 0)
	for range 3 {
		o := admission.NewOverlay(s, nil, 1)
		o.Next++
		d := admission.NewDelta(s, o)
		value := d.Encode(s)
		rec := &kafka.Record{Topic: kafka.TopicState, Partition: partition, Value: value, Headers: Seal(keys, value)}
		if err := txn.Produce(t.Context(), cfg, "sequencer", []*kafka.Record{rec}); err != nil {
			t.Fatal(err)
		}
		s.Merge(o, 0, 0)
	}
	return kafkatest.Consume(t, cfg, kafka.TopicState)
}

// A record of our own that is missing, or that does not fit, is no stray.
func TestStateReader_StopsAtWhatIsOursAndTorn(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	const home = 2
	own := threeDeltas(t, cfg, keys, home)
	var ignored int64
	fold := func(recs ...*kafka.Record) error {
		stray, err := Load(&admission.Loader{TopicID: [16]byte{1}, Partition: home}, keys, func(add func(*kafka.Record) error) error {
			for _, rec := range recs {
				if err := add(rec); err != nil {
					return err
				}
			}
			return nil
		})
		ignored = stray.Records
		return err
	}
	folds := func(what string, strays int64, recs ...*kafka.Record) {
		t.Helper()
		if err := fold(recs...); err != nil || ignored != strays {
			t.Errorf("%s: %v, %d strays, want %d", what, err, ignored, strays)
		}
	}
	stops := func(what, why string, recs ...*kafka.Record) {
		t.Helper()
		if err := fold(recs...); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", what, err, why)
		}
	}
	bare := func(rec *kafka.Record) *kafka.Record { // as the build before wrote it
		c := *rec
		c.Headers = nil
		return &c
	}
	sealed := func(value []byte) *kafka.Record {
		c := *own[1]
		c.Value, c.Headers = value, Seal(keys, value)
		return &c
	}
	folds("all", 0, own...)
	folds("what the build before began", 0, bare(own[0]), bare(own[1]), own[2])
	folds("an older build's for a while", 0, own[0], bare(own[1]), own[2])
	folds("an older build's again", 0, own[0], own[1], bare(own[2]))
	folds("a copy", 1, own[0], own[1], own[0], own[2])
	const gap = "the one before it ended at"
	stops("a record is missing", gap, own[0], own[2])
	stops("a record is missing in what the build before wrote", gap, bare(own[0]), bare(own[2]))
	stops("a record of ours that can't be read", "malformed", own[0], sealed(own[1].Value[:len(own[1].Value)-3]))
	stops("one that can't be read, before anything was sealed", "malformed", bare(sealed(own[1].Value[:len(own[1].Value)-3])))
	newer := slices.Clone(own[1].Value)
	newer[2]++ // the version of the format
	stops("a newer build's", "newer build", own[0], sealed(newer))
	unique := *own[1] // as it was sealed before there was a nonce
	unique.Headers = []kafka.RecordHeader{{Key: hdrSeal, Value: []byte(keys.Seal(purposeSeal, own[1].Value))}}
	folds("sealed without a nonce", 0, own[0], &unique, own[2])
	swapped := sealed(own[1].Value)
	swapped.Headers[1].Value = slices.Clone(own[1].Headers[1].Value)
	folds("a nonce that was not sealed", 1, own[0], own[1], swapped, own[2])
	rotated := sealed(own[1].Value)
	rotated.Headers[0].Value = []byte(strings.Replace(string(rotated.Headers[0].Value), "v1,k1,", "v1,k0,", 1))
	folds("sealed with a key that is gone", 0, own[0], rotated, own[2])
}
