package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg kafka.Config) *Worker {
	t.Helper()
	ready := app.NewReadiness()
	ready.Set("role", errors.New("joining the group"))
	w, err := Open(t.Context(), Config{Role: "role", Log: slog.New(slog.DiscardHandler), Ready: ready, Wake: NewSignal(), Txn: txn.Config{
		Config: cfg, Group: kafka.GroupSequencer, Topic: kafka.TopicIngress, TransactionalID: "worker",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	kafkatest.WaitFor(t, "the group to be joined", func(context.Context) bool {
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		return ready.Err() == nil
	})
	return w
}

func TestAwait_EndsWhenItIsWokenAndSaysSo(t *testing.T) {
	wake, changed := NewSignal(), make(chan struct{}, 1)
	awaits := func(wait time.Duration) bool {
		return await(t.Context(), wait, func(ctx context.Context) { <-ctx.Done() }, wake, changed)
	}
	wake.Set()
	wake.Set() // without effect: a signal that is not waited for is kept once
	if !awaits(time.Hour) {
		t.Error("ended without being woken")
	}
	if awaits(time.Millisecond) {
		t.Error("woken twice by signals that were set before")
	}
	changed <- struct{}{}
	if !awaits(time.Hour) {
		t.Error("ended without a change of the assignment")
	}
	var other sync.WaitGroup
	other.Go(wake.Set)
	if !awaits(time.Hour) {
		t.Error("ended without being woken while it waited")
	}
	other.Wait()
	if await(t.Context(), time.Hour, func(context.Context) {}, wake, changed) {
		t.Error("a read that ended by itself is told as a wake-up")
	}
}

func TestWrite_IsFinishedThoughItsContextEndedAndLeavesNothingWhereTheCommitFailed(t *testing.T) {
	cfg := kafkatest.Start(t)
	w := open(t, cfg)
	kafkatest.WaitFor(t, "partition 0", func(context.Context) bool { return w.Txn.Assignment()[0] != 0 })
	write := func(ctx context.Context, value string, failure error) error {
		w.Txn.Hold()
		defer w.Txn.Release()
		rec := &kafka.Record{Topic: kafka.TopicEvents, Value: []byte(value)}
		return w.Write(ctx, []*kafka.Record{rec}, func(ctx context.Context) error {
			if failure != nil {
				return failure
			}
			return w.Txn.Commit(ctx, map[int32]txn.Offset{0: {Next: 0, Epoch: -1, Assignment: w.Txn.Assignment()[0]}})
		})
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := write(stopped, "finished", nil); err != nil {
		t.Fatalf("a stop of the process broke the transaction off: %v", err)
	}
	broken := errors.New("killed here")
	if err := write(t.Context(), "left open", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	w.Close()
	open(t, cfg) // aborts it
	recs := kafkatest.Consume(t, cfg, kafka.TopicEvents)
	if len(recs) != 1 || string(recs[0].Value) != "finished" {
		t.Errorf("%d records are committed, want the one", len(recs))
	}
}
