package projector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

// Reset rebuilds: a reset back makes a new generation of every feed of every tenant with events beyond the operator's offset and waits
// until each is shown and compared with the one that was shown before; every feed swaps by itself. A reset forward asks for nothing,
// because nothing was missed.
func (p *Projector) Reset(ctx context.Context, r consumer.Reset) error {
	if !r.Back() || len(r.Tenants) == 0 {
		r.Report.Detail = "nothing to rebuild"
		return nil
	}
	var names []string
	for _, feed := range Feeds() {
		names = append(names, consumer.RowName(kafka.GroupProjector, feed))
	}
	origin := "reset " + r.ID
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		for _, tenant := range r.Tenants {
			for _, name := range names {
				if _, err := consumer.NewGeneration(ctx, tx, name, tenant, r.Partition, origin); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return consumer.Transient(fmt.Errorf("make generations: %w", err))
	}
	p.log.Info("rebuilding", "reset", r.ID, "partition", r.Partition, "tenants", len(r.Tenants))
	b := rebuild{verdicts: map[built]verdict{}, since: map[built]time.Time{}}
	for {
		waiting, stalled, err := p.watch(ctx, names, origin, &b)
		if err != nil {
			return consumer.Transient(fmt.Errorf("watch rebuild: %w", err))
		}
		if waiting == 0 {
			b.report(r, stalled)
			for at, v := range b.verdicts {
				if v.notCounted != "" {
					p.log.Warn("how many rows a rebuild repaired is not known", "reset", r.ID, "tenant", at.tenant, "feed", at.feed, "reason", v.notCounted)
				}
			}
			if len(stalled) > 0 {
				return fmt.Errorf("rebuilt %d of %d tenants; stalled, still showing the generation before: %v",
					len(r.Tenants)-len(stalled), len(r.Tenants), stalled)
			}
			return nil
		}
		if err := backoff.Wait(ctx, pollRebuild); err != nil {
			return err
		}
	}
}

const queryCanceled = "57014"

// built is one generation that a reset made.
type built struct {
	feed, tenant string
	generation   int64
}

// rebuild is how far a reset has come.
type rebuild struct {
	verdicts map[built]verdict
	since    map[built]time.Time // how long a generation that is shown has waited for the one before
}

// watch looks at the generations of a reset and compares those that are shown. It returns how many are not ready, and the tenants that
// are stalled in one that is not shown.
func (p *Projector) watch(ctx context.Context, names []string, origin string, b *rebuild) (waiting int, stalled []string, _ error) {
	rows, err := p.pool.Query(ctx, `SELECT n.feed, p.tenant_id, p.generation, p.state, p.sequence, coalesce(a.generation >= p.generation, false)
		FROM unnest($1::text[], $2::text[]) AS n (consumer, feed) CROSS JOIN LATERAL `+consumer.ProgressOf("n.consumer")+` p
		LEFT JOIN projection.active a ON a.tenant_id = p.tenant_id AND a.feed = n.feed WHERE p.origin = $3`, names, Feeds(), origin)
	if err != nil {
		return 0, nil, err
	}
	var shown []built
	var at built
	var state string
	var sequence int64
	var isShown bool
	_, err = pgx.ForEachRow(rows, []any{&at.feed, &at.tenant, &at.generation, &state, &sequence, &isShown}, func() error {
		_, counted := b.verdicts[at]
		switch {
		case counted:
		case isShown:
			shown = append(shown, at)
		case consumer.State(state) == consumer.Stalled:
			stalled = append(stalled, at.tenant)
		default:
			waiting++
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	slices.Sort(stalled)
	for _, at := range shown {
		v, done, err := p.count(ctx, at.feed, at.tenant, at.generation)
		var pg *pgconn.PgError
		switch {
		case errors.As(err, &pg) && pg.Code == queryCanceled && ctx.Err() == nil: // another attempt would take as long
			done, v.notCounted = true, "comparing them took longer than statement_timeout allows"
		case err != nil:
			return 0, nil, err
		}
		if since, ok := b.since[at]; !ok {
			b.since[at] = time.Now()
		} else if !done && time.Since(since) > countPatience {
			done, v.notCounted = true, fmt.Sprintf("the tables shown before have not reached sequence %d", v.sequence)
		}
		if !done {
			waiting++
			continue
		}
		if err := p.conclude(ctx, at.feed, at.tenant, at.generation, v); err != nil {
			return 0, nil, err
		}
		b.verdicts[at] = v
	}
	return waiting, slices.Compact(stalled), nil
}

// report tells of a finished rebuild how many rows it repaired, and what it could not count. It names no tenant, because every tenant of
// the partition reads it.
func (b *rebuild) report(r consumer.Reset, stalled []string) {
	*r.Report = consumer.ResetReport{}
	reasons := map[string]int{}
	redeclared := false
	for at, v := range b.verdicts {
		if at.feed == consumer.FeedMain { // an event counts once, however many feeds take it
			r.Report.Examined += v.sequence
		}
		if v.notCounted != "" {
			reasons[v.notCounted]++
			continue
		}
		r.Report.Differences += v.differences
		redeclared = redeclared || v.redeclared
	}
	r.Report.Detail = fmt.Sprintf("%d of %d tenants rebuilt; rows that differed from those shown before at the same sequence: %d", len(r.Tenants)-len(stalled), len(r.Tenants), r.Report.Differences)
	if redeclared {
		r.Report.Detail += "; some had been built by another definition"
	}
	if len(stalled) > 0 {
		reasons["the new tables are stalled and not shown"] += len(stalled)
	}
	var parts []string
	for reason, n := range reasons {
		parts = append(parts, fmt.Sprintf("%d of %d sets of tables: %s", n, len(r.Tenants)*len(Feeds()), reason))
	}
	slices.Sort(parts)
	r.Report.NotCounted = strings.Join(parts, "; ")
}
