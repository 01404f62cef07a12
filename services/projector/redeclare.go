package projector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/consumer"
)

const (
	lookForMoved   = time.Second // how often it is asked which partitions this member has
	redeclareEvery = time.Minute
)

// Definition names the declarations that the feed's tables are built by, and what they mean (fold.Hash).
func (p *Projector) Definition() string { return p.hash }

// redeclare builds the tables of tenants again whose newest generation is of another definition than this build's, or of none that is
// known, until ctx is done: after an upgrade, or when another build had the partition meanwhile. A generation is built alongside the one that is
// shown and is shown when it has caught up, as after a reset. Only a build with the newest definition does so; an older one feeds what is
// there, says so, and leaves the rest to the newer.
func (p *Projector) redeclare(ctx context.Context, owned func() []int32) error {
	var known []int32
	var looked time.Time
	var said found
	for {
		if now := owned(); !slices.Equal(now, known) || time.Since(looked) > redeclareEvery {
			f, err := p.redeclareOnce(ctx, now)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				p.log.Warn("cannot tell which tables another build made, trying again", "err", err)
			default:
				known, looked = now, time.Now()
			}
			if f.made > 0 {
				p.log.Info("rebuilding tables that were built by another definition than this build's", "tenants", f.made, "definition", p.hash)
			}
			if f.waiting > 0 && f != said {
				p.log.Warn("tables were built by another definition, and a newer build has run on this database, so this one keeps them up to date and does not rebuild them. Upgrade it, or to stay with it reset "+
					"the group (docs/replay.md)", "tenants", f.waiting, "definition", p.hash, "newest", f.newest)
			}
			said = f
		}
		if backoff.Wait(ctx, lookForMoved) != nil {
			return nil
		}
	}
}

// found is what one look came to, in tenants.
type found struct {
	made    int    // a generation was made for them
	waiting int    // a newer build has to
	newest  string // definition
}

// redeclareOnce makes the generations that are missing.
func (p *Projector) redeclareOnce(ctx context.Context, partitions []int32) (f found, err error) {
	if f.newest, _, err = consumer.Newest(ctx, p.pool, p.rowName()); err != nil {
		return f, err
	}
	rows, err := consumer.BuiltOtherwise(ctx, p.pool, p.rowName(), p.hash, partitions)
	if err != nil {
		return f, err
	}
	for _, r := range rows {
		verdict := consumer.Judge(r, p.hash, f.newest)
		switch {
		case verdict == consumer.Wait:
			f.waiting++
		case verdict == consumer.Rebuild:
			err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
				_, err := consumer.NewGeneration(ctx, tx, p.rowName(), r.TenantID, r.Partition, fmt.Sprintf("definition %s over %d", p.hash, r.Generation))
				return err
			})
			if err != nil {
				return f, fmt.Errorf("make a generation of %s: %w", r.TenantID, err)
			}
			f.made++
		}
	}
	return f, nil
}
