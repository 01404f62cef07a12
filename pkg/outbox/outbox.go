package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// ErrConflict says that the log or the dead letters hold another event under a number that our outbox gave to one of its own.
// Numbers were raised and nothing was lost; a person should look (the metric neuronx_outbox_conflicts_total counts it).
var ErrConflict = errors.New("outbox: another event has this deriver's number")

// Outbox writes the rows of one deriver. It is safe for concurrent use.
type Outbox struct {
	deriver string
	keys    *event.Keyring
	log     *slog.Logger
	metrics *metrics
	added   atomic.Int64  // time of the last Add, Unix nanoseconds: the sender looks more often for a while
	wake    chan struct{} // ends the sender's idle wait at an Add

	mu      sync.Mutex
	noticed map[string]int64 // by tenant: the highest number that was read back; a hint
}

// Option changes how an Outbox reports.
type Option func(*Outbox)

// WithLog sets the logger; the default discards.
func WithLog(log *slog.Logger) Option { return func(o *Outbox) { o.log = log } }

// WithMetrics registers the metrics neuronx_outbox_… with reg.
func WithMetrics(reg prometheus.Registerer) Option {
	return func(o *Outbox) { o.metrics = newMetrics(reg, o.deriver) }
}

// New makes the outbox of a deriver, see event.Derivers.
func New(deriver string, keys *event.Keyring, opts ...Option) *Outbox {
	o := &Outbox{deriver: deriver, keys: keys, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), noticed: map[string]int64{}}
	for _, opt := range opts {
		opt(o)
	}
	if o.metrics == nil {
		o.metrics = newMetrics(nil, deriver)
	}
	return o
}

// Deriver is the deriver's name.
func (o *Outbox) Deriver() string { return o.deriver }

// Add stores events, in order, under the next numbers of their tenant, and sets Deriver and DeriverNumber of each. All must be of
// one tenant. They are sent if and only if tx commits. A *event.Refusal of code too_large means that nothing was stored and tx is
// still usable.
func (o *Outbox) Add(ctx context.Context, tx pgx.Tx, evs ...*event.Event) error {
	if len(evs) == 0 {
		return nil
	}
	tenant := evs[0].TenantID
	for _, e := range evs {
		if e.TenantID != tenant || e.ID == "" || e.Type == "" {
			return fmt.Errorf("add to outbox: event %q of tenant %q among events of tenant %q: one tenant, and an id and a type each", e.ID, e.TenantID, tenant)
		}
		// Checked before the numbers are taken, so that a refusal leaves no trace in the transaction.
		probe := *e
		probe.Deriver, probe.DeriverNumber = o.deriver, 1<<62
		if _, err := encodeRecord(&probe); err != nil {
			return err
		}
	}
	n := len(evs)
	var last int64
	err := tx.QueryRow(ctx, `INSERT INTO neuronx.outbox_numbers AS n (tenant_id, deriver, last) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = n.last + excluded.last RETURNING last`, tenant, o.deriver, int64(n)).Scan(&last)
	if err != nil {
		return fmt.Errorf("take outbox numbers: %w", err)
	}
	numbers, ids, records, seals := make([]int64, n), make([]string, n), make([][]byte, n), make([]string, n)
	for try := 0; ; try++ {
		for i, e := range evs {
			e.Deriver, e.DeriverNumber = o.deriver, last-int64(n-1-i)
			numbers[i], ids[i] = e.DeriverNumber, e.ID
			if records[i], err = encodeRecord(e); err != nil {
				return err
			}
			seals[i] = seal(o.keys, tenant, o.deriver, numbers[i], ids[i], records[i])
		}
		tag, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal)
			SELECT $1, $2, r.number, r.event_id, r.record, r.seal
			  FROM unnest($3::bigint[], $4::text[], $5::bytea[], $6::text[]) AS r(number, event_id, record, seal) ON CONFLICT DO NOTHING`,
			tenant, o.deriver, numbers, ids, records, seals)
		if err != nil {
			return fmt.Errorf("insert outbox rows: %w", err)
		}
		if tag.RowsAffected() == int64(n) {
			break
		}
		if try == maxClear {
			return fmt.Errorf("insert outbox rows: others stand under the numbers %d to %d of %s again and again", numbers[0], last, tenant)
		}
		if last, err = o.clear(ctx, tx, tenant, numbers, seals); err != nil {
			return err
		}
	}
	o.metrics.added.Add(float64(len(evs)))
	o.added.Store(time.Now().UnixNano())
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// Lock takes the lock that Add takes on a tenant's numbers, before anything else of a transaction that must lock rows in the order of the
// consumer's batches.
func (o *Outbox) Lock(ctx context.Context, tx pgx.Tx, tenant string) error {
	_, err := tx.Exec(ctx, `INSERT INTO neuronx.outbox_numbers AS n (tenant_id, deriver, last) VALUES ($1, $2, 0)
		ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = n.last`, tenant, o.deriver)
	if err != nil {
		return fmt.Errorf("lock outbox numbers: %w", err)
	}
	return nil
}

// maxClear is how often Add makes room for its rows.
const maxClear = 8

// clear makes room for rows that could not all be inserted, because rows exist under numbers that were never given out. It deletes the rows
// of this Add that were inserted. Of the others, it moves those that no process of the engine wrote to neuronx.outbox_forbidden; a row of
// the engine's (the number was lowered by hand) keeps its number, and numbering goes on behind it. It returns the last number in use.
func (o *Outbox) clear(ctx context.Context, tx pgx.Tx, tenant string, numbers []int64, seals []string) (last int64, err error) {
	first, last := numbers[0], numbers[len(numbers)-1]
	if _, err := tx.Exec(ctx, `DELETE FROM neuronx.outbox o USING unnest($3::bigint[], $4::text[]) AS r(number, seal)
		WHERE o.tenant_id = $1 AND o.deriver = $2 AND o.number = r.number AND o.seal = r.seal`, tenant, o.deriver, numbers, seals); err != nil {
		return 0, fmt.Errorf("make room in the outbox: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.outbox o WHERE o.tenant_id = $1 AND o.deriver = $2 AND o.number BETWEEN $3 AND $4 ORDER BY o.number`,
		tenant, o.deriver, first, last)
	found, err := postgres.Collect(rows, err, "make room in the outbox", scanRow(tenant, o.deriver))
	if err != nil {
		return 0, err
	}
	next := first
	for _, r := range found {
		if r.noted || sealedBy(o.keys, r) {
			next = r.number + 1
			continue
		}
		if err := remove(ctx, tx, r, errAbove); err != nil {
			return 0, err
		}
		o.metrics.forbidden.Inc()
		o.log.Error("an outbox row had a number that was never given out; it was moved to neuronx.outbox_forbidden. Find out who has the password of this role, and run: neuronx doctor",
			"tenant", tenant, "deriver", o.deriver, "number", r.number, "event", r.eventID)
	}
	last = next + int64(len(numbers)) - 1
	if _, err := tx.Exec(ctx, `UPDATE neuronx.outbox_numbers SET last = $3 WHERE tenant_id = $1 AND deriver = $2 AND last < $3`, tenant, o.deriver, last); err != nil {
		return 0, fmt.Errorf("make room in the outbox: %w", err)
	}
	return last, nil
}

var errAbove = errors.New("it stood under a number that was not given out yet: no process of the engine wrote it")

// Own reports whether a recorded event came out of this outbox, so that Seen must be told of it. The sequencer verified the claim.
func (o *Outbox) Own(r *event.Recorded) bool { return r.Deriver == o.deriver && r.DeriverNumber > 0 }

// Observe tells the sender of events that were read from the log, whether or not Seen follows soon: the sender keeps a bounded number of a
// tenant's rows on their way. It is a hint, and cheap.
func (o *Outbox) Observe(events []event.Recorded) {
	for i := range events {
		if r := &events[i]; o.Own(r) {
			o.notice(r.TenantID, r.DeriverNumber)
		}
	}
}

func (o *Outbox) notice(tenant string, number int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noticed[tenant] = max(o.noticed[tenant], number)
}

// noticedOf returns the highest numbers of tenants that were noticed, and forgets other tenants'.
func (o *Outbox) noticedOf(tenants []tenantRows) map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := make(map[string]int64, len(tenants))
	for _, t := range tenants {
		if n, ok := o.noticed[t.tenant]; ok {
			kept[t.tenant] = n
		}
	}
	o.noticed = kept
	return maps.Clone(kept)
}

// Mark is one own event that was seen in the log or the dead letters.
type Mark struct {
	Tenant  string
	Number  int64
	EventID string
}

// Seen notes that an own event stands in the log: its row is deleted and the tenant's number is raised to it. It may be called
// again for the same event. ErrConflict means that our row of that number is another event's; it was logged and counted, and
// everything that could be done was done in tx, so the caller goes on.
func (o *Outbox) Seen(ctx context.Context, tx pgx.Tx, tenant string, number int64, eventID string) error {
	return o.SeenAll(ctx, tx, []Mark{{tenant, number, eventID}})
}

// SeenAll is Seen for many events, of any tenants, in one statement.
func (o *Outbox) SeenAll(ctx context.Context, tx pgx.Tx, marks []Mark) error {
	if len(marks) == 0 {
		return nil
	}
	tenants, numbers, ids := make([]string, len(marks)), make([]int64, len(marks)), make([]string, len(marks))
	for i, m := range marks {
		tenants[i], numbers[i], ids[i] = m.Tenant, m.Number, m.EventID
		o.notice(m.Tenant, m.Number)
	}
	// Deleted by id, not by number: after a restore the same event may stand under another number than ours. The parts of a
	// statement see the rows as they were before it, so the last part compares with what the first one deletes.
	rows, err := tx.Query(ctx, `WITH seen AS (
			SELECT * FROM unnest($2::text[], $3::bigint[], $4::text[]) AS s(tenant_id, number, event_id)
		), gone AS (
			DELETE FROM neuronx.outbox o USING seen s
			 WHERE o.tenant_id = s.tenant_id AND o.deriver = $1 AND o.event_id = s.event_id
		), raised AS (
			INSERT INTO neuronx.outbox_numbers AS n (tenant_id, deriver, last)
			SELECT tenant_id, $1, max(number) FROM seen GROUP BY tenant_id ORDER BY tenant_id
			ON CONFLICT (tenant_id, deriver) DO UPDATE SET last = excluded.last WHERE n.last < excluded.last
		)
		SELECT o.tenant_id, o.number, s.event_id, o.event_id FROM seen s
		  JOIN neuronx.outbox o ON o.tenant_id = s.tenant_id AND o.deriver = $1 AND o.number = s.number AND o.event_id <> s.event_id`,
		o.deriver, tenants, numbers, ids)
	conflicts := 0
	var tenant, theirs, ours string
	var number int64
	if err := postgres.ForEach(rows, err, "note derived events as seen", []any{&tenant, &number, &theirs, &ours}, func() error {
		conflicts++
		o.metrics.conflicts.Inc()
		o.log.Error("another event has the number of a derived event. If Postgres was restored from a backup, see 'Postgres was set back' in docs/operations.md; if not, look for a second set of services",
			"tenant", tenant, "deriver", o.deriver, "number", number, "seen_event_id", theirs, "our_event_id", ours)
		return nil
	}); err != nil {
		return err
	}
	o.metrics.seen.Add(float64(len(marks)))
	if conflicts > 0 {
		return ErrConflict
	}
	return nil
}

// Refused notes that an event was seen in the dead letters. It answers false, and does nothing, unless the event is one of this
// deriver under a valid signature: a dead letter carries its attributes as they were received, and a forged number would stop
// the deriver for ever.
func (o *Outbox) Refused(ctx context.Context, tx pgx.Tx, e *event.Event) (bool, error) {
	if e.Deriver != o.deriver || e.DeriverNumber < 1 {
		return false, nil
	}
	if ok, err := o.keys.Verify(e); err != nil || !ok {
		return false, nil // not ours; the sequencer counted it
	}
	return true, o.Seen(ctx, tx, e.TenantID, e.DeriverNumber, e.ID)
}
