package projector

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// Publisher publishes events signed by the engine. *control.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...control.Option) (event.Event, error)
}

// List returns the projector's progress: of one tenant, or of all in a state; both empty mean all. The role is neuronx_ops.
func List(ctx context.Context, pool *pgxpool.Pool, tenant string, state consumer.State) ([]consumer.Row, error) {
	return consumer.Rows(ctx, pool, kafka.GroupProjector, tenant, state)
}

// Retry makes a stalled tenant go on with the event that it stalled at. It returns the rows as they were; consumer.ErrNotStalled when
// there is none.
func Retry(ctx context.Context, pool *pgxpool.Pool, tenant string) ([]consumer.Row, error) {
	return consumer.Retry(ctx, pool, kafka.GroupProjector, tenant)
}

// SkipOptions say what to skip and why.
type SkipOptions struct {
	Tenant     string
	Generation int64  // 0: every stalled one
	Reason     string // needed: it stands in the log for ever
	By         string // who; may be empty
}

// Skip passes over the one event that a tenant is stalled at. The skip is itself an event, engine.projection.skipped, which is stored
// before the row moves: its id is derived, so a repeat after a crash between the two is the same event. It returns the rows as they
// were.
func Skip(ctx context.Context, pool *pgxpool.Pool, pub Publisher, opt SkipOptions) ([]consumer.Row, error) {
	return skip(ctx, pool, archive.NewReader(pool), pub, opt)
}

func skip(ctx context.Context, pool *pgxpool.Pool, stored consumer.Archive, pub Publisher, opt SkipOptions) ([]consumer.Row, error) {
	if opt.Reason == "" {
		return nil, event.Refuse(event.CodeUsage, "a skip needs a reason")
	}
	return consumer.Skip(ctx, pool, kafka.GroupProjector, opt.Tenant, opt.Generation, func(r consumer.Row) error {
		skipped := r.Sequence + 1
		data := map[string]any{"projection": kafka.GroupProjector, "generation": r.Generation, "skipped_sequence": skipped, "reason": opt.Reason}
		if opt.By != "" {
			data["by"] = opt.By
		}
		found, err := stored.Events(ctx, opt.Tenant, skipped, 1)
		if err != nil && !errors.Is(err, archive.ErrDamaged) {
			return fmt.Errorf("find the event to skip: %w", err)
		}
		if len(found) == 1 && found[0].Sequence == skipped {
			data["event_id"] = found[0].ID
		}
		id := event.DerivedID(opt.Tenant, "skip", kafka.GroupProjector, strconv.FormatInt(r.Generation, 10), strconv.FormatInt(skipped, 10))
		_, err = pub.Publish(ctx, opt.Tenant, "engine.projection.skipped", "projection/"+kafka.GroupProjector, id, data, control.WithSource("projector"))
		if err != nil {
			return fmt.Errorf("publish the skip: %w", err)
		}
		return nil
	})
}
