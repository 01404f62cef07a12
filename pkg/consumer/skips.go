package consumer

import (
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Skips lists the sequences of a tenant that operators made a consumer pass over. A fold of a stream for that consumer leaves
// them out, or it meets the event that nobody could apply once more.
func Skips(ctx context.Context, q querier, consumer, tenant string) (map[int64]bool, error) {
	all, err := loadSkips(ctx, q, consumer, tenant)
	return all[tenant], err
}

// loadSkips reads the skips of a consumer by tenant; of one tenant, or of all when it is empty.
func loadSkips(ctx context.Context, q querier, consumer, tenant string) (map[string]map[int64]bool, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, sequence FROM neuronx.skips WHERE consumer = $1 AND ($2 = '' OR tenant_id = $2)`, consumer, tenant)
	out := map[string]map[int64]bool{}
	var id string
	var sequence int64
	err = postgres.ForEach(rows, err, "load skips", []any{&id, &sequence}, func() error {
		if out[id] == nil {
			out[id] = map[int64]bool{}
		}
		out[id][sequence] = true
		return nil
	})
	return out, err
}

// skips are the skips of one feed, as last loaded: before each round of its catch-up, which is where a generation meets old events.
type skips struct {
	mu       sync.Mutex
	byTenant map[string]map[int64]bool
}

func (s *skips) load(ctx context.Context, q querier, consumer string) error {
	loaded, err := loadSkips(ctx, q, consumer, "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byTenant = loaded
	return nil
}

// without returns the run's events that are to be applied.
func (s *skips) without(run Run) Run {
	s.mu.Lock()
	skipped := s.byTenant[run.TenantID]
	s.mu.Unlock()
	hit := func(e event.Recorded) bool { return skipped[e.Sequence] }
	if len(skipped) > 0 && slices.ContainsFunc(run.Events, hit) {
		run.Events = slices.DeleteFunc(slices.Clone(run.Events), hit)
	}
	return run
}

// passing hands a handler what was not skipped.
type passing struct {
	handler Handler
	skips   *skips
}

func (p passing) Apply(ctx context.Context, tx pgx.Tx, run Run) error {
	if run = p.skips.without(run); len(run.Events) == 0 {
		return nil
	}
	return p.handler.Apply(ctx, tx, run)
}

type passingBatches struct {
	passing
	batches BatchHandler
}

func (p passingBatches) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []Run) error {
	left := make([]Run, 0, len(runs))
	for _, run := range runs {
		if run = p.skips.without(run); len(run.Events) > 0 {
			left = append(left, run)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return p.batches.ApplyBatch(ctx, tx, left)
}

type passingParts struct {
	passing
	parts PartHandler
}

// ApplyParts counts what was skipped among the events that it stands between.
func (p passingParts) ApplyParts(ctx context.Context, tx pgx.Tx, runs []Run) ([]Part, error) {
	out := make([]Part, len(runs))
	var left []Run
	var at []int
	for i, run := range runs {
		out[i].Applied = len(run.Events)
		if rest := p.skips.without(run); len(rest.Events) > 0 {
			left, at = append(left, rest), append(at, i)
		}
	}
	if len(left) == 0 {
		return out, nil
	}
	parts, err := p.parts.ApplyParts(ctx, tx, left)
	if err != nil || len(parts) != len(left) {
		return parts, err
	}
	for i, part := range parts {
		if n := part.Applied; n >= 0 && n < len(left[i].Events) {
			next := left[i].Events[n].Sequence
			part.Applied = slices.IndexFunc(runs[at[i]].Events, func(e event.Recorded) bool { return e.Sequence == next })
		} else if n == len(left[i].Events) {
			part.Applied = len(runs[at[i]].Events)
		}
		out[at[i]] = part
	}
	return out, nil
}

// Prepare implements Preparer; it does nothing if the handler is none.
func (p passingParts) Prepare(ctx context.Context, pool *pgxpool.Pool, run Run) {
	if preparer, ok := p.parts.(Preparer); ok {
		if run = p.skips.without(run); len(run.Events) > 0 {
			preparer.Prepare(ctx, pool, run)
		}
	}
}

// withoutSkips wraps a handler so that it is not given what was skipped.
func withoutSkips(h Handler, s *skips) Handler {
	p := passing{h, s}
	if parts, ok := h.(PartHandler); ok {
		return passingParts{p, parts}
	}
	if b, ok := h.(BatchHandler); ok {
		return passingBatches{p, b}
	}
	return p
}
