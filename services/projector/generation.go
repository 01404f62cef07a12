package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/consumer"
)

const (
	keepRetired = 24 * time.Hour
	purgeEvery  = 10 * time.Minute
	pollRebuild = 200 * time.Millisecond
)

// CaughtUp shows a generation that has everything, in the transaction that makes it live, and retires those below it, but for one that a
// reset has yet to compare with it. An older one that catches up again changes nothing, and neither does one that another definition
// began or fed, unless nothing is shown yet: redeclare builds it again.
func (p *Projector) CaughtUp(ctx context.Context, tx pgx.Tx, tenant string, generation int64) error {
	if err := p.awaitCount(ctx, tx, tenant, generation); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `INSERT INTO projection.active (tenant_id, feed, generation) SELECT $1, $3, $2
		WHERE NOT EXISTS (SELECT FROM projection.active a WHERE a.tenant_id = $1 AND a.feed = $3)
			OR EXISTS (SELECT FROM `+consumer.ProgressOf("$4")+` n WHERE n.tenant_id = $1 AND n.generation = $2 AND (n.sequence = 0 OR n.definition = $5))
		ON CONFLICT (tenant_id, feed) DO UPDATE SET generation = excluded.generation, swapped_at = now() WHERE projection.active.generation < excluded.generation`,
		tenant, generation, p.feed, p.rowName(), p.hash)
	if err != nil {
		return fmt.Errorf("swap to generation %d: %w", generation, err)
	}
	if tag.RowsAffected() > 0 {
		p.log.Info("generation swapped", "tenant", tenant, "generation", generation)
	}
	_, err = retire(ctx, tx, p.rowName(), p.feed, tenant)
	return err
}

// purge removes the rows of generations that were retired a day ago, until ctx is done. A generation that has none left costs one look
// into an index.
func (p *Projector) purge(ctx context.Context) error {
	for {
		removed, err := p.purgeOnce(ctx, keepRetired)
		if err != nil && ctx.Err() == nil {
			p.log.Warn("rows of retired generations could not be removed, trying again", "err", err)
		}
		if removed > 0 {
			p.log.Info("rows of retired generations were removed", "rows", removed)
		}
		if err := backoff.Wait(ctx, purgeEvery); err != nil {
			return nil
		}
	}
}

// purgeOnce returns how many rows of tables it removed, also with an error: each table is emptied by itself.
func (p *Projector) purgeOnce(ctx context.Context, older time.Duration) (removed int64, _ error) {
	var problems []error
	if err := p.abandon(ctx); err != nil {
		problems = append(problems, err)
	}
	for _, s := range p.all() {
		tag, err := p.pool.Exec(ctx, `DELETE FROM projection.`+s.Table+` t USING `+consumer.ProgressOf("$1")+` g LEFT JOIN projection.active a
				ON a.tenant_id = g.tenant_id AND a.feed = $3 WHERE g.state = 'retired' AND g.updated_at < now() - make_interval(secs => $2)
				AND g.generation IS DISTINCT FROM a.generation AND t.tenant_id = g.tenant_id AND t.generation = g.generation`,
			p.rowName(), older.Seconds(), p.feed)
		if err != nil {
			problems = append(problems, fmt.Errorf("purge %s: %w", s.Table, err))
		}
		removed += tag.RowsAffected()
	}
	for _, table := range []string{"untouched", "merged_subjects", "generations"} { // what is known about generations, not rows of tables
		_, err := p.pool.Exec(ctx, `DELETE FROM projection.`+table+` t USING `+consumer.ProgressOf("$1")+` g
			WHERE g.state = 'retired' AND g.updated_at < now() - make_interval(secs => $2)
				AND t.feed = $3 AND t.tenant_id = g.tenant_id AND t.generation = g.generation`, p.rowName(), older.Seconds(), p.feed)
		if err != nil {
			problems = append(problems, fmt.Errorf("purge %s: %w", table, err))
		}
	}
	return removed, errors.Join(problems...)
}
