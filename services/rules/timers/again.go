package timers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

// flight is a timer that fires.
type flight struct {
	Tenant, ID string
	Attempt    int64
	FiredAt    time.Time
}

// Sweep arms timers again whose firing is in neither the outbox nor the log: they fire for longer than a firing takes, and the outbox, which keeps an
// event until it was read back, has none. That is so after a log lost its end.
func (t *Timers) Sweep(ctx context.Context) error {
	open := t.cfg.Open(ctx)
	if len(open) == 0 {
		return nil
	}
	var looked []string // tenants: those with much on its way must not hide the others
	for range looks {
		rows, err := t.cfg.Pool.Query(ctx, `SELECT tenant_id, id, attempt, fired_at FROM neuronx.timers
			WHERE partition = ANY($1) AND state = 'firing' AND fired_at < now() - $2::interval AND NOT tenant_id = ANY($4) ORDER BY fired_at, id LIMIT $3`,
			open, lostAfter, sweepChunk, append([]string{}, looked...))
		list, err := postgres.Collect(rows, err, "look for lost firings", pgx.RowToStructByPos[flight])
		if err != nil || len(list) == 0 {
			return err
		}
		by := map[string][]flight{}
		for _, f := range list {
			by[f.Tenant] = append(by[f.Tenant], f)
		}
		tenants := slices.Sorted(maps.Keys(by))
		through, err := t.cfg.Through(ctx, tenants)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			// Of a tenant whose rules are behind, the firing may stand in the log and be read yet.
			until, may := through[tenant]
			lost := slices.DeleteFunc(by[tenant], func(f flight) bool { return !may || f.FiredAt.Add(lostAfter).After(until) })
			if err := t.rearm(ctx, tenant, lost); err != nil {
				return err
			}
		}
		if len(list) < sweepChunk {
			return nil
		}
		looked = append(looked, tenants...)
	}
	return nil
}

func (t *Timers) rearm(ctx context.Context, tenant string, of []flight) error {
	if len(of) == 0 {
		return nil
	}
	ids := make([]string, len(of))
	for i, f := range of {
		ids[i] = EventID(tenant, f.ID, f.Attempt)
	}
	waiting, err := outbox.Waits(ctx, t.cfg.Pool, tenant, Deriver, ids...)
	if err != nil {
		return err
	}
	var timers []string
	var times []time.Time
	for i, f := range of {
		if !slices.Contains(waiting, ids[i]) {
			timers, times = append(timers, f.ID), append(times, f.FiredAt)
		}
	}
	if len(timers) == 0 {
		return nil
	}
	// Only the flight that was looked at: it may have been read back meanwhile, and the timer be armed again.
	tag, err := t.cfg.Pool.Exec(ctx, `UPDATE neuronx.timers t SET state = 'armed', fired_at = NULL, attempt = t.attempt + 1, held_until = now()
		FROM unnest($2::text[], $3::timestamptz[]) AS u(id, fired_at)
		WHERE t.tenant_id = $1 AND t.id = u.id AND t.state = 'firing' AND t.fired_at = u.fired_at`, tenant, timers, times)
	if err != nil {
		return fmt.Errorf("arm lost timers of %s again: %w", tenant, err)
	}
	if n := tag.RowsAffected(); n > 0 {
		t.metrics.recovered.Add(float64(n))
		t.cfg.Log.Error("firings of timers are in neither the outbox nor the log; the timers are fired again", "tenant", tenant, "timers", n, "first", timers[0])
	}
	return nil
}

// GiveUpAfter is how often a timer is refused until its instance is told. It is fired on all the same, once an hour.
const GiveUpAfter = 10

// Refusal is a timer whose firing was refused.
type Refusal struct {
	Timer    string
	Instance string
	Task     string
	Times    int64 // how often its firings were refused
}

// Refused arms a timer again whose firing was refused, in the transaction that reads the dead letter. It is held longer each time, an hour at most: an
// unknown schema does not become known by trying at once. Nil: the firing is not one that this timer waits for.
func (t *Timers) Refused(ctx context.Context, tx pgx.Tx, e *event.Event, code string) (*Refusal, error) {
	id := timerOf(e)
	if id == "" {
		return nil, nil
	}
	t.metrics.refused.WithLabelValues(event.Code(code).Label()).Inc()
	rows, err := tx.Query(ctx, `SELECT tenant_id, id, attempt, fired_at FROM neuronx.timers WHERE tenant_id = $1 AND id = $2 AND state = 'firing' FOR UPDATE`, e.TenantID, id)
	list, err := postgres.Collect(rows, err, "find a refused timer", pgx.RowToStructByPos[flight])
	if err != nil || len(list) == 0 || EventID(e.TenantID, id, list[0].Attempt) != e.ID {
		return nil, err
	}
	r := &Refusal{Timer: id}
	err = tx.QueryRow(ctx, `UPDATE neuronx.timers SET state = 'armed', fired_at = NULL, attempt = attempt + 1, refused = refused + 1,
		held_until = clock_timestamp() + least($3::interval * 2 ^ least(attempt, 20)::float8, $4::interval) WHERE tenant_id = $1 AND id = $2
		RETURNING instance, task, refused`, e.TenantID, id, firstHold, maxHold).Scan(&r.Instance, &r.Task, &r.Times)
	if err != nil {
		return nil, fmt.Errorf("arm a refused timer again: %w", err)
	}
	return r, nil
}

// How long a timer is held after a refused firing: firstHold, doubled at each attempt up to maxHold.
const (
	firstHold = 5 * time.Second
	maxHold   = time.Hour
)
