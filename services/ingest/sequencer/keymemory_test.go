package sequencer

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

func TestDefaultKeyMemory_IsAPartOfWhatTheProcessMayUse(t *testing.T) {
	if n := DefaultKeyMemory(); n < 16<<20 {
		t.Fatalf("%d bytes", n)
	}
}

// reasons returns what the process is not ready for.
func (r *process) named(reason string) bool {
	err := r.ready.Err()
	return err != nil && strings.Contains(err.Error(), reason)
}

func TestRun_PausesThePartitionWhoseKeysWouldNotFitAndAdmitsNothingThatItWouldNotRemember(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	c := testConfig(cfg, keys, "0")
	c.KeyMemory = 700_000
	r := start(t, c)
	other := "b"
	for i := 0; kafka.PartitionFor([]byte(other), kafkatest.Partitions) == kafka.PartitionFor([]byte("a"), kafkatest.Partitions); i++ {
		other = fmt.Sprint("b", i)
	}
	send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Created(keys, other))
	n := 0
	kafkatest.WaitFor(t, "the pause to be named", func(context.Context) bool {
		var more []*event.Event
		for range 1000 {
			more = append(more, sequencertest.Lead("a", fmt.Sprint(n)))
			n++
		}
		send(t, cfg, more...)
		return r.named(stopKeys)
	})
	if !r.named("--key-memory") {
		t.Fatalf("it does not say what to do: %v", r.ready.Err())
	}
	// Others go on, in the part that is theirs.
	send(t, cfg, sequencertest.Lead(other, "x"))
	kafkatest.WaitFor(t, "the other tenant's event", func(context.Context) bool { return len(logged(t, cfg)[other]) == 2 })
	before := len(logged(t, cfg)["a"])
	if before > n {
		t.Fatalf("%d of %d events were admitted", before, n)
	}
	r.halt()

	// With less memory than that, it is not even restored.
	c.KeyMemory = 200_000
	r = start(t, c)
	kafkatest.WaitFor(t, "the stop to be named", func(context.Context) bool { return r.named("stopped: " + stopKeys) })
	r.halt()
	if got := len(logged(t, cfg)["a"]); got != before {
		t.Fatalf("%d events were admitted after the pause", got-before)
	}

	c.KeyMemory = 64 << 20
	r = start(t, c)
	send(t, cfg, sequencertest.Lead("a", "0")) // a repeat of the first
	log := waitLogged(t, cfg, n+3)
	checkLog(t, log)
	kafkatest.WaitFor(t, "readiness", func(context.Context) bool { return r.ready.Err() == nil })
	if total(logged(t, cfg)) != n+3 {
		t.Fatal("a repeat was admitted")
	}
}

func TestRun_StopsAtStateOfANewerBuildAndWritesNothing(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Lead("a", "1"))
	waitLogged(t, cfg, 2)
	r.halt()
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	var last []byte
	for _, rec := range kafkatest.Consume(t, cfg, kafka.TopicState) {
		if rec.Partition == home {
			last = rec.Value
		}
	}
	last[2]++ // the version of the format
	newer := &kafka.Record{Topic: kafka.TopicState, Partition: home, Value: last, Headers: statelog.Seal(keys, last)}
	if err := txn.Produce(t.Context(), cfg, "newer", []*kafka.Record{newer}); err != nil {
		t.Fatal(err)
	}
	send(t, cfg, sequencertest.Lead("a", "2"))
	r = start(t, testConfig(cfg, keys, "0"))
	kafkatest.WaitFor(t, "the stop to be named", func(context.Context) bool { return r.named(stopNewer) })
	if !r.named("newer build") || total(logged(t, cfg)) != 2 {
		t.Fatalf("%v, %d events", r.ready.Err(), total(logged(t, cfg)))
	}
}
