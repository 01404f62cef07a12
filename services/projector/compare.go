package projector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// countPatience is how long a rebuild waits for the generation shown before to reach the sequence of the new one.
const countPatience = 10 * time.Minute

const nothingBefore = "no tables were shown before"

// verdict is how many rows a generation repaired: rows that differ from those of the generation shown before, or are in one of them only.
// Both are compared at the same sequence, in one snapshot. Where that is impossible, notCounted says why, and differences means nothing.
type verdict struct {
	differences int64
	notCounted  string
	sequence    int64 // at which they were compared, or up to which the generation was built
	redeclared  bool  // the rows before followed another definition, so they differ by more than damage
}

// sides are a generation and the one that it replaced, as a snapshot has them.
type sides struct {
	generation  int64
	replaced    *int64 // nil: unknown
	differences *int64 // counted before
	notCounted  string

	sequence int64
	state    consumer.State

	beforeSequence int64
	beforeState    consumer.State
	redeclared     bool
}

// next says what is to be done: compare now, or return a verdict, or neither, which is to wait. It is pure.
func (s sides) next() (v verdict, compare, done bool) {
	v = verdict{sequence: s.sequence, redeclared: s.redeclared}
	switch {
	case s.differences != nil:
		v.differences = *s.differences
		return v, false, true
	case s.notCounted != "":
		v.notCounted = s.notCounted
		return v, false, true
	case s.state == consumer.Retired:
		v.notCounted = "a later rebuild replaced these tables before they were compared"
		return v, false, true
	case s.generation == 1: // it is shown from its first event on
		v.notCounted = nothingBefore
		return v, false, true
	case s.replaced == nil:
		v.notCounted = "it is not recorded which tables were shown before"
		return v, false, true
	case s.beforeState == consumer.Retired:
		v.notCounted = "the tables shown before were retired before they were compared"
		return v, false, true
	case s.sequence == s.beforeSequence:
		return v, true, true
	case s.beforeState == consumer.Stalled && s.beforeSequence < s.sequence:
		v.notCounted = fmt.Sprintf("the tables shown before stopped at sequence %d (stalled), the new ones are at %d", s.beforeSequence, s.sequence)
		return v, false, true
	case s.state == consumer.Stalled && s.sequence < s.beforeSequence:
		v.notCounted = fmt.Sprintf("the new tables stopped at sequence %d (stalled), those shown before are at %d", s.sequence, s.beforeSequence)
		return v, false, true
	}
	return v, false, false
}

// awaitCount notes which generation a reset's generation is about to replace, so that it is fed on until the reset has counted what
// differs. It is called in the transaction of the swap, before it. Without a reset that waits for the number nothing is noted.
func (p *Projector) awaitCount(ctx context.Context, tx pgx.Tx, tenant string, generation int64) error {
	return postgres.Exec(ctx, tx, fmt.Sprintf("note what generation %d replaces", generation), `WITH before AS (
			SELECT max(b.generation) AS generation FROM (SELECT w.generation FROM `+consumer.ProgressOf("$1")+` w LEFT JOIN projection.active a
				ON a.tenant_id = w.tenant_id AND a.feed = $3 AND a.generation = w.generation
				WHERE w.tenant_id = $2 AND w.generation < $4 AND w.state <> 'retired'
				ORDER BY a.generation IS NULL, w.state <> 'live', w.generation DESC LIMIT 1) b)
		INSERT INTO projection.generations AS g (tenant_id, feed, generation, replaced, not_counted)
		SELECT $2, $3, $4, before.generation, CASE WHEN before.generation IS NULL THEN $6 ELSE '' END
		FROM before, `+consumer.ProgressOf("$1")+` n JOIN `+consumer.ResetsOf("$5")+` r ON n.origin = 'reset ' || r.reset_id AND r.state IN ('requested', 'running')
		WHERE n.tenant_id = $2 AND n.generation = $4
			AND NOT EXISTS (SELECT FROM projection.active a WHERE a.tenant_id = $2 AND a.feed = $3 AND a.generation >= $4)
		ON CONFLICT (tenant_id, feed, generation) DO UPDATE SET replaced = excluded.replaced, differences = NULL, not_counted = excluded.not_counted`,
		p.rowName(), tenant, p.feed, generation, kafka.GroupProjector, nothingBefore)
}

// uncounted are the generations whose reset has not counted yet what differs; they and those that they replaced are fed on.
const uncounted = `g.replaced IS NOT NULL AND g.differences IS NULL AND g.not_counted = ''`

// retire stops feeding a tenant's generations below the one that is shown, but for those that a reset has yet to compare.
func retire(ctx context.Context, tx pgx.Tx, row, feed, tenant string) (int64, error) {
	rows, err := tx.Query(ctx, `SELECT p.generation FROM `+consumer.ProgressOf("$1")+` p JOIN projection.active a ON a.tenant_id = p.tenant_id AND a.feed = $3 AND p.generation < a.generation
		WHERE p.tenant_id = $2 AND p.state <> 'retired'
			AND NOT EXISTS (SELECT FROM projection.generations g WHERE g.tenant_id = p.tenant_id AND g.feed = $3 AND `+uncounted+`
				AND p.generation IN (g.generation, g.replaced))`, row, tenant, feed)
	below, err := postgres.Collect(rows, err, "find generations of "+tenant+" to retire", pgx.RowTo[int64])
	if err != nil || len(below) == 0 {
		return 0, err
	}
	return consumer.Retire(ctx, tx, row, tenant, below...)
}

// count compares a generation that is shown with the one that it replaced. done is false while the two stand at different sequences and
// may still meet. It takes no lock: both are fed meanwhile, in the same transactions, and a snapshot has them at one sequence.
func (p *Projector) count(ctx context.Context, feed, tenant string, generation int64) (v verdict, done bool, err error) {
	row := consumer.RowName(kafka.GroupProjector, feed)
	err = pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		s := sides{generation: generation}
		err := tx.QueryRow(ctx, `SELECT g.replaced, g.differences, coalesce(g.not_counted, ''), n.sequence, n.state, coalesce(w.sequence, 0),
				coalesce(w.state, 'retired'), w.definition IS DISTINCT FROM n.definition
			FROM `+consumer.ProgressOf("$1")+` n LEFT JOIN projection.generations g ON g.tenant_id = n.tenant_id AND g.feed = $4 AND g.generation = n.generation
			LEFT JOIN `+consumer.ProgressOf("$1")+` w ON w.tenant_id = n.tenant_id AND w.generation = g.replaced
			WHERE n.tenant_id = $2 AND n.generation = $3`, row, tenant, generation, feed).
			Scan(&s.replaced, &s.differences, &s.notCounted, &s.sequence, &s.state, &s.beforeSequence, &s.beforeState, &s.redeclared)
		if err != nil {
			return fmt.Errorf("look at generation %d: %w", generation, err)
		}
		var compare bool
		if v, compare, done = s.next(); !compare {
			return nil
		}
		for _, spec := range p.declared {
			if FeedOf(spec) != feed {
				continue
			}
			var n int64
			if err := tx.QueryRow(ctx, comparison(spec), tenant, *s.replaced, generation).Scan(&n); err != nil {
				return fmt.Errorf("compare %s: %w", spec.Table, err)
			}
			v.differences += n
		}
		return nil
	})
	return v, done, err
}

// comparison counts the rows of two generations of a tenant that differ in any column, those that views leave out included, or that only
// one of the generations has.
func comparison(s *fold.Spec) string {
	was, is := []string{"w.sequence"}, []string{"i.sequence"}
	for _, c := range s.Stored() {
		was, is = append(was, "w."+c.Name), append(is, "i."+c.Name)
	}
	if s.Stamped() {
		was, is = append(was, "w.stamps"), append(is, "i.stamps")
	}
	side := func(generation string) string {
		return `(SELECT * FROM projection.` + s.Table + ` WHERE tenant_id = $1 AND generation = ` + generation + `)`
	}
	return `SELECT count(*) FROM ` + side("$2") + ` w FULL JOIN ` + side("$3") + ` i USING (` + strings.Join(s.Key, ", ") + `)
		WHERE w.tenant_id IS NULL OR i.tenant_id IS NULL OR ROW(` + strings.Join(was, ", ") + `) IS DISTINCT FROM ROW(` + strings.Join(is, ", ") + `)`
}

// conclude keeps a verdict and stops feeding what was kept for it.
func (p *Projector) conclude(ctx context.Context, feed, tenant string, generation int64, v verdict) error {
	row := consumer.RowName(kafka.GroupProjector, feed)
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// In the order in which the catch-up takes them.
		if _, err := consumer.Lock(ctx, tx, row, tenant); err != nil {
			return err
		}
		differences := &v.differences
		if v.notCounted != "" {
			differences = nil
		}
		if err := postgres.Exec(ctx, tx, "keep what was counted", `UPDATE projection.generations g SET differences = $4, not_counted = $5
			WHERE g.tenant_id = $1 AND g.feed = $2 AND g.generation = $3 AND `+uncounted, tenant, feed, generation, differences, v.notCounted); err != nil {
			return err
		}
		_, err := retire(ctx, tx, row, feed, tenant)
		return err
	})
}

// abandon stops waiting for counts of resets that have ended, so that nothing is fed for them for ever.
func (p *Projector) abandon(ctx context.Context) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE projection.generations g SET not_counted = 'the reset ended before' WHERE g.feed = $1 AND `+uncounted+`
				AND NOT EXISTS (SELECT FROM `+consumer.ProgressOf("$2")+` n JOIN `+consumer.ResetsOf("$3")+` r ON n.origin = 'reset ' || r.reset_id
					AND r.state IN ('requested', 'running') WHERE n.tenant_id = g.tenant_id AND n.generation = g.generation)
			RETURNING g.tenant_id`, p.feed, p.rowName(), kafka.GroupProjector)
		tenants, err := postgres.Collect(rows, err, "look for abandoned counts", pgx.RowTo[string])
		if err != nil {
			return err
		}
		var problems []error
		for _, tenant := range tenants {
			_, err := retire(ctx, tx, p.rowName(), p.feed, tenant)
			problems = append(problems, err)
		}
		return errors.Join(problems...)
	})
}
