package sequencer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

func TestKeyMemory_IsNeverPassedAndKeepsAPartForEveryPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		parts := 1 + rng.IntN(12)
		limit := int64(1000 + rng.IntN(100_000))
		used := map[int32]int64{}
		for p := range parts {
			used[int32(p)] = 0
		}
		greedy := rng.IntN(parts)
		for range 2000 {
			p := int32(rng.IntN(parts))
			if rng.IntN(2) == 0 {
				p = int32(greedy)
			}
			n := 1 + rng.Int64N(limit/50)
			if fits(limit, used, p, n) {
				used[p] += n
			} else if used[p]+n <= limit/2/int64(parts) {
				t.Fatalf("partition %d was refused its own part: %v of %d", p, used, limit)
			}
			var all int64
			for _, b := range used {
				all += b
			}
			if all > limit {
				t.Fatalf("%d bytes of %d", all, limit)
			}
		}
		if parts > 1 && used[int32(greedy)] < limit/4 {
			t.Fatalf("half of the memory is for whoever needs it, but %d of %d was given to one", used[int32(greedy)], limit)
		}
	}
}

func TestDefaultKeyMemory_IsAPartOfWhatTheProcessMayUse(t *testing.T) {
	if n := DefaultKeyMemory(); n < 16<<20 {
		t.Fatalf("%d bytes", n)
	}
}

func TestWindow_HasABoundThatIsCheckedBeforeItsNumbersRunOut(t *testing.T) {
	w := newWindow()
	w.chunks = make([]*chunk, maxChunks-4)
	if w.full(chunkKeys) || !w.full(3*chunkKeys) {
		t.Fatal("not at the bound")
	}
	if err := newKeyMemory(1<<60).admit(0, w, 3*chunkKeys); err == nil {
		t.Fatal("more keys than there are numbers were accepted")
	}
}

func TestLoader_KeepsTheKeysOfAWindowLongerThanADay(t *testing.T) {
	s, _ := goldenState()
	const day = 24 * 60 * 60 * 1000
	s.keys = newWindow()
	s.keys.spanMS = 7 * day
	now := event.PositionTime(s.position)
	for i := range 5 * chunkKeys {
		s.keys.put(hashKey("acme", fmt.Sprint(i)), verdict{number: int64(i), ms: now - 6*day + int64(i)*60_000})
	}
	l := &loader{topicID: s.topicID, partition: 3, spanMS: 7 * day}
	for i, c := range s.snapshot() {
		if err := l.add(int64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if l.s.keys.len() != s.keys.len() || l.s.keys.spanMS != 7*day {
		t.Fatalf("%d keys of %d", l.s.keys.len(), s.keys.len())
	}
}

func TestLoader_AsksForRoomBeforeItTakesMemory(t *testing.T) {
	s, _ := goldenState()
	for i := range 60_000 {
		s.keys.put(spread(uint64(i)), verdict{number: int64(i), ms: event.PositionTime(s.position)})
	}
	m := newKeyMemory(1 << 20)
	l := &loader{topicID: s.topicID, partition: 3, room: func(w *window, n int) error { return m.restore(3, w, n) }}
	err := l.add(0, s.snapshot()[0])
	var stop *stopError
	if !errors.As(err, &stop) || stop.code != stopKeys || l.fresh.keys.bytes() > 1<<20 {
		t.Fatalf("%v; took %d bytes", err, l.fresh.keys.bytes())
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
	send(t, cfg, created(keys, "a"), created(keys, other))
	n := 0
	kafkatest.WaitFor(t, "the pause to be named", func(context.Context) bool {
		var more []*event.Event
		for range 1000 {
			more = append(more, lead("a", fmt.Sprint(n)))
			n++
		}
		send(t, cfg, more...)
		return r.named(stopKeys)
	})
	if !r.named("--key-memory") {
		t.Fatalf("it does not say what to do: %v", r.ready.Err())
	}
	// Others go on, in the part that is theirs.
	send(t, cfg, lead(other, "x"))
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
	send(t, cfg, lead("a", "0")) // a repeat of the first
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
	send(t, cfg, created(keys, "a"), lead("a", "1"))
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
	last[2] = stateVersion + 1
	newer := &kafka.Record{Topic: kafka.TopicState, Partition: home, Value: last, Headers: SealState(keys, last)}
	if err := txn.Produce(t.Context(), cfg, "newer", []*kafka.Record{newer}); err != nil {
		t.Fatal(err)
	}
	send(t, cfg, lead("a", "2"))
	r = start(t, testConfig(cfg, keys, "0"))
	kafkatest.WaitFor(t, "the stop to be named", func(context.Context) bool { return r.named(stopNewer) })
	if !r.named("newer build") || total(logged(t, cfg)) != 2 {
		t.Fatalf("%v, %d events", r.ready.Err(), total(logged(t, cfg)))
	}
}
