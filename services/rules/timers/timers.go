package timers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

// Bounds of what is on its way from the outbox to the fold. Everything else that is due waits in its table.
const (
	MostPerTenant    = 500
	MostPerPartition = 2000
)

const (
	poll       = 500 * time.Millisecond
	sweepEvery = time.Minute
	lostAfter  = 5 * time.Minute
	sweepChunk = 1000
	// pauseAfterEarly is how long a process fires nothing after one of its firings came too early: its clock, and that of Postgres, run ahead.
	pauseAfterEarly = time.Minute
	// patience is how long a tenant's numbers are waited for while somebody else holds them: all other tenants wait, too.
	patience = 5 * time.Second
	// mostFailed is how many tenants may fail in one pass until it is taken for a failure of Postgres.
	mostFailed = 8
)

// Catalogue finds schemas by type. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (int32, *avro.Schema, error)
}

// Config says what is fired, and when.
type Config struct {
	Pool    *pgxpool.Pool
	Box     *outbox.Outbox // of Deriver
	Schemas Catalogue
	// Open lists the partitions that this process owns and whose log was read to its end, see Gate.
	Open func(ctx context.Context) []int32
	// Through says up to when the rules have applied the log of tenants, see Frontier: what is due later waits. A tenant that is left out, because it is suspended or set aside, fires nothing.
	Through func(ctx context.Context, tenants []string) (map[string]time.Time, error)
	Clock   *Clock // nil: one that is told of events by Observe alone
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Report  func(error) // is told what became of each look; may be nil
}

// Timers fires the timers of the partitions that a process owns.
type Timers struct {
	cfg     Config
	metrics *metrics
	paused  atomic.Int64 // until, Unix nanoseconds
	behind  atomic.Int64 // when the log was told last that this machine's clock is behind, Unix nanoseconds

	waiting map[int32]map[string]bool // by partition: tenants with timers that are due, and that may not fire
	failing map[string]*failing       // tenants whose timers could not be fired
}

// failing is a tenant whose timers could not be fired. They are tried again later, longer each time.
type failing struct {
	times  int
	until  time.Time
	oldest time.Time // due
}

// New makes them.
func New(cfg Config) *Timers {
	if cfg.Clock == nil {
		cfg.Clock = NewClock(nil)
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Timers{cfg: cfg, metrics: newMetrics(cfg.Metrics), waiting: map[int32]map[string]bool{}, failing: map[string]*failing{}}
}

// Run fires until ctx ends, then returns nil. A database that is away is waited for.
func (t *Timers) Run(ctx context.Context) error {
	var swept time.Time
	for failures := 0; ; {
		err := t.Pass(ctx)
		if now := t.cfg.Clock.Now(); err == nil && now.Sub(swept).Abs() >= sweepEvery {
			swept = now
			err = t.Sweep(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		t.cfg.Report(err)
		wait := poll
		if err != nil {
			t.cfg.Log.Error("timers cannot be fired; they wait until they can", "err", err)
			wait = max(wait, backoff.Pause(failures))
			failures++
		} else {
			failures = 0
		}
		if backoff.Wait(ctx, wait) != nil {
			return nil
		}
	}
}

// Early says that firings reached the log before their due. The fold holds these timers; this process fires nothing for a while, because its clock
// runs ahead and everything that it takes for due now would come too early.
func (t *Timers) Early(n int64) {
	if n > 0 {
		t.metrics.early.Add(float64(n))
		t.cfg.Clock.Distrust()
		t.paused.Store(t.cfg.Clock.Now().Add(pauseAfterEarly).UnixNano())
		t.cfg.Log.Error("timers fired before their due: the clock of this process and that of Postgres run ahead of the broker's; nothing is fired for a minute. Set the clocks right",
			"timers", n)
	}
}

// Pass fires once what is due. A tenant whose timers can't be fired is logged and tried again later; the others go on.
func (t *Timers) Pass(ctx context.Context) error {
	if t.cfg.Clock.Now().UnixNano() < t.paused.Load() {
		return nil
	}
	open := t.cfg.Open(ctx)
	maps.DeleteFunc(t.waiting, func(p int32, _ map[string]bool) bool { return !slices.Contains(open, p) })
	late := 0.0
	failed := 0
	for _, p := range open {
		first, bad, err := t.partition(ctx, p)
		if failed += len(bad); failed > mostFailed {
			err = errors.Join(append(bad, err)...)
		}
		if err != nil {
			return err
		}
		if !first.IsZero() {
			late = max(late, t.cfg.Clock.Latest(p).Sub(first).Seconds())
		}
	}
	t.metrics.oldest.Set(late)
	return nil
}

// earlier is the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// looks bounds how often the table of a partition is looked into in one pass: once more for each set of tenants that may not fire more.
const looks = 8

// partition fires the due timers of a partition, oldest first. It returns the due of the oldest that may fire, and what went wrong with single tenants.
func (t *Timers) partition(ctx context.Context, p int32) (oldest time.Time, failed []error, err error) {
	flying, room, err := t.flying(ctx, p)
	if err != nil {
		return oldest, nil, err
	}
	barred, room, oldest, err := t.barred(ctx, p, flying, room)
	if err != nil || room <= 0 {
		return oldest, nil, err
	}
	for range looks {
		slices.Sort(barred)
		due, more, err := t.due(ctx, p, barred, room)
		if err != nil || len(due) == 0 {
			return oldest, failed, err
		}
		tenants := slices.Sorted(maps.Keys(due))
		through, err := t.cfg.Through(ctx, tenants)
		if err != nil {
			return oldest, failed, err
		}
		for _, tenant := range tenants {
			until, may := through[tenant]
			if !may {
				t.wait(p, tenant)
			}
			ids := make([]string, 0, len(due[tenant]))
			first := time.Time{}
			for _, d := range due[tenant] {
				if may && !d.Due.After(until) && len(ids) < MostPerTenant-flying[tenant] {
					ids, first = append(ids, d.ID), earlier(first, d.Due)
				}
			}
			oldest = earlier(oldest, first)
			n, err := t.fire(ctx, p, tenant, ids)
			if ctx.Err() != nil {
				return oldest, failed, err
			}
			if err != nil {
				t.fails(tenant, first, err)
				failed = append(failed, err)
				if len(failed) > mostFailed {
					return oldest, failed, nil
				}
			} else if n > 0 {
				delete(t.failing, tenant)
			}
			flying[tenant] += n
			room -= n
			if full := flying[tenant] >= MostPerTenant; full || err != nil || len(ids) < len(due[tenant]) {
				barred = append(barred, tenant)
			}
		}
		if !more || room <= 0 {
			break
		}
	}
	return oldest, failed, nil
}

// barred lists the tenants of a partition that may not fire now, and counts how much more of it may be on its way.
//
// What tenants have on their way that are suspended, set aside or catching up does not count: it is read back when they go on, which may take days, and
// nobody else's timers wait for that. Those with timers that are due are remembered, so that they are not found first at each look.
func (t *Timers) barred(ctx context.Context, p int32, flying map[string]int, room int) (barred []string, left int, oldest time.Time, err error) {
	ask := slices.Collect(maps.Keys(t.waiting[p]))
	if room < MostPerTenant {
		ask = append(ask, slices.Collect(maps.Keys(flying))...)
	}
	if len(ask) > 0 {
		slices.Sort(ask)
		ask = slices.Compact(ask)
		through, err := t.cfg.Through(ctx, ask)
		if err != nil {
			return nil, 0, oldest, err
		}
		for _, tenant := range ask {
			if _, may := through[tenant]; may {
				delete(t.waiting[p], tenant)
				continue
			}
			room += flying[tenant]
			barred = append(barred, tenant)
		}
	}
	for tenant, n := range flying {
		if n >= MostPerTenant {
			barred = append(barred, tenant)
		}
	}
	for tenant, f := range t.failing {
		if f.until.After(t.cfg.Clock.Now()) {
			barred, oldest = append(barred, tenant), earlier(oldest, f.oldest)
		}
	}
	return barred, room, oldest, nil
}

// wait remembers a tenant with timers that are due, and that may not fire.
func (t *Timers) wait(p int32, tenant string) {
	if t.waiting[p] == nil {
		t.waiting[p] = map[string]bool{}
	}
	t.waiting[p][tenant] = true
}

// fails remembers a tenant whose timers could not be fired.
func (t *Timers) fails(tenant string, oldest time.Time, err error) {
	f := t.failing[tenant]
	if f == nil {
		f = &failing{}
		t.failing[tenant] = f
	}
	pause := backoff.Pause(f.times)
	f.times++
	f.until, f.oldest = t.cfg.Clock.Now().Add(pause), oldest
	t.cfg.Log.Error("timers of a tenant cannot be fired; those of the others go on, and these are tried again", "tenant", tenant, "times", f.times, "pause", pause, "err", err)
}

// flying counts what is on its way, by tenant, and how much more of the partition may be.
func (t *Timers) flying(ctx context.Context, p int32) (by map[string]int, room int, err error) {
	by, room = map[string]int{}, MostPerPartition
	rows, err := t.cfg.Pool.Query(ctx, `SELECT tenant_id, count(*) FROM neuronx.timers WHERE partition = $1 AND state = 'firing' GROUP BY tenant_id`, p)
	var tenant string
	var n int
	err = postgres.ForEach(rows, err, "count firing timers", []any{&tenant, &n}, func() error {
		by[tenant] = n
		room -= n
		return nil
	})
	return by, room, err
}

// dueTimer is a timer that is due.
type dueTimer struct {
	Tenant, ID string
	Due        time.Time
}

// due lists the timers of a partition that are due, oldest first, without those of some tenants; more: there may be others.
func (t *Timers) due(ctx context.Context, p int32, barred []string, most int) (by map[string][]dueTimer, more bool, err error) {
	own, broker := t.clocks(p)
	rows, err := t.cfg.Pool.Query(ctx, `SELECT tenant_id, id, due FROM neuronx.timers WHERE partition = $1 AND `+isDue+` AND NOT tenant_id = ANY($4)
		ORDER BY held_until, id LIMIT $5`, p, own, broker, append([]string{}, barred...), most)
	list, err := postgres.Collect(rows, err, "look for timers that are due", pgx.RowToStructByPos[dueTimer])
	by = map[string][]dueTimer{}
	for _, d := range list {
		by[d.Tenant] = append(by[d.Tenant], d)
	}
	return by, len(list) == most, err
}

// fire puts the firings of one tenant into the outbox, in one transaction with their rows. The outbox's numbers are locked first, as the batch
// of the fold does, which deletes timers after it has seen numbers.
func (t *Timers) fire(ctx context.Context, p int32, tenant string, ids []string) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	schemaID, schema, err := t.cfg.Schemas.ByType(ctx, Type)
	if err != nil {
		return 0, fmt.Errorf("find the schema of %s: %w", Type, err)
	}
	var firings []Firing
	own, broker := t.clocks(p)
	err = pgx.BeginFunc(ctx, t.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(patience.Milliseconds())); err != nil {
			return err
		}
		if err := t.cfg.Box.Lock(ctx, tx, tenant); err != nil {
			return err
		}
		// Postgres reads no part of the stored JSON, because it has no text for a NUL that a variable may hold: an error of one tenant's instance
		// would stop the timers of all. What it searches for is the first of its name, before any value of a file.
		rows, err := tx.Query(ctx, `WITH due AS (
				SELECT tenant_id, id, instance FROM neuronx.timers WHERE tenant_id = $1 AND `+isDue+` AND id = ANY($4)
				ORDER BY id FOR UPDATE SKIP LOCKED)
			UPDATE neuronx.timers t SET state = 'firing', fired_at = clock_timestamp()
			  FROM due LEFT JOIN neuronx.workflow_instances i ON i.tenant_id = due.tenant_id AND i.id = due.instance
			 WHERE t.tenant_id = due.tenant_id AND t.id = due.id
			RETURNING t.tenant_id, t.id, t.instance, t.workflow, t.task, coalesce(i.bundle, 0), t.due, t.armed_sequence, t.cause,
				coalesce(substring(i.state::text FROM '"correlation":("(?:[^"\\]|\\.)*")'), '""'), coalesce(substring(i.state::text FROM '"origin":("[a-z]*")'), '""'), t.attempt`, tenant, own, broker, ids)
		firings, err = postgres.Collect(rows, err, "fire timers", scanFiring)
		if err != nil {
			return err
		}
		slices.SortFunc(firings, func(a, b Firing) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
		events := make([]*event.Event, len(firings))
		for i := range firings {
			e, err := firings[i].event(schemaID, schema)
			if err != nil {
				return err
			}
			events[i] = &e
		}
		return t.cfg.Box.Add(ctx, tx, events...)
	})
	if err != nil {
		return 0, fmt.Errorf("fire timers of %s: %w", tenant, err)
	}
	now := t.cfg.Clock.Latest(p)
	for i := range firings {
		t.metrics.fired.Inc()
		t.metrics.late.Observe(max(0, now.Sub(firings[i].Due).Seconds()))
	}
	return len(firings), nil
}

// scanFiring reads a firing whose correlation and origin are JSON texts.
func scanFiring(row pgx.CollectableRow) (f Firing, err error) {
	var correlation, origin []byte
	if err := row.Scan(&f.Tenant, &f.ID, &f.Instance, &f.Workflow, &f.Task, &f.Bundle, &f.Due, &f.Armed, &f.Cause, &correlation, &origin, &f.Attempt); err != nil {
		return f, err
	}
	return f, cmp.Or(json.Unmarshal(correlation, &f.Correlation), json.Unmarshal(origin, &f.Origin))
}
