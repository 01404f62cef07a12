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
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
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
	send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Lead("a", "1"))
	waitLogged(t, cfg, 2)
	r.halt()
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	own := stateOf(t, cfg, home)
	if len(own) == 0 {
		t.Fatal("no state")
	}
	last := own[len(own)-1]
	newer := slices.Clone(last.Value)
	newer[2]++ // the version of the format
	elsewhere := slices.Clone(last.Value)
	elsewhere[4] ^= 1 // another ingress topic
	forged := admission.Snapshot(admission.NewState([16]byte(last.Value[4:20]), home, "00000000-0000-4000-8000-000000000000", 0))[0]
	stranger := event.NewKeyring()
	stray := func(value []byte, headers ...kafka.RecordHeader) *kafka.Record {
		return &kafka.Record{Topic: kafka.TopicState, Partition: home, Key: []byte("a"), Value: value, Headers: headers}
	}
	strays := func() []*kafka.Record {
		return []*kafka.Record{
			stray([]byte("garbage")), stray(nil), stray([]byte("NX")), stray(last.Value[:len(last.Value)-3]), stray(newer), stray(elsewhere), stray(forged),
			stray(last.Value), stray(last.Value, last.Headers...), // copies: without the seal, and with it
			stray(forged, statelog.Seal(stranger, forged)...), stray(newer, last.Headers...),
		}
	}
	kafkatest.Produce(t, cfg, strays()...)
	if err := txn.Produce(t.Context(), cfg, "stranger", strays()); err != nil {
		t.Fatal(err)
	}
	found, whole, err := statelog.Strays(t.Context(), cfg, keys)
	if err != nil || !whole || len(found) != 1 || found[0].Partition != home || found[0].Records != int64(2*len(strays())) || found[0].Offset != last.Offset+2 {
		t.Fatalf("%+v, %v, %v; want %d strays from offset %d on", found, whole, err, 2*len(strays()), last.Offset+2)
	}
	send(t, cfg, sequencertest.Lead("a", "1"), sequencertest.Lead("a", "2"))
	r = start(t, testConfig(cfg, keys, "0"))
	waitLogged(t, cfg, 3)
	kafkatest.WaitFor(t, "the strays to be counted", func(context.Context) bool {
		got, err := testutil.GatherAndCount(r.reg, "neuronx_sequencer_foreign_state_records")
		return err == nil && got > 0
	})
	r.halt()
	send(t, cfg, sequencertest.Lead("a", "3")) // behind the strays our own records go on
	r = start(t, testConfig(cfg, keys, "1"))
	waitLogged(t, cfg, 4)
	r.halt()
	if got := total(logged(t, cfg)); got != 4 {
		t.Errorf("%d events, want 4: the state is forgotten", got)
	}
}

// A partition without traffic that is restored again and again has no records of others, and no further snapshots.
func TestRestore_OfAnIdlePartitionFindsNoStraysAndWritesNoSnapshot(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	idle, other := "a", "b"
	const snapshotKind = 2
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
	send(t, cfg, sequencertest.Created(keys, idle), sequencertest.Lead(idle, "1"), sequencertest.Created(keys, other))
	var first *kafka.Record
	for round := range 3 {
		r := start(t, c)
		send(t, cfg, sequencertest.Lead(other, string(rune('1'+round))))
		waitLogged(t, cfg, 4+round)
		kafkatest.WaitFor(t, "snapshots of both partitions", func(context.Context) bool {
			return last(idle).Value[3] == snapshotKind && last(other).Value[3] == snapshotKind
		})
		r.halt()
		if round == 0 {
			first = last(idle)
		}
	}
	if found, whole, err := statelog.Strays(t.Context(), cfg, keys); err != nil || !whole || len(found) > 0 {
		t.Errorf("%+v, %v, %v; want none", found, whole, err)
	}
	own := stateOf(t, cfg, home)
	if end := own[len(own)-1]; end.Offset != first.Offset {
		t.Errorf("the idle partition's state goes on from offset %d to %d", first.Offset, end.Offset)
	}
	again := *first
	again.Headers = statelog.Seal(keys, first.Value)
	l := &admission.Loader{TopicID: [16]byte(first.Value[4:20]), Partition: home}
	stray, err := statelog.Load(l, keys, func(add func(*kafka.Record) error) error {
		for _, rec := range append(own, &again, first) {
			if err := add(rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if stray.Records != 1 || stray.Offset != first.Offset || l.Deltas != 0 {
		t.Errorf("%d strays from %d on, %d bytes of deltas; want the copy alone, and no bytes behind a snapshot", stray.Records, stray.Offset, l.Deltas)
	}
}

func TestLastNumbers_AreThoseThatTheSequencerHasUsedUp(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Derived(keys, "a", "d1", 1), sequencertest.Derived(keys, "a", "d2", 2, func(e *event.Event) { e.Type = "tenant.resumed" }), sequencertest.Derived(keys, "a", "d4", 4))
	waitLogged(t, cfg, 2)
	kafkatest.WaitFor(t, "all to be judged", func(context.Context) bool {
		got, err := statelog.LastNumbers(t.Context(), cfg, keys, "a")
		return err == nil && got["rules"] == 2 // the refused one counts, the jump does not
	})
	r.halt()
	if got, err := statelog.LastNumbers(t.Context(), cfg, keys, "b"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := statelog.AllNumbers(t.Context(), cfg, keys); err != nil || len(got) != 1 || got["a"]["rules"] != 2 {
		t.Errorf("of all tenants: %v, %v", got, err)
	}
}

func TestRestore_SaysThatTheSigningKeysMayHaveBeenReplaced(t *testing.T) {
	cfg, keys := kafkatest.Start(t), event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "a"))
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
