package projector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

const (
	keepRetired = 24 * time.Hour
	purgeEvery  = 10 * time.Minute
	pollRebuild = 200 * time.Millisecond
)

// CaughtUp shows a generation that has everything, in the transaction that makes it live, and retires those below it. An older one that
// catches up again changes nothing.
func (p *Projector) CaughtUp(ctx context.Context, tx pgx.Tx, tenant string, generation int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO projection.active (tenant_id, feed, generation) VALUES ($1, $3, $2)
		ON CONFLICT (tenant_id, feed) DO UPDATE SET generation = excluded.generation, swapped_at = now() WHERE projection.active.generation < excluded.generation`,
		tenant, generation, p.feed)
	if err != nil {
		return fmt.Errorf("swap to generation %d: %w", generation, err)
	}
	tag, err := tx.Exec(ctx, `UPDATE neuronx.progress SET state = 'retired', reason = '', updated_at = now()
		WHERE consumer = $1 AND tenant_id = $2 AND generation < $3 AND state <> 'retired'`, p.rowName(), tenant, generation)
	if err != nil {
		return fmt.Errorf("retire generations below %d: %w", generation, err)
	}
	if tag.RowsAffected() > 0 {
		p.log.Info("generation swapped", "tenant", tenant, "generation", generation)
	}
	return nil
}

// Reset rebuilds: a reset back makes a new generation of every feed of every tenant with events beyond the operator's offset and waits
// until each is shown; every feed swaps by itself. A reset forward asks for nothing, because nothing was missed.
func (p *Projector) Reset(ctx context.Context, r consumer.Reset) error {
	if !r.Back() || len(r.Tenants) == 0 {
		r.Report.Detail = "nothing to rebuild"
		return nil
	}
	var names []string
	for _, feed := range Feeds() {
		names = append(names, consumer.RowName(kafka.GroupProjector, feed))
	}
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		for _, tenant := range r.Tenants {
			for _, name := range names {
				if _, err := consumer.NewGeneration(ctx, tx, name, tenant, r.Partition, "reset "+r.ID); err != nil {
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
	for {
		rows, err := p.pool.Query(ctx, `SELECT consumer, tenant_id, state, sequence FROM neuronx.progress
			WHERE consumer = ANY($1) AND origin = $2`, names, "reset "+r.ID)
		if err != nil {
			return consumer.Transient(fmt.Errorf("watch rebuild: %w", err))
		}
		var stalled []string
		waiting, examined := 0, int64(0)
		var name, tenant, state string
		var sequence int64
		_, err = pgx.ForEachRow(rows, []any{&name, &tenant, &state, &sequence}, func() error {
			if name == kafka.GroupProjector { // an event counts once, however many feeds take it
				examined += sequence
			}
			switch consumer.State(state) {
			case consumer.CatchingUp:
				waiting++
			case consumer.Stalled:
				stalled = append(stalled, tenant)
			}
			return nil
		})
		if err != nil {
			return consumer.Transient(fmt.Errorf("watch rebuild: %w", err))
		}
		r.Report.Examined = examined
		if waiting == 0 {
			if len(stalled) > 0 {
				slices.Sort(stalled)
				stalled = slices.Compact(stalled)
				return fmt.Errorf("rebuilt %d of %d tenants; stalled, still showing the generation before: %v",
					len(r.Tenants)-len(stalled), len(r.Tenants), stalled)
			}
			r.Report.Detail = fmt.Sprintf("rebuilt %d tenants", len(r.Tenants))
			return nil
		}
		if err := wait(ctx, pollRebuild); err != nil {
			return err
		}
	}
}

// purge removes the rows of generations that were retired a day ago, until ctx is done. A generation that has none left costs one look
// into an index.
func (p *Projector) purge(ctx context.Context) error {
	for {
		if err := p.purgeOnce(ctx, keepRetired); err != nil && ctx.Err() == nil {
			p.log.Warn("rows of retired generations could not be removed, trying again", "error", err)
		}
		if err := wait(ctx, purgeEvery); err != nil {
			return nil
		}
	}
}

func (p *Projector) purgeOnce(ctx context.Context, older time.Duration) error {
	var problems []error
	for _, s := range p.all() {
		_, err := p.pool.Exec(ctx, `DELETE FROM projection.`+s.Table+` t USING neuronx.progress g LEFT JOIN projection.active a
				ON a.tenant_id = g.tenant_id AND a.feed = $3 WHERE g.consumer = $1 AND g.state = 'retired' AND g.updated_at < now() - make_interval(secs => $2)
				AND g.generation IS DISTINCT FROM a.generation AND t.tenant_id = g.tenant_id AND t.generation = g.generation`,
			p.rowName(), older.Seconds(), p.feed)
		if err != nil {
			problems = append(problems, fmt.Errorf("purge %s: %w", s.Table, err))
		}
	}
	for _, table := range []string{"untouched", "generations"} {
		_, err := p.pool.Exec(ctx, `DELETE FROM projection.`+table+` t USING neuronx.progress g
			WHERE g.consumer = $1 AND g.state = 'retired' AND g.updated_at < now() - make_interval(secs => $2)
				AND t.feed = $3 AND t.tenant_id = g.tenant_id AND t.generation = g.generation`, p.rowName(), older.Seconds(), p.feed)
		if err != nil {
			problems = append(problems, fmt.Errorf("purge %s: %w", table, err))
		}
	}
	return errors.Join(problems...)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
