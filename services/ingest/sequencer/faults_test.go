package sequencer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestRun_AFailedTransactionLeavesEveryEventOnce(t *testing.T) {
	for _, fault := range kafkatest.TxnFaults() {
		t.Run(string(fault), func(t *testing.T) {
			cfg, cluster := kafkatest.StartCluster(t)
			keys := event.NewKeyring()
			start(t, testConfig(cfg, keys, "0"))
			const tenants, each = 6, 60
			var first []*event.Event
			for i := range tenants {
				first = append(first, created(keys, fmt.Sprintf("t%d", i)))
			}
			send(t, cfg, first...)
			waitLogged(t, cfg, tenants)
			hits := kafkatest.FailTxn(cluster, fault, 3)
			for j := range each {
				var events []*event.Event
				for i := range tenants {
					events = append(events, lead(fmt.Sprintf("t%d", i), fmt.Sprint(j)))
				}
				send(t, cfg, events...)
			}
			log := waitLogged(t, cfg, tenants*(each+1))
			kafkatest.WaitFor(t, "the faults", func(context.Context) bool { return hits() > 0 })
			checkLog(t, log)
			if n := total(log); n != tenants*(each+1) {
				t.Fatalf("%d events in the log", n)
			}
		})
	}
}

func TestRun_TwoInstancesShareThePartitionsAndNumberNothingTwice(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	first := start(t, testConfig(cfg, keys, "0"))
	const tenants = 12
	var events []*event.Event
	for i := range tenants {
		events = append(events, created(keys, fmt.Sprintf("t%d", i)))
	}
	send(t, cfg, events...)
	n := 0
	round := func() {
		var events []*event.Event
		for i := range tenants {
			events = append(events, lead(fmt.Sprintf("t%d", i), fmt.Sprint(n)))
		}
		send(t, cfg, events...)
		n++
	}
	owned := func(p *process) int {
		v := gather(t, p, "neuronx_sequencer_partitions")
		return int(v)
	}
	until := func(what string, cond func() bool) {
		t.Helper()
		kafkatest.WaitFor(t, what, func(context.Context) bool { round(); return cond() })
	}
	until("the first to own all", func() bool { return owned(first) == kafkatest.Partitions })
	second := start(t, testConfig(cfg, keys, "1"))
	until("both to own half", func() bool { return owned(first) == 3 && owned(second) == 3 })
	first.halt()
	until("the second to own all", func() bool { return owned(second) == kafkatest.Partitions })
	third := start(t, testConfig(cfg, keys, "0"))
	until("both to own half again", func() bool { return owned(third) == 3 && owned(second) == 3 })
	log := waitLogged(t, cfg, tenants*(n+1))
	checkLog(t, log)
	if got := total(log); got != tenants*(n+1) {
		t.Fatalf("%d events in the log, want %d", got, tenants*(n+1))
	}
}

// gather sums a metric of a sequencer.
func gather(t testing.TB, p *process, name string) float64 {
	t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// published records what a sequencer reports.
type published struct {
	mu   sync.Mutex
	seen []string
}

func (p *published) Publish(_ context.Context, tenant, typ, subject, id string, data map[string]any, _ ...control.Option) (event.Event, error) {
	if _, err := testSchemas.byID[testSchemas.byType[typ]].EncodeMap(data); err != nil {
		return event.Event{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, tenant+" "+typ)
	return event.Event{}, nil
}

func (p *published) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.seen, ", ")
}

func TestRun_UndoesAndReportsAnOperatorsReset(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	for name, offset := range map[string]int64{"back": 0, "forward": 1000} {
		r := start(t, testConfig(cfg, keys, "0"))
		n := total(logged(t, cfg))
		send(t, cfg, created(keys, "a"), lead("a", name+"1"), lead("a", name+"2"))
		log := waitLogged(t, cfg, max(n, 1)+2)
		r.halt()
		tp := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: home}
		truth := committed(t, adm)[tp]
		if !truth.Ours() {
			t.Fatalf("committed %+v", truth)
		}
		kafkatest.WaitFor(t, "the reset to be taken", func(ctx context.Context) bool {
			return adm.Commit(ctx, kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{tp: {Offset: offset}}) == nil
		})

		c := testConfig(cfg, keys, "0")
		pub := &published{}
		c.Publisher = pub
		r = start(t, c)
		kafkatest.WaitFor(t, "the offset to be set back without traffic", func(context.Context) bool {
			got := committed(t, adm)[tp]
			return got.Offset == truth.Offset && got.Ours()
		})
		kafkatest.WaitFor(t, "the report", func(context.Context) bool {
			return pub.all() == "a engine.replay.started, a engine.replay.completed"
		})
		var undone float64
		kafkatest.WaitFor(t, "the reset to be counted", func(context.Context) bool {
			undone = gather(t, r, "neuronx_sequencer_resets_undone_total")
			return undone > 0
		})
		if undone != 1 {
			t.Fatalf("%v resets undone", undone)
		}
		send(t, cfg, lead("a", name+"3"))
		after := waitLogged(t, cfg, total(log)+1)
		checkLog(t, after)
		if total(after) != total(log)+1 {
			t.Fatalf("%d events after the reset, %d before", total(after), total(log))
		}
		r.halt()
	}
}

func committed(t testing.TB, adm *admin.Client) map[kafka.TopicPartition]kafka.Committed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience)
	defer cancel()
	c, err := adm.Committed(ctx, kafka.GroupSequencer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRun_StopsTheTornPartitionByNameAndRunsTheOthers(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	var events []*event.Event
	for i := range 12 {
		events = append(events, created(keys, fmt.Sprintf("t%d", i)))
	}
	send(t, cfg, events...)
	before := waitLogged(t, cfg, 12)
	r.halt()
	// A record of ours that the state knows nothing of, as a log that was not torn at the same place as the state would have.
	torn := kafka.PartitionFor([]byte("t0"), kafkatest.Partitions)
	kafkatest.Produce(t, cfg, kafka.RecordedToRecord(&before["t0"][0]))

	r = start(t, testConfig(cfg, keys, "0"))
	events = nil
	others := 0
	for i := range 12 {
		tenant := fmt.Sprintf("t%d", i)
		events = append(events, lead(tenant, "1"))
		if kafka.PartitionFor([]byte(tenant), kafkatest.Partitions) != torn {
			others++
		}
	}
	send(t, cfg, events...)
	waitLogged(t, cfg, 12+1+others)
	kafkatest.WaitFor(t, "readiness to name it", func(context.Context) bool {
		err := r.ready.Err()
		return err != nil && strings.Contains(err.Error(), fmt.Sprintf("partition %d", torn)) && strings.Contains(err.Error(), "log_torn")
	})
	if gather(t, r, "neuronx_sequencer_stopped_partitions") != 1 {
		t.Fatal("not in the metric")
	}
	if n := total(logged(t, cfg)); n != 12+1+others {
		t.Fatalf("%d events", n)
	}
}

func TestRun_StopsAPartitionWhoseStateIsLost(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	e := event.Recorded{Event: *created(keys, "a"), Sequence: 1, Position: 1, RecordedTime: time.Now(), LogID: "x"}
	kafkatest.Produce(t, cfg, kafka.RecordedToRecord(&e))
	r := start(t, testConfig(cfg, keys, "0"))
	kafkatest.WaitFor(t, "the partition to be named", func(context.Context) bool {
		err := r.ready.Err()
		return err != nil && strings.Contains(err.Error(), "log_torn")
	})
}

func TestRun_WaitsForTheRegistryAndRefusesOnlyUnknownSchemas(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	c := testConfig(cfg, keys, "0")
	down := newCatalogue()
	down.setDown(true)
	c.Schemas = down
	r := start(t, c)
	unknown := lead("a", "2")
	unknown.Value = event.Frame(9999, []byte{0})
	send(t, cfg, created(keys, "a"), unknown, lead("a", "1"))
	kafkatest.WaitFor(t, "the pause to be named", func(context.Context) bool {
		err := r.ready.Err()
		return err != nil && strings.Contains(err.Error(), string(pauseRegistry))
	})
	if len(kafkatest.Consume(t, cfg, kafka.TopicDeadLetter)) != 0 {
		t.Fatal("refused because the registry is away")
	}
	down.setDown(false)
	checkLog(t, waitLogged(t, cfg, 2))
	if dead := kafkatest.Consume(t, cfg, kafka.TopicDeadLetter); len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	kafkatest.WaitFor(t, "readiness", func(context.Context) bool { return r.ready.Err() == nil })
}

func TestRun_SnapshotsTrimTheStateAndRestore(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	c := testConfig(cfg, keys, "0")
	c.SnapshotBytes = 2000
	r := start(t, c)
	send(t, cfg, created(keys, "a"))
	n := 1
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	kafkatest.WaitFor(t, "the state topic to be trimmed", func(ctx context.Context) bool {
		send(t, cfg, lead("a", fmt.Sprint(n)))
		n++
		start, err := adm.StartOffsets(ctx, kafka.TopicState)
		return err == nil && start[kafka.TopicPartition{Topic: kafka.TopicState, Partition: home}] > 20
	})
	waitLogged(t, cfg, n)
	r.halt()
	start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, lead("a", "1"), lead("a", "new")) // the first one is a repeat, known from a snapshot
	log := waitLogged(t, cfg, n+1)
	checkLog(t, log)
	if total(log) != n+1 {
		t.Fatalf("%d events", total(log))
	}
}

func TestRun_ForwardsWhatAnotherPartitionerMisplaced(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"))
	waitLogged(t, cfg, 1)
	r := kafka.ToRecord(kafka.TopicIngress, lead("a", "1"))
	r.Partition = (kafka.PartitionFor(r.Key, kafkatest.Partitions) + 1) % kafkatest.Partitions
	kafkatest.Misplace(t, cfg, r)
	log := waitLogged(t, cfg, 2)
	checkLog(t, log)
	if got := log["a"][1]; got.ID != "1" || got.Partition != kafka.PartitionFor([]byte("a"), kafkatest.Partitions) {
		t.Fatalf("%+v", got)
	}
}
