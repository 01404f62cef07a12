package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// dear is a handler for which events of some tenants are expensive: it takes few of them at a time.
type dear struct {
	recorder
	most func(tenant string) int

	turns sync.Mutex
	order []string // tenants, as their events were applied
}

func (h *dear) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	parts := make([]consumer.Part, len(runs))
	for i, run := range runs {
		n := min(len(run.Events), h.most(run.TenantID))
		for _, e := range run.Events[:n] {
			h.mu.Lock()
			before := h.before
			h.mu.Unlock()
			if before != nil {
				if err := before(ctx, e); err != nil {
					if consumer.IsTransient(err) {
						return nil, err
					}
					parts[i].Err = err
					break
				}
			}
			if err := h.Apply(ctx, tx, consumer.Run{TenantID: run.TenantID, Generation: run.Generation, Events: []event.Recorded{e}}); err != nil {
				return nil, err
			}
			parts[i].Applied++
			h.turns.Lock()
			h.order = append(h.order, run.TenantID)
			h.turns.Unlock()
		}
	}
	return parts, nil
}

func TestParts_ExpensiveTenantsTakeTurnsAndTheOthersDoNotWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := &dear{most: func(tenant string) int {
		if strings.HasPrefix(tenant, "dear") {
			return 3
		}
		return 1000
	}}
	f.write(slices.Concat(f.next("dear-1", 60), f.next("dear-2", 60), f.next("globex", 40))...)
	f.start(f.config(), h)
	f.await("globex", 1, 40, consumer.Live)
	f.await("dear-1", 1, 60, consumer.Live)
	f.await("dear-2", 1, 60, consumer.Live)
	for tenant, n := range map[string]int64{"globex": 40, "dear-1": 60, "dear-2": 60} {
		f.wantApplied(tenant, 1, n)
	}
	h.turns.Lock()
	defer h.turns.Unlock()
	done, streak, last := map[string]int{}, 0, ""
	for i, tenant := range h.order {
		done[tenant]++
		if done["dear-1"] == 60 && done["globex"] < 40 {
			t.Fatal("globex waited until dear-1 was done")
		}
		if tenant == "globex" {
			continue
		}
		if tenant != last {
			streak, last = 0, tenant
		}
		// Counted while both have begun and neither is done: then each has its turn after three events of the other.
		if done["dear-1"] > 0 && done["dear-2"] > 0 && done["dear-1"] < 60 && done["dear-2"] < 60 {
			if streak++; streak > 9 {
				t.Fatalf("event %d is the tenth in a row of %s, while another waits", i, tenant)
			}
		}
	}
}

func TestParts_ATenantThatFailsIsNamedAndComesBackByRetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := &dear{most: func(string) int { return 1000 }}
	h.set(func(_ context.Context, r event.Recorded) error {
		if r.TenantID == "acme" && r.Sequence == 7 {
			return errors.New("rule slow: took longer than 5s")
		}
		return nil
	})
	f.write(append(f.next("acme", 10), f.next("globex", 10)...)...)
	f.start(f.config(), h)
	f.await("globex", 1, 10, consumer.Live)
	row := f.await("acme", 1, 6, consumer.Stalled)
	if row.Reason != "event 7: rule slow: took longer than 5s" || row.Seen != 10 {
		t.Errorf("stalled with reason %q, seen %d", row.Reason, row.Seen)
	}
	h.set(nil)
	if _, err := consumer.Retry(t.Context(), f.admin, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 10, consumer.Live)
	f.wantApplied("acme", 1, 10)
}

func TestParts_AnErrorOfAllRunsIsPinnedToTheEventThatHasIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := &pinned{}
	f.write(append(f.next("acme", 33), f.next("globex", 10)...)...)
	f.start(f.config(), h)
	f.await("globex", 1, 10, consumer.Live)
	row := f.await("acme", 1, 20, consumer.Stalled)
	if row.Reason != "event 21: no bundle" {
		t.Errorf("stalled with reason %q", row.Reason)
	}
	f.wantApplied("acme", 1, 20)
}

// pinned fails whole batches because of one event.
type pinned struct{ recorder }

func (h *pinned) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	var parts []consumer.Part
	for _, run := range runs {
		for _, e := range run.Events {
			if e.TenantID == "acme" && e.Sequence == 21 {
				return nil, errors.New("no bundle")
			}
		}
		if err := h.Apply(ctx, tx, run); err != nil {
			return nil, err
		}
		parts = append(parts, consumer.Part{Applied: len(run.Events)})
	}
	return parts, nil
}

// prepares leaves all of a tenant's events for later and takes as long to prepare them as it is told.
type prepares struct {
	recorder
	ready    func(ctx context.Context)
	prepared map[string]int64 // tenant to the sequence up to which its events are prepared
}

func (h *prepares) Prepare(ctx context.Context, _ *pgxpool.Pool, run consumer.Run) {
	h.ready(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prepared[run.TenantID] = run.Events[len(run.Events)-1].Sequence
}

func (h *prepares) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	parts := make([]consumer.Part, len(runs))
	for i, run := range runs {
		h.mu.Lock()
		ready := h.prepared[run.TenantID] >= run.Events[len(run.Events)-1].Sequence
		h.mu.Unlock()
		if strings.HasPrefix(run.TenantID, "dear") && !ready {
			parts[i].Later = true
			continue
		}
		if err := h.Apply(ctx, tx, run); err != nil {
			return nil, err
		}
		parts[i].Applied = len(run.Events)
	}
	return parts, nil
}

func TestParts_NoBatchWaitsWhileATenantIsPrepared(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	begun, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h := &prepares{prepared: map[string]int64{}, ready: func(ctx context.Context) {
		once.Do(func() { close(begun) })
		select {
		case <-done:
		case <-ctx.Done():
		}
	}}
	f.write(slices.Concat(f.next("dear", 20), f.next("globex", 20))...)
	f.start(f.config(), h)
	f.await("globex", 1, 20, consumer.Live)
	<-begun
	f.write(slices.Concat(f.next("dear", 5), f.next("globex", 20))...)
	f.await("globex", 1, 40, consumer.Live) // while dear is still being prepared
	close(done)
	f.await("dear", 1, 25, consumer.Live)
	f.wantApplied("dear", 1, 25)
	f.wantApplied("globex", 1, 40)
}
