// Package worker is what the sequencer and the forwarder of landing topics have in common: a member of a Kafka group that reads, and
// writes what came of it in transactions together with its offsets.
//
//	Open ──> Check, Await (read), Write (one transaction), ReportErrors, and again ──> Close
//
// A transaction of which the commit is not confirmed is an error of Write, and ends the session: the caller closes the worker, drops
// all that it has in memory and opens another one under the same transactional id, which aborts what was left open.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

const (
	openTimeout = 30 * time.Second
	// endTimeout bounds one transaction once it has begun, also when the process is asked to stop in the middle of it.
	endTimeout = 15 * time.Second
)

// Signal wakes a worker that waits for records. A signal that nobody waits for is kept, once.
type Signal chan struct{}

// NewSignal makes one.
func NewSignal() Signal { return make(Signal, 1) }

// Set wakes the worker.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Config of a worker.
type Config struct {
	Txn   txn.Config
	Role  string // under which it is ready
	Log   *slog.Logger
	Ready *app.Readiness
	Wake  Signal
}

// Worker is one membership of the group.
type Worker struct {
	Txn   *txn.Session
	Tasks sync.WaitGroup // Close waits for them
	Wake  Signal

	cfg        Config
	joined     bool
	lastErrors time.Time
}

// Open joins the group. It does not wait until partitions are assigned.
func Open(ctx context.Context, cfg Config) (*Worker, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	tx, err := txn.Open(ctx, cfg.Txn)
	if err != nil {
		return nil, err
	}
	return &Worker{Txn: tx, Wake: cfg.Wake, cfg: cfg}, nil
}

// Close waits for the tasks and gives the session up. A transaction that is open is left to the broker to abort.
func (w *Worker) Close() {
	w.Tasks.Wait()
	w.Txn.Close()
}

// Check reports the role as ready once the group is joined, and returns txn.ErrFenced when another process has the slot.
func (w *Worker) Check() error {
	if err := w.Txn.Fenced(); err != nil {
		return err
	}
	if !w.joined && w.Txn.Joined() {
		w.joined = true
		w.cfg.Ready.Set(w.cfg.Role, nil)
	}
	return nil
}

// ReportErrors logs, once a second, what went wrong in the background. It must not be called while the group is held.
func (w *Worker) ReportErrors() {
	if time.Since(w.lastErrors) < time.Second {
		return
	}
	w.lastErrors = time.Now()
	for _, err := range w.Txn.Errors() {
		w.cfg.Log.Warn("group membership", "err", err)
	}
}

// Await calls read with a context that ends after wait, or when the worker is woken or its assignment changes; woken says that it was
// one of these.
func (w *Worker) Await(ctx context.Context, wait time.Duration, read func(context.Context)) (woken bool) {
	return await(ctx, wait, read, w.Wake, w.Txn.Changed())
}

func await(ctx context.Context, wait time.Duration, read func(context.Context), wake, changed <-chan struct{}) (woken bool) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-wake:
			woken = true
		case <-changed:
			woken = true
		case <-ctx.Done():
		}
		cancel()
	}()
	read(ctx)
	cancel()
	<-done
	return woken
}

// Write is one transaction: begin, produce, commit with the offsets. It is finished, within endTimeout, even when ctx ends.
func (w *Worker) Write(ctx context.Context, recs []*kafka.Record, commit func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := w.Txn.ClearRevoked(ctx); err != nil {
		return fmt.Errorf("clear revoked: %w", err)
	}
	if err := w.Txn.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := w.Txn.Produce(ctx, recs); err != nil {
		return err
	}
	return commit(ctx)
}
