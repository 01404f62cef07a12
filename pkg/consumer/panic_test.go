package consumer_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// A bug that one event of one tenant meets must not end the process at that event again and again, for all tenants.
func TestRun_AHandlerThatPanicsStallsOneTenantBeforeTheEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(append(f.next("acme", 10), f.next("globex", 10)...)...)
	h := &recorder{}
	h.set(func(_ context.Context, r event.Recorded) error {
		if r.TenantID == "acme" && r.Sequence == 7 {
			var none []int
			_ = none[r.Sequence]
		}
		return nil
	})
	f.start(f.config(), h)
	f.await("globex", 1, 10, consumer.Live)
	row := f.await("acme", 1, 6, consumer.Stalled)
	if !strings.Contains(row.Reason, "panicked") || !strings.Contains(row.Reason, "out of range") {
		t.Errorf("stalled with reason %q", row.Reason)
	}
	f.wantApplied("acme", 1, 6)
	h.set(nil) // the build that has the bug mended
	if _, err := consumer.Retry(context.Background(), f.pool, kafka.GroupProjector, "acme"); err != nil {
		t.Fatal(err)
	}
	f.await("acme", 1, 10, consumer.Live)
	f.wantApplied("acme", 1, 10)
}

// inParts takes runs in parts.
type inParts struct{ recorder }

func (h *inParts) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	parts := make([]consumer.Part, len(runs))
	for i, run := range runs {
		if err := h.Apply(ctx, tx, run); err != nil {
			return nil, err
		}
		parts[i].Applied = len(run.Events)
	}
	return parts, nil
}

func TestRun_APartHandlerThatPanicsStallsOneTenantBeforeTheEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(append(f.next("acme", 10), f.next("globex", 10)...)...)
	h := &inParts{}
	h.set(func(_ context.Context, r event.Recorded) error {
		if r.TenantID == "acme" && r.Sequence == 7 {
			panic("part")
		}
		return nil
	})
	f.start(f.config(), h)
	f.await("globex", 1, 10, consumer.Live)
	f.await("acme", 1, 6, consumer.Stalled)
	f.wantApplied("acme", 1, 6)
}

// A reset whose side job panics is recorded as failed: the next process would panic at it, too.
func TestReset_OneWhoseSideJobPanicsIsRecordedAsFailed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.write(f.next("acme", 3)...)
	stop := f.start(f.config(), &recorder{})
	f.await("acme", 1, 3, consumer.Live)
	_ = stop()
	f.resetOffset(partitionOf("acme"), 0, "")
	f.start(f.config(), &recorder{redo: func(context.Context, consumer.Reset) error { panic("side job") }})
	kafkatest.WaitFor(t, "the reset recorded", func(ctx context.Context) bool {
		var state, detail string
		err := f.admin.QueryRow(ctx, `SELECT state, detail FROM neuronx.resets`).Scan(&state, &detail)
		return err == nil && state == "failed" && strings.Contains(detail, "side job")
	})
	f.write(f.next("acme", 2)...)
	f.await("acme", 1, 5, consumer.Live)
}
