package sequencer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
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
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"), lead("a", "1"))
	waitLogged(t, cfg, 2)
	r.halt()
	truth := committed(t, admin)[tp]
	kafkatest.WaitFor(t, "the reset to be taken", func(ctx context.Context) bool {
		return admin.Commit(ctx, kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{tp: {Offset: 0}}) == nil
	})

	c := testConfig(cfg, keys, "0")
	dies := &unheard{asked: make(chan struct{})}
	c.Publisher = dies
	r = start(t, c)
	<-dies.asked
	r.halt() // before its report is written
	if got := committed(t, admin)[tp]; got.Offset != 0 || got.Ours() {
		t.Errorf("the reset was undone before it was reported: %+v", got)
	}

	h := &heard{}
	c.Publisher = h
	start(t, c)
	kafkatest.WaitFor(t, "the offset to be set back", func(context.Context) bool {
		got := committed(t, admin)[tp]
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

func TestLoad_AsksAgainForBoundsThatAnotherOwnerMovedInBetween(t *testing.T) {
	cfg := kafkatest.Start(t)
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	txn, err := kafka.OpenTxnSession(t.Context(), kafka.TxnConfig{Config: cfg, Group: kafka.GroupSequencer, Topic: kafka.TopicIngress, TransactionalID: "neuronx.sequencer.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	config := testConfig(cfg, event.NewKeyring(), "0")
	config.setDefaults()
	c := &session{sequencer: &sequencer{cfg: config, log: slog.New(slog.DiscardHandler), admin: admin}, txn: txn, memory: newKeyMemory(config.KeyMemory)}
	tp := kafka.TopicPartition{Topic: kafka.TopicState, Partition: 2}
	for range 5 {
		kafkatest.Produce(t, cfg, &kafka.Record{Topic: tp.Topic, Partition: tp.Partition, Value: []byte("of another owner")})
	}
	load := func(start, end int64) error {
		t.Helper()
		if err := admin.DeleteRecords(t.Context(), map[kafka.TopicPartition]int64{tp: start}); err != nil {
			t.Fatal(err)
		}
		_, err := c.load(t.Context(), &restored{partition: tp.Partition}, bounds{start: map[kafka.TopicPartition]int64{tp: start}, end: map[kafka.TopicPartition]int64{tp: end}})
		return err
	}
	var stop *stopError
	if err := load(4, 3); err == nil || errors.As(err, &stop) || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("it was written and trimmed between the two questions: %v", err)
	}
	if err := load(5, 5); !errors.As(err, &stop) || stop.code != stopTorn {
		t.Errorf("it was trimmed to nothing: %v", err)
	}
}
