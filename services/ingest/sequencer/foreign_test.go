package sequencer

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// stateOf returns the state records of a partition, in order.
func stateOf(t *testing.T, cfg kafka.Config, partition int32) (out []*kafka.Record) {
	t.Helper()
	for _, rec := range kafkatest.Consume(t, cfg, kafka.TopicState) {
		if rec.Partition == partition {
			out = append(out, rec)
		}
	}
	return out
}

// What somebody else puts into the state topic is ignored and named, in transactions or not, and the partition goes on.
func TestRestore_IgnoresWhatOthersWroteToTheState(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"), lead("a", "1"))
	waitLogged(t, cfg, 2)
	r.halt()
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	own := stateOf(t, cfg, home)
	if len(own) == 0 {
		t.Fatal("no state")
	}
	last := own[len(own)-1]
	newer := slices.Clone(last.Value)
	newer[2] = stateVersion + 1
	elsewhere := slices.Clone(last.Value)
	elsewhere[4] ^= 1 // another ingress topic
	forged := newState([16]byte(last.Value[4:20]), home, "00000000-0000-4000-8000-000000000000").snapshot()[0]
	stranger := event.NewKeyring()
	stray := func(value []byte, headers ...kafka.RecordHeader) *kafka.Record {
		return &kafka.Record{Topic: kafka.TopicState, Partition: home, Key: []byte("a"), Value: value, Headers: headers}
	}
	strays := func() []*kafka.Record {
		return []*kafka.Record{
			stray([]byte("garbage")), stray(nil), stray([]byte("NX")), stray(last.Value[:len(last.Value)-3]), stray(newer), stray(elsewhere), stray(forged),
			stray(last.Value), stray(last.Value, last.Headers...), // copies: without the seal, and with it
			stray(forged, SealState(stranger, forged)...), stray(newer, last.Headers...),
		}
	}
	kafkatest.Produce(t, cfg, strays()...)
	if err := txn.Produce(t.Context(), cfg, "stranger", strays()); err != nil {
		t.Fatal(err)
	}
	found, whole, err := Strays(t.Context(), cfg, keys)
	if err != nil || !whole || len(found) != 1 || found[0].Partition != home || found[0].Records != int64(2*len(strays())) || found[0].Offset != last.Offset+2 {
		t.Fatalf("%+v, %v, %v; want %d strays from offset %d on", found, whole, err, 2*len(strays()), last.Offset+2)
	}
	send(t, cfg, lead("a", "1"), lead("a", "2"))
	r = start(t, testConfig(cfg, keys, "0"))
	waitLogged(t, cfg, 3)
	kafkatest.WaitFor(t, "the strays to be counted", func(context.Context) bool {
		got, err := testutil.GatherAndCount(r.reg, "neuronx_sequencer_foreign_state_records")
		return err == nil && got > 0
	})
	r.halt()
	send(t, cfg, lead("a", "3")) // behind the strays our own records go on
	r = start(t, testConfig(cfg, keys, "1"))
	waitLogged(t, cfg, 4)
	r.halt()
	if got := total(logged(t, cfg)); got != 4 {
		t.Errorf("%d events, want 4: the state is forgotten", got)
	}
}

// A record of our own that is missing, or that does not fit, is no stray.
func TestStateReader_StopsAtWhatIsOursAndTorn(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"))
	waitLogged(t, cfg, 1)
	for i := range 3 {
		send(t, cfg, lead("a", string(rune('1'+i))))
		waitLogged(t, cfg, 2+i)
	}
	r.halt()
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	own := stateOf(t, cfg, home)
	if len(own) < 3 {
		t.Fatalf("%d state records", len(own))
	}
	var ignored int64
	fold := func(recs ...*kafka.Record) error {
		s := stateReader{keys: keys, loader: &loader{topicID: [16]byte(own[0].Value[4:20]), partition: home}}
		for _, rec := range recs {
			if _, err := s.add(rec); err != nil {
				return err
			}
		}
		ignored = s.strays
		return nil
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
		c.Value, c.Headers = value, SealState(keys, value)
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
	newer[2] = stateVersion + 1
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

// A partition without traffic that is restored again and again has no records of others, and no further snapshots.
func TestRestore_OfAnIdlePartitionFindsNoStraysAndWritesNoSnapshot(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	idle, other := "a", "b"
	home := kafka.PartitionFor([]byte(idle), kafkatest.Partitions)
	if kafka.PartitionFor([]byte(other), kafkatest.Partitions) == home {
		t.Fatal("the tenants share a partition")
	}
	last := func(tenant string) *kafka.Record {
		own := stateOf(t, cfg, kafka.PartitionFor([]byte(tenant), kafkatest.Partitions))
		return own[len(own)-1]
	}
	c := testConfig(cfg, keys, "0")
	c.SnapshotEvery = time.Millisecond
	send(t, cfg, created(keys, idle), lead(idle, "1"), created(keys, other))
	var first *kafka.Record
	for round := range 3 {
		r := start(t, c)
		send(t, cfg, lead(other, string(rune('1'+round))))
		waitLogged(t, cfg, 4+round)
		kafkatest.WaitFor(t, "snapshots of both partitions", func(context.Context) bool {
			return last(idle).Value[3] == kindSnapshot && last(other).Value[3] == kindSnapshot
		})
		r.halt()
		if round == 0 {
			first = last(idle)
		}
	}
	if found, whole, err := Strays(t.Context(), cfg, keys); err != nil || !whole || len(found) > 0 {
		t.Errorf("%+v, %v, %v; want none", found, whole, err)
	}
	own := stateOf(t, cfg, home)
	if end := own[len(own)-1]; end.Offset != first.Offset {
		t.Errorf("the idle partition's state goes on from offset %d to %d", first.Offset, end.Offset)
	}
	again := *first
	again.Headers = SealState(keys, first.Value)
	s := stateReader{keys: keys, loader: &loader{topicID: [16]byte(first.Value[4:20]), partition: home}}
	for _, rec := range append(own, &again, first) {
		if _, err := s.add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if s.strays != 1 || s.stray != first.Offset || s.deltas != 0 {
		t.Errorf("%d strays from %d on, %d bytes of deltas; want the copy alone, and no bytes behind a snapshot", s.strays, s.stray, s.deltas)
	}
}

func TestLastNumbers_AreThoseThatTheSequencerHasUsedUp(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"), derived(keys, "a", "d1", 1), derived(keys, "a", "d2", 2, func(e *event.Event) { e.Type = "tenant.resumed" }), derived(keys, "a", "d4", 4))
	waitLogged(t, cfg, 2)
	kafkatest.WaitFor(t, "all to be judged", func(context.Context) bool {
		got, err := LastNumbers(t.Context(), cfg, keys, "a")
		return err == nil && got["rules"] == 2 // the refused one counts, the jump does not
	})
	r.halt()
	if got, err := LastNumbers(t.Context(), cfg, keys, "b"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := AllNumbers(t.Context(), cfg, keys); err != nil || len(got) != 1 || got["a"]["rules"] != 2 {
		t.Errorf("of all tenants: %v, %v", got, err)
	}
}

func TestRestore_SaysThatTheSigningKeysMayHaveBeenReplaced(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"))
	waitLogged(t, cfg, 1)
	r.halt()
	// Other keys under the same id: what they sealed can't be told from what a stranger sealed.
	r = start(t, testConfig(cfg, event.NewKeyring(), "0"))
	kafkatest.WaitFor(t, "the partition to be stopped", func(context.Context) bool {
		err := r.ready.Err()
		return err != nil && strings.Contains(err.Error(), stopTorn)
	})
	if err := r.ready.Err(); !strings.Contains(err.Error(), "If the signing keys were replaced") {
		t.Errorf("stopped as %v", err)
	}
	r.halt()
}
