package projector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
)

const (
	lookForMoved   = time.Second // how often it is asked which partitions this member has
	redeclareEvery = time.Minute
)

// redeclare builds the tables of tenants again whose newest generation was not folded by this build's declaration, until ctx is done: after
// an upgrade, or when another build had the partition meanwhile. A generation is made beside the one that is shown and is shown when it has
// caught up, as after a reset. Members look at their own partitions only, so two builds that run side by side don't answer each other.
func (p *Projector) redeclare(ctx context.Context, owned func() []int32) error {
	var known []int32
	var looked time.Time
	for {
		if now := owned(); !slices.Equal(now, known) || time.Since(looked) > redeclareEvery {
			n, err := p.redeclareOnce(ctx, now)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				p.log.Warn("it is not known which tables an older build has made, trying again", "err", err)
			default:
				known, looked = now, time.Now()
			}
			if n > 0 {
				p.log.Info("building tables again: they follow another declaration than this build's", "tenants", n, "declaration", p.hash)
			}
		}
		if !app.Sleep(ctx, lookForMoved) {
			return nil
		}
	}
}

// redeclareOnce makes the generations that are missing and returns how many. One that was asked for by this build and has not begun is
// not missing. A stalled tenant is left to its operator; when it goes on, it is looked at again.
func (p *Projector) redeclareOnce(ctx context.Context, partitions []int32) (made int, _ error) {
	reason := "declaration " + p.hash
	rows, err := p.pool.Query(ctx, `SELECT n.tenant_id, n.partition, n.generation FROM (
			SELECT DISTINCT ON (tenant_id) tenant_id, partition, generation, sequence, state, origin FROM neuronx.progress
			WHERE consumer = $1 AND partition = ANY($2) ORDER BY tenant_id, generation DESC) n
		LEFT JOIN projection.generations g ON g.tenant_id = n.tenant_id AND g.feed = $3 AND g.generation = n.generation
		WHERE n.sequence > 0 AND n.state IN ('live', 'catching-up') AND coalesce(g.declaration, '') <> $4
			AND NOT (coalesce(g.declaration, '') = '' AND starts_with(n.origin, $5))`, p.rowName(), partitions, p.feed, p.hash, reason)
	if err != nil {
		return 0, fmt.Errorf("list generations: %w", err)
	}
	type old struct {
		tenant     string
		partition  int32
		generation int64
	}
	olds, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o old, err error) {
		return o, row.Scan(&o.tenant, &o.partition, &o.generation)
	})
	if err != nil {
		return 0, fmt.Errorf("list generations: %w", err)
	}
	for _, o := range olds {
		err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			_, err := consumer.NewGeneration(ctx, tx, p.rowName(), o.tenant, o.partition, fmt.Sprintf("%s over %d", reason, o.generation))
			return err
		})
		if err != nil {
			return made, fmt.Errorf("make a generation of %s: %w", o.tenant, err)
		}
		made++
	}
	return made, nil
}
