package archiver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

// Archiver writes runs of events and dead letters in the transactions that pkg/consumer opens.
type Archiver struct {
	pool    *pgxpool.Pool
	kafka   kafka.Config
	schemas *schemaBook
	box     *outbox.Outbox // of deriver deadletter
	log     *slog.Logger
	m       *metrics

	mu      sync.Mutex
	tenants map[string]bool // tenants whose table exists; a hint, the database is asked when it is not there
}

var (
	_ consumer.Handler           = (*Archiver)(nil)
	_ consumer.Observer          = (*Archiver)(nil)
	_ consumer.BatchHandler      = (*Archiver)(nil)
	_ consumer.DeadLetterHandler = (*Archiver)(nil)
	_ consumer.ResetHandler      = (*Archiver)(nil)
)

func newArchiver(pool *pgxpool.Pool, cfg kafka.Config, schemas consumer.Schemas, box *outbox.Outbox, log *slog.Logger, m *metrics) *Archiver {
	return &Archiver{pool: pool, kafka: cfg, schemas: newSchemaBook(schemas, pool), box: box, log: log, m: m, tenants: map[string]bool{}}
}

// Observe implements consumer.Observer.
func (a *Archiver) Observe(events []event.Recorded) { a.box.Observe(events) }

// entry is one row to be.
type entry struct {
	event  event.Recorded
	stored []byte
	hash   [32]byte
	schema int32
	data   []byte // JSON; nil when the body cannot be rendered
}

// ApplyBatch writes the runs of all tenants of a batch with one COPY and one INSERT.
func (a *Archiver) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	entries, err := a.prepare(ctx, runs)
	if err != nil {
		return err
	}
	if err := a.write(ctx, tx, entries); err != nil {
		return err
	}
	return a.decisions(ctx, tx, runs)
}

// decisions takes in what the runs tell about dead letters.
func (a *Archiver) decisions(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	for _, run := range runs {
		if err := deadletter.Fold(ctx, tx, a.box, a.decode, a.log, run.Events); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archiver) decode(ctx context.Context, r *event.Recorded) (map[string]any, error) {
	id, body, err := event.Unframe(r.Value)
	if err != nil {
		return nil, err
	}
	schema, err := a.schemas.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	return schema.schema.Decode(body)
}

// Apply writes one tenant's run, after its batch failed: what fails now is this tenant's own.
func (a *Archiver) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	entries, err := a.prepare(ctx, []consumer.Run{run})
	if err != nil {
		return err
	}
	err = a.tryWrite(ctx, tx, entries)
	if err == nil {
		return a.decisions(ctx, tx, []consumer.Run{run})
	}
	if !refusedByJSON(err) || len(run.Events) > 1 { // tried again one by one, so that only the culprit goes without
		return err
	}
	// The strict rendering let something through that jsonb does not take. The payload is what counts.
	a.log.Error("an event was archived without its data column, because Postgres refuses the rendered JSON", "tenant", run.TenantID, "from", run.Events[0].Sequence,
		"count", len(run.Events), "err", err)
	for i := range entries {
		entries[i].data = nil
	}
	a.m.unrendered.Add(float64(len(entries)))
	if err := a.tryWrite(ctx, tx, entries); err != nil {
		return err
	}
	return a.decisions(ctx, tx, []consumer.Run{run})
}

func (a *Archiver) tryWrite(ctx context.Context, tx pgx.Tx, entries []entry) error {
	return pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error { return a.write(ctx, sp, entries) })
}

// refusedByJSON reports whether Postgres refused a value (class 22, such as a NUL in a text or a number that numeric does not hold) or its
// size (class 54). Of an event, only the rendered data can be such a value: the attributes are bounded when they are parsed.
func refusedByJSON(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "54")
}

// prepare makes the rows. It does no writes but the first one of a schema.
func (a *Archiver) prepare(ctx context.Context, runs []consumer.Run) ([]entry, error) {
	n := 0
	for _, run := range runs {
		n += len(run.Events)
	}
	entries := make([]entry, 0, n)
	for _, run := range runs {
		for _, e := range run.Events {
			row, err := a.entry(ctx, e)
			if err != nil {
				return nil, err
			}
			entries = append(entries, row)
		}
	}
	return entries, nil
}

func (a *Archiver) entry(ctx context.Context, e event.Recorded) (entry, error) {
	id, body, err := event.Unframe(e.Value)
	if err != nil {
		return entry{}, fmt.Errorf("archive %s/%d: %w", e.TenantID, e.Sequence, err)
	}
	schema, err := a.schemas.byID(ctx, id)
	if err != nil {
		return entry{}, fmt.Errorf("archive %s/%d: %w", e.TenantID, e.Sequence, err)
	}
	stored, err := archive.Stored(e, schema.fingerprint)
	if err != nil {
		return entry{}, fmt.Errorf("archive %s/%d: %w", e.TenantID, e.Sequence, err)
	}
	row := entry{event: e, stored: stored, hash: sha256.Sum256(stored), schema: id}
	if schema.schema != nil {
		if data, err := schema.schema.RenderJSON(body); err == nil && json.Valid(data) {
			row.data = data
		}
	}
	if row.data == nil {
		a.m.unrendered.Inc()
		a.log.Warn("an event was archived without its data column, because its body cannot be rendered", "tenant", e.TenantID, "sequence", e.Sequence, "schema_id", id)
	}
	return row, nil
}

// COPY does not work into a table with row-level security, so rows go through this one. One a
// connection, emptied at each commit; a new one a batch would bloat the catalogue.
const createLoad = `CREATE TEMPORARY TABLE IF NOT EXISTS archive_load (tenant_id text, sequence bigint, position bigint, event_id text,
	event_type text, subject text, source text, occurred_at timestamptz, recorded_at timestamptz, correlation_id text, causation_id text,
	schema_id integer, log_id text, log_partition integer, log_offset bigint, hash bytea, payload bytea, data text) ON COMMIT DELETE ROWS`

var loadColumns = []string{"tenant_id", "sequence", "position", "event_id", "event_type", "subject", "source", "occurred_at", "recorded_at",
	"correlation_id", "causation_id", "schema_id", "log_id", "log_partition", "log_offset", "hash", "payload", "data"}

// pg_temp is named so that no table of another schema is ever meant. Rows leave the temporary table as they are archived, so that
// a second run of the same transaction does not archive the first one's again.
const moveLoad = `WITH moved AS (DELETE FROM pg_temp.archive_load RETURNING *)
	INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at,
		correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data)
	SELECT tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at,
		correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data::jsonb
	FROM moved ORDER BY tenant_id, sequence`

func (a *Archiver) write(ctx context.Context, tx pgx.Tx, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := a.ensureTenants(ctx, entries); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, createLoad); err != nil {
		return fmt.Errorf("make temporary table: %w", err)
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "archive_load"}, loadColumns, pgx.CopyFromSlice(len(entries), func(i int) ([]any, error) {
		return entries[i].values(), nil
	}))
	if err != nil {
		return fmt.Errorf("copy events: %w", err)
	}
	tag, err := tx.Exec(ctx, moveLoad)
	if err != nil {
		return a.learn(fmt.Errorf("archive events: %w", err))
	}
	if tag.RowsAffected() != int64(len(entries)) {
		return fmt.Errorf("archive events: %d rows written of %d", tag.RowsAffected(), len(entries))
	}
	a.m.count(entries)
	return nil
}

func (e *entry) values() []any {
	r := &e.event
	var occurred any
	if !r.Time.IsZero() {
		occurred = r.Time
	}
	var data any
	if e.data != nil {
		data = string(e.data)
	}
	return []any{r.TenantID, r.Sequence, r.Position, r.ID, r.Type, r.Subject, r.Source, occurred, r.RecordedTime, r.CorrelationID,
		r.CausationID, e.schema, r.LogID, r.Partition, r.Offset, e.hash[:], e.stored, data}
}

// ensureTenants makes the tables of tenants that were not met, in a transaction of its own: the short lock on the parent ends before
// the batch is written, and an empty table left by a batch that fails does no harm.
func (a *Archiver) ensureTenants(ctx context.Context, entries []entry) error {
	for i := range entries {
		tenant := entries[i].event.TenantID
		if a.knownTenant(tenant) {
			continue
		}
		if _, err := a.pool.Exec(ctx, `SELECT neuronx.ensure_tenant($1)`, tenant); err != nil {
			return consumer.Transient(fmt.Errorf("make table of tenant %s: %w", tenant, err))
		}
		a.mu.Lock()
		a.tenants[tenant] = true
		a.mu.Unlock()
	}
	return nil
}

func (a *Archiver) knownTenant(tenant string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tenants[tenant]
}

// learn counts a row that exists already. When the database says that a row has no partition, it was restored to before the table
// was made: the hint is dropped, and the next attempt makes it.
func (a *Archiver) learn(err error) error {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
	case pg.Code == "23505": // unique_violation
		a.m.conflicts.Inc()
	case pg.Code == "23514" && pg.ConstraintName == "": // check_violation: no partition of relation found for row
		a.mu.Lock()
		clear(a.tenants)
		a.mu.Unlock()
		return consumer.Transient(err)
	}
	return err
}
