package sequencer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
	"github.com/neuronx/engine/services/ingest/worker"
)

// unheard is a publisher whose answer never comes.
type unheard struct {
	once  sync.Once
	asked chan struct{}
	reset string // of the first report
}

func (u *unheard) Publish(ctx context.Context, _, _, _, _ string, data map[string]any, _ ...control.Option) (event.Event, error) {
	u.once.Do(func() {
		u.reset, _ = data["replay_id"].(string)
		close(u.asked)
	})
	<-ctx.Done()
	return event.Event{}, ctx.Err()
}

// heard keeps what was reported.
type heard struct {
	published
	reset string
}

func (h *heard) Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, o ...control.Option) (event.Event, error) {
	h.mu.Lock()
	h.reset, _ = data["replay_id"].(string)
	h.mu.Unlock()
	return h.published.Publish(ctx, tenant, typ, subject, id, data, o...)
}

func TestRun_AResetIsUndoneOnlyAfterItsReportSoThatAKillInBetweenLosesNone(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	tp := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: kafka.PartitionFor([]byte("a"), kafkatest.Partitions)}
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Lead("a", "1"))
	waitLogged(t, cfg, 2)
	r.halt()
	truth := committed(t, adm)[tp]
	kafkatest.WaitFor(t, "the reset to be taken", func(ctx context.Context) bool {
		return adm.Commit(ctx, kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{tp: {Offset: 0}}) == nil
	})

	c := testConfig(cfg, keys, "0")
	dies := &unheard{asked: make(chan struct{})}
	c.Publisher = dies
	r = start(t, c)
	<-dies.asked
	r.halt() // before its report is written
	if got := committed(t, adm)[tp]; got.Offset != 0 || got.Ours() {
		t.Errorf("the reset was undone before it was reported: %+v", got)
	}

	h := &heard{}
	c.Publisher = h
	start(t, c)
	kafkatest.WaitFor(t, "the offset to be set back", func(context.Context) bool {
		got := committed(t, adm)[tp]
		return got.Offset == truth.Offset && got.Ours()
	})
	if all := h.all(); all != "a engine.replay.started, a engine.replay.completed" {
		t.Errorf("reported: %s", all)
	}
	if h.mu.Lock(); h.reset != dies.reset {
		t.Errorf("one reset is reported as %s and as %s", dies.reset, h.reset)
	}
	h.mu.Unlock()
}

// A report that a stop cuts off ends, too, and may end before the loop does.
func TestUndo_LeavesAResetToTheNextOwnerOnceTheProcessStops(t *testing.T) {
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan struct{})
	close(ended)
	c := &session{sequencer: &sequencer{cfg: Config{Publisher: &unheard{}}, log: slog.New(slog.DiscardHandler), stop: stop}, Worker: &worker.Worker{}} // without a Kafka to commit to
	p := &partition{reset: &Reset{reported: ended}}
	c.undo(p)
	if p.reset == nil || p.retry.IsZero() {
		t.Errorf("the reset %v is to be looked at again at %s", p.reset, p.retry)
	}
}

func TestAgreed_AFindingBetweenTwoMomentsOfAnotherOwnersWorkStopsNothing(t *testing.T) {
	cfg := kafkatest.Start(t)
	c := restorer(t, cfg)
	const partition = 2
	state := kafka.TopicPartition{Topic: kafka.TopicState, Partition: partition}
	trim := func(to int64) {
		t.Helper()
		if err := c.admin.DeleteRecords(t.Context(), map[kafka.TopicPartition]int64{state: to}); err != nil {
			t.Fatal(err)
		}
	}
	ends := func() bounds {
		t.Helper()
		b, err := c.ends(t.Context(), partition)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	agreed := func(b bounds) error {
		_, err := c.agreed(t.Context(), &restored{partition: partition}, b)
		return err
	}
	transient := func(what string, err error) {
		t.Helper()
		if stop := (*stopError)(nil); err == nil || errors.As(err, &stop) || !strings.Contains(err.Error(), "meanwhile") {
			t.Errorf("%s: %v", what, err)
		}
	}
	stops := func(what string, err error) {
		t.Helper()
		if stop := (*stopError)(nil); !errors.As(err, &stop) || stop.code != stopTorn {
			t.Errorf("%s: %v", what, err)
		}
	}

	// The state's end is asked after the other owner's transaction, that of its dead letters before.
	before := ends()
	s := admission.NewState(c.Txn.TopicID(), partition, uuid.NewString(), 0)
	s.Dead.Count = 1
	for _, chunk := range admission.Snapshot(s) {
		if err := txn.Produce(t.Context(), cfg, "owner", []*kafka.Record{{Topic: state.Topic, Partition: partition, Value: chunk}}); err != nil {
			t.Fatal(err)
		}
	}
	kafkatest.Produce(t, cfg, &kafka.Record{Topic: kafka.TopicDeadLetter, Partition: partition, Headers: []kafka.RecordHeader{{Key: event.DeadCode, Value: []byte("x")}}})
	between := ends()
	dead := kafka.TopicPartition{Topic: kafka.TopicDeadLetter, Partition: partition}
	between.end[dead] = before.end[dead]
	transient("dead letters of a transaction that the state knows were not there yet", agreed(between))
	if err := agreed(ends()); err != nil {
		t.Errorf("all of one moment: %v", err)
	}

	// The end is asked before the other owner wrote and trimmed, the beginning after.
	earlier := ends()
	kafkatest.Produce(t, cfg, &kafka.Record{Topic: state.Topic, Partition: partition, Value: []byte("of another owner")})
	last := ends().end[state]
	trim(last)
	earlier.start[state] = last
	transient("written and trimmed between the two questions", agreed(earlier))
	stops("trimmed to nothing", agreed(ends()))
}

// restorer is a session of the sequencer that only restores.
func restorer(t *testing.T, cfg kafka.Config) *session {
	t.Helper()
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(adm.Close)
	tx, err := txn.Open(t.Context(), txn.Config{Config: cfg, Group: kafka.GroupSequencer, Topic: kafka.TopicIngress, TransactionalID: "neuronx.sequencer.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Close)
	config := testConfig(cfg, event.NewKeyring(), "0")
	config.setDefaults()
	return &session{sequencer: &sequencer{cfg: config, log: slog.New(slog.DiscardHandler), admin: adm}, Worker: &worker.Worker{Txn: tx}, memory: keys.NewMemory(config.KeyMemory)}
}

// redpanda-data/console#2573: where one partition had no leader, ListOffsets told the offsets of no partition. A sequencer that was started meanwhile
// restored none, and admitted nobody's events.
func TestRun_APartitionWithoutALeaderHoldsUpNoOther(t *testing.T) {
	cfg, c := kafkatest.StartCluster(t)
	keys := event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	tenants := []string{"acme", "globex"}
	var parts []int32
	for _, tenant := range tenants {
		send(t, cfg, sequencertest.Created(keys, tenant), sequencertest.Lead(tenant, "1"))
		parts = append(parts, kafka.PartitionFor([]byte(tenant), kafkatest.Partitions))
	}
	if parts[0] == parts[1] {
		t.Fatal("both tenants are in one partition")
	}
	waitLogged(t, cfg, 4)
	r.halt()
	back := kafkatest.Leaderless(c, kafka.TopicState, parts[1])
	defer back()
	for _, tenant := range tenants {
		send(t, cfg, sequencertest.Lead(tenant, "2"))
	}
	start(t, testConfig(cfg, keys, "0"))
	log := waitLogged(t, cfg, 5)
	if len(log["acme"]) != 3 || len(log["globex"]) != 2 {
		t.Errorf("%d events of the one whose partitions have leaders, %d of the other", len(log["acme"]), len(log["globex"]))
	}
	back()
	checkLog(t, waitLogged(t, cfg, 6))
}
