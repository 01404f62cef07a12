package projector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// FeedControl is the feed of what the engine itself reads: the projections in schema neuronx. It has progress and generations of its
// own, so that no read model can hold up a revoked key.
const FeedControl = "control"

// Feeds names the projector's feeds, in the order in which they are shown.
func Feeds() []string { return []string{FeedControl, consumer.FeedMain} }

// Projector writes runs of events into the tables of one feed, in the transactions that pkg/consumer opens.
type Projector struct {
	pool     *pgxpool.Pool
	feed     string
	specs    []*fold.Spec // whose rows events make
	counts   []*fold.Spec // whose rows count those of specs
	hash     string       // of both, see Definition
	declared []*fold.Spec // of every feed
	decoder  *consumer.Decoder
	m        *metrics
	log      *slog.Logger
}

var (
	_ consumer.Handler         = (*Projector)(nil)
	_ consumer.BatchHandler    = (*Projector)(nil)
	_ consumer.CaughtUpHandler = (*Projector)(nil)
	_ consumer.ResetHandler    = (*Projector)(nil)
	_ consumer.DefinedHandler  = (*Projector)(nil)
)

// newProjector makes the projector of a feed, of those of the specs that belong to it.
func newProjector(pool *pgxpool.Pool, feed string, specs []*fold.Spec, schemas consumer.Schemas, m *metrics, log *slog.Logger) *Projector {
	p := &Projector{pool: pool, feed: feed, declared: specs, m: m, decoder: consumer.NewDecoder(schemas), log: log.With("feed", feed)}
	var own []*fold.Spec
	for _, s := range specs {
		switch {
		case FeedOf(s) != feed:
			continue
		case len(s.Counts) > 0:
			p.counts = append(p.counts, s)
		default:
			p.specs = append(p.specs, s)
		}
		own = append(own, s)
	}
	p.hash = fold.Hash(own)
	return p
}

// FeedOf names the feed that a projection belongs to.
func FeedOf(s *fold.Spec) string {
	if s.Schema == "neuronx" {
		return FeedControl
	}
	return consumer.FeedMain
}

// all lists the projections whose tables the feed writes.
func (p *Projector) all() []*fold.Spec { return slices.Concat(p.specs, p.counts) }

// rowName is the consumer of the feed's rows of progress.
func (p *Projector) rowName() string { return consumer.RowName(kafka.GroupProjector, p.feed) }

// Apply projects one run.
func (p *Projector) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	return p.ApplyBatch(ctx, tx, []consumer.Run{run})
}

// ApplyBatch projects the runs of all tenants of a batch: per table one SELECT of the rows that are touched, and one upsert.
func (p *Projector) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	if err := p.begin(ctx, tx, runs); err != nil {
		return err
	}
	zones, merges, err := p.generations(ctx, tx, runs)
	if err != nil {
		return err
	}
	left := leftOut{}
	for _, part := range p.split(runs) {
		if part.zone != nil {
			err = p.setZone(ctx, tx, part, zones)
		} else {
			err = p.applyPart(ctx, tx, part.runs, zones, merges, left)
		}
		if err != nil {
			return err
		}
	}
	return p.keep(ctx, tx, left)
}

// applyPart projects runs none of which sets a zone.
func (p *Projector) applyPart(ctx context.Context, tx pgx.Tx, runs []consumer.Run, zones zones, merges mergings, left leftOut) error {
	steps, err := p.steps(ctx, runs, left)
	if err != nil {
		return passing(err)
	}
	if err := p.loadEdges(ctx, tx, steps, merges); err != nil {
		return err
	}
	tables := p.route(steps, merges)
	count := counting{zones: zones, specs: p.counts}
	for _, s := range p.specs {
		touched := tables[s]
		if len(touched) == 0 {
			continue
		}
		rows, err := load(ctx, tx, s, keysOf(touched))
		if err != nil {
			return err
		}
		order, err := applyAll(rows, touched, left, &count)
		if err != nil {
			return passing(err)
		}
		if err := store(ctx, tx, s, order, rows); err != nil {
			return err
		}
	}
	if err := count.write(ctx, tx, left); err != nil {
		return err
	}
	return p.storeEdges(ctx, tx, merges)
}

// rowID names a row of a table: a generation of a tenant, and the key.
type rowID struct {
	tenant     string
	generation int64
	id         string
}

// touch is one event on its way into one row.
type touch struct {
	rowID
	*fold.Touch
}

// atSequence names the event that an error is of.
func atSequence(r *event.Recorded, err error) error {
	return fmt.Errorf("sequence %d: %w", r.Sequence, err)
}

// wanted reports whether any projection cares for the type. The others are not even decoded.
func (p *Projector) wanted(typ string) bool {
	merge := alias.IsMerge(typ)
	for _, s := range p.specs {
		if _, ok := s.On[typ]; ok || merge && s.Subject != "" {
			return true
		}
	}
	return false
}

// applyAll folds the touches into rows, adds to left what a column did not take, and returns the rows that changed, in the order first
// touched. What that changes in tables that count goes to count. It does no I/O.
func applyAll(rows map[rowID]fold.Row, touched []touch, left leftOut, count *counting) ([]rowID, error) {
	var order []rowID
	met := map[rowID]bool{}
	for _, t := range touched {
		row, lefts, err := t.Apply(rows[t.rowID])
		if err != nil {
			return nil, err
		}
		left.add(t.rowID, t.Spec, t.Sequence(), lefts...)
		if row == nil {
			continue // a merge of a subject that no event was about
		}
		count.compare(&t, rows[t.rowID], row)
		rows[t.rowID] = row
		if !met[t.rowID] {
			met[t.rowID] = true
			order = append(order, t.rowID)
		}
	}
	return order, nil
}

// begin empties what a generation may have left behind before its first event: progress that was removed by hand begins again at
// sequence 1, over rows that are there. The first generation is shown from its first event on.
func (p *Projector) begin(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	var tenants []string
	var generations []int64
	for _, r := range runs {
		if r.Events[0].Sequence == 1 {
			tenants, generations = append(tenants, r.TenantID), append(generations, r.Generation)
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	for _, s := range p.all() {
		if err := postgres.Exec(ctx, tx, "empty generation of "+s.Table, `DELETE FROM projection.`+s.Table+` t USING unnest($1::text[], $2::bigint[]) AS v (tenant_id, generation)
			WHERE t.tenant_id = v.tenant_id AND t.generation = v.generation`, tenants, generations); err != nil {
			return err
		}
	}
	for _, table := range []string{"untouched", "merged_subjects"} {
		if err := postgres.Exec(ctx, tx, "empty generation of "+table, `DELETE FROM projection.`+table+` t USING unnest($1::text[], $2::bigint[]) AS v (tenant_id, generation)
			WHERE t.tenant_id = v.tenant_id AND t.generation = v.generation AND t.feed = $3`, tenants, generations, p.feed); err != nil {
			return err
		}
	}
	if err := postgres.Exec(ctx, tx, "begin generation", `INSERT INTO projection.generations (tenant_id, feed, generation, declaration)
		SELECT v.tenant_id, $3, v.generation, $4 FROM unnest($1::text[], $2::bigint[]) AS v (tenant_id, generation)
		ON CONFLICT (tenant_id, feed, generation) DO UPDATE SET declaration = excluded.declaration, zone = DEFAULT,
			replaced = NULL, differences = NULL, not_counted = DEFAULT`, tenants, generations, p.feed, p.hash); err != nil {
		return err
	}
	return postgres.Exec(ctx, tx, "show first generation", `INSERT INTO projection.active (tenant_id, feed, generation)
		SELECT v.tenant_id, $3, v.generation FROM unnest($1::text[], $2::bigint[]) AS v (tenant_id, generation) WHERE v.generation = 1
		ON CONFLICT DO NOTHING`, tenants, generations, p.feed)
}
