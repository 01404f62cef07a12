package archive

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// The archive's table is named in SQL by this package and by the archiver, which fills it; what others ask of it is asked here. The role
// must see the rows: neuronx_ops sees all, the others those of the tenant that postgres.SetTenant has set in their transaction.

const readArchive = "read the archive" // what every query here says in its errors

// A Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// EventsOf is the archived events of one tenant as an item of a FROM clause, for a statement that compares them with tables of another
// owner. tenant is an SQL expression, such as "$1"; the item needs an alias, and where tenant names a row of the same FROM clause, LATERAL
// before it. Its columns are tenant_id, sequence, event_id, event_type, subject, source, recorded_at, log_id and data (jsonb, NULL where it
// can't be rendered). Postgres plans it as it plans the table.
func EventsOf(tenant string) string {
	return `(SELECT tenant_id, sequence, event_id, event_type, subject, source, recorded_at, log_id, data FROM neuronx.tenant_events WHERE tenant_id = ` + tenant + `)`
}

// Row is an archived event as the table's columns have it. Payload is the proved bytes (ParseStored), which the other columns follow.
type Row struct {
	TenantID      string
	Sequence      int64
	Position      int64
	EventID       string
	Type          string
	Subject       string
	Source        string
	Time          *time.Time // nil: the event has none
	RecordedTime  time.Time
	CorrelationID string
	CausationID   string
	SchemaID      int32
	Data          []byte // JSON; nil where it can't be rendered
	Payload       []byte
}

const rowColumns = `SELECT tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, schema_id, data, payload
	FROM neuronx.tenant_events WHERE tenant_id = $1`

// RowsByID returns the tenant's events of an id, in the order of the log. An id may recur after the key window.
func RowsByID(ctx context.Context, q Querier, tenant, id string) ([]Row, error) {
	rows, err := q.Query(ctx, rowColumns+` AND event_id = $2 ORDER BY sequence`, tenant, id)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Row])
}

// RowsBySequence returns the tenant's events of some sequences, as far as they are there, in the order of the log.
func RowsBySequence(ctx context.Context, q Querier, tenant string, sequences ...int64) ([]Row, error) {
	rows, err := q.Query(ctx, rowColumns+` AND sequence = ANY($2) ORDER BY sequence`, tenant, sequences)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Row])
}

// Found returns at most limit of the tenant's events of an id, and of a source unless it is empty, in the order of the log: their EventID,
// Type, Source, Sequence, Position and RecordedTime, so nothing of what may be large.
func Found(ctx context.Context, q Querier, tenant, id, source string, limit int) ([]Row, error) {
	rows, err := q.Query(ctx, `SELECT event_id, event_type, source, sequence, position, recorded_at FROM neuronx.tenant_events
		WHERE tenant_id = $1 AND event_id = $2 AND ($4 = '' OR source = $4) ORDER BY sequence LIMIT $3`, tenant, id, limit, source)
	return postgres.Collect(rows, err, readArchive, func(row pgx.CollectableRow) (r Row, err error) {
		return r, row.Scan(&r.EventID, &r.Type, &r.Source, &r.Sequence, &r.Position, &r.RecordedTime)
	})
}

// Filter chooses events of a tenant; a zero value chooses all.
type Filter struct {
	Tenant  string
	Subject string
	Type    string
	Email   string    // of any field of the data, whatever its case
	Since   time.Time // recorded then or later
	Until   time.Time // recorded before
	Limit   int
}

// Newest returns the newest events that fit, newest first.
func Newest(ctx context.Context, q Querier, f Filter) ([]Row, error) {
	rows, err := q.Query(ctx, rowColumns+` AND ($2 = '' OR subject = $2) AND ($3 = '' OR event_type = $3)
		AND ($4 = '' OR jsonb_typeof(data) = 'object' AND EXISTS (SELECT FROM jsonb_each_text(data) f WHERE lower(f.value) = lower($4)))
		AND ($5::timestamptz IS NULL OR recorded_at >= $5) AND ($6::timestamptz IS NULL OR recorded_at < $6)
		ORDER BY sequence DESC LIMIT $7`, f.Tenant, f.Subject, f.Type, f.Email, orNull(f.Since), orNull(f.Until), f.Limit)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Row])
}

// NewestOf returns the newest events of a type, newest first, without their payload. It looks for them in an index, however many others there are.
func NewestOf(ctx context.Context, q Querier, tenant, typ string, limit int) ([]Row, error) {
	rows, err := q.Query(ctx, `SELECT event_id, subject, sequence, recorded_at, data FROM neuronx.tenant_events
		WHERE tenant_id = $1 AND event_type = $2 ORDER BY recorded_at DESC LIMIT $3`, tenant, typ, limit)
	return postgres.Collect(rows, err, readArchive, func(row pgx.CollectableRow) (r Row, err error) {
		return r, row.Scan(&r.EventID, &r.Subject, &r.Sequence, &r.RecordedTime, &r.Data)
	})
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Each calls fn with each event of the tenant whose id is one of ids, in the order of the log, one at a time: their data may be large. An
// error of fn ends it. Position, Type, Source, RecordedTime, CorrelationID, CausationID, SchemaID and Payload are not read.
func Each(ctx context.Context, q Querier, tenant string, ids []string, fn func(Row) error) error {
	rows, err := q.Query(ctx, fewColumns+` AND event_id = ANY($2) ORDER BY sequence`, tenant, ids)
	return each(rows, err, fn)
}

// EachAbout is Each of the events of a type and a source about some subjects.
func EachAbout(ctx context.Context, q Querier, tenant, source, typ string, subjects []string, fn func(Row) error) error {
	rows, err := q.Query(ctx, fewColumns+` AND subject = ANY($2) AND event_type = $3 AND source = $4 ORDER BY sequence`, tenant, subjects, typ, source)
	return each(rows, err, fn)
}

const fewColumns = `SELECT tenant_id, event_id, subject, sequence, occurred_at, data FROM neuronx.tenant_events WHERE tenant_id = $1`

func each(rows pgx.Rows, err error, fn func(Row) error) error {
	if err != nil {
		return fmt.Errorf(readArchive+": %w", err)
	}
	var r Row
	if _, err := pgx.ForEachRow(rows, []any{&r.TenantID, &r.EventID, &r.Subject, &r.Sequence, &r.Time, &r.Data}, func() error { return fn(r) }); err != nil {
		return fmt.Errorf(readArchive+": %w", err)
	}
	return nil
}

// Trace returns the sequences of the events of an id or about a subject, of everything that caused them up to each root, and of everything
// that came of these, ascending and at most limit. Causes are ids of the same tenant; 32 levels are twice what the storm guard lets through.
// An empty id or subject means none.
func Trace(ctx context.Context, q Querier, tenant, id, subject string, limit int) ([]int64, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE up AS (
	    SELECT e.sequence, e.causation_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND ($2 <> '' AND e.event_id = $2 OR $3 <> '' AND e.subject = $3)
	  UNION
	    SELECT e.sequence, e.causation_id, up.depth - 1 FROM up JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.event_id = up.causation_id
	    WHERE up.causation_id <> '' AND up.depth > -32
	), down AS (
	    SELECT e.sequence, e.event_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND e.sequence IN (SELECT sequence FROM up)
	  UNION
	    SELECT e.sequence, e.event_id, down.depth + 1 FROM down JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.causation_id = down.event_id AND e.sequence > down.sequence
	    WHERE down.depth < 32
	)
	SELECT DISTINCT sequence FROM down ORDER BY sequence LIMIT $4`, tenant, id, subject, limit)
	return postgres.Collect(rows, err, readArchive, pgx.RowTo[int64])
}

// HasID reports whether the archive holds an event of the tenant with that id.
func HasID(ctx context.Context, q Querier, tenant, id string) (bool, error) {
	rows, err := q.Query(ctx, `SELECT EXISTS (SELECT FROM neuronx.tenant_events WHERE tenant_id = $1 AND event_id = $2)`, tenant, id)
	return postgres.CollectOne(rows, err, readArchive, pgx.RowTo[bool])
}

// HasSubject reports whether the archive holds an event of the tenant about that subject.
func HasSubject(ctx context.Context, q Querier, tenant, subject string) (bool, error) {
	rows, err := q.Query(ctx, `SELECT EXISTS (SELECT FROM neuronx.tenant_events WHERE tenant_id = $1 AND subject = $2)`, tenant, subject)
	return postgres.CollectOne(rows, err, readArchive, pgx.RowTo[bool])
}

// NewestIDs lists the different ids of a tenant's newest 1,000 events, NewestSubjects their subjects: what a person may have meant.
func NewestIDs(ctx context.Context, q Querier, tenant string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT event_id FROM (SELECT event_id FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1000) newest`, tenant)
	return postgres.Collect(rows, err, readArchive, pgx.RowTo[string])
}

// NewestSubjects lists the different subjects of a tenant's newest 1,000 events.
func NewestSubjects(ctx context.Context, q Querier, tenant string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT subject FROM (SELECT subject FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1000) newest`, tenant)
	return postgres.Collect(rows, err, readArchive, pgx.RowTo[string])
}

// FirstSince returns the lowest sequence of a tenant that was recorded then or later; ok is false if there is none.
func FirstSince(ctx context.Context, q Querier, tenant string, at time.Time) (sequence int64, ok bool, err error) {
	rows, err := q.Query(ctx, `SELECT min(sequence) FROM neuronx.tenant_events WHERE tenant_id = $1 AND recorded_at >= $2`, tenant, at)
	first, err := postgres.CollectOne(rows, err, readArchive, pgx.RowTo[*int64])
	if err != nil || first == nil {
		return 0, false, err
	}
	return *first, true, nil
}

// CountOf counts the tenant's events of some types whose sequence is above one.
func CountOf(ctx context.Context, q Querier, tenant string, above int64, types ...string) (int64, error) {
	rows, err := q.Query(ctx, `SELECT count(*) FROM neuronx.tenant_events WHERE tenant_id = $1 AND sequence > $2 AND event_type = ANY($3)`, tenant, above, types)
	return postgres.CollectOne(rows, err, readArchive, pgx.RowTo[int64])
}

// Count counts the tenant's events with sequences from from to through, both included. It reads no more than the index.
func Count(ctx context.Context, q Querier, tenant string, from, through int64) (int64, error) {
	rows, err := q.Query(ctx, `SELECT count(*) FROM neuronx.tenant_events WHERE tenant_id = $1 AND sequence BETWEEN $2 AND $3`, tenant, from, through)
	return postgres.CollectOne(rows, err, readArchive, pgx.RowTo[int64])
}

// Span is a range of sequences, both ends included.
type Span struct{ From, Through int64 }

// Holes returns the sequences from from to through, both included, that the archive of a tenant lacks: the lowest spans, at most limit.
func Holes(ctx context.Context, q Querier, tenant string, from, through int64, limit int) ([]Span, error) {
	rows, err := q.Query(ctx, `SELECT before + 1, sequence - 1 FROM (
			SELECT sequence, lag(sequence, 1, $2::bigint - 1) OVER (ORDER BY sequence) AS before
			  FROM (SELECT sequence FROM neuronx.tenant_events WHERE tenant_id = $1 AND sequence BETWEEN $2 AND $3 UNION ALL SELECT $3::bigint + 1) x) y
		WHERE sequence > before + 1 ORDER BY 1 LIMIT $4`, tenant, from, through, limit)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Span])
}

// Top is the upper end of a tenant's archive.
type Top struct {
	Sequence int64 // the highest one; 0 if nothing is archived
	Damaged  int64 // of the newest ten events, those whose hash is not that of their bytes
}

// TopOf looks at the upper end of a tenant's archive. To compare it with the archiver's row, ask for both in one transaction of the
// isolation level REPEATABLE READ: the archiver moves both together.
func TopOf(ctx context.Context, q Querier, tenant string) (Top, error) {
	rows, err := q.Query(ctx, `SELECT coalesce((SELECT max(sequence) FROM neuronx.tenant_events WHERE tenant_id = $1), 0),
		(SELECT count(*) FROM (SELECT hash, payload FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 10) x WHERE hash <> sha256(payload))`, tenant)
	return postgres.CollectOne(rows, err, readArchive, pgx.RowToStructByPos[Top])
}

// Head is the newest archived event of a tenant.
type Head struct {
	Tenant    string
	Partition int32 // of the log, where the event was read
	Sequence  int64
	EventID   string
	LogID     string
}

// Heads returns where the archives of some tenants end, or of all if none is named, ordered by tenant; a tenant of which nothing is
// archived is left out. Only neuronx_ops and its owner may.
func Heads(ctx context.Context, q Querier, tenants ...string) ([]Head, error) {
	rows, err := q.Query(ctx, `SELECT l.tenant_id, e.log_partition, e.sequence, e.event_id, e.log_id FROM neuronx.tenant_leaves l
		CROSS JOIN LATERAL (SELECT * FROM neuronx.tenant_events e WHERE e.tenant_id = l.tenant_id ORDER BY sequence DESC LIMIT 1) e
		WHERE coalesce(cardinality($1::text[]), 0) = 0 OR l.tenant_id = ANY($1) ORDER BY 1`, tenants)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Head])
}

// Name is the id of the event under a sequence of a tenant, and the log that it was read from.
type Name struct {
	Tenant   string
	Sequence int64
	EventID  string
	LogID    string
}

// NamesAt returns the names of events, as far as they are archived; tenants and sequences are pairs.
func NamesAt(ctx context.Context, q Querier, tenants []string, sequences []int64) ([]Name, error) {
	rows, err := q.Query(ctx, `SELECT e.tenant_id, e.sequence, e.event_id, e.log_id FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::bigint[]) v (tenant_id, sequence)) v
		CROSS JOIN LATERAL (SELECT * FROM neuronx.tenant_events e WHERE e.tenant_id = v.tenant_id AND e.sequence = v.sequence) e`, tenants, sequences)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Name])
}

// Told is what an event is, without its data.
type Told struct {
	Sequence     int64
	EventID      string
	Type         string
	Time         *time.Time // nil: the event has none
	RecordedTime time.Time
}

// ToldAt says what the tenant's events of some sequences are, as far as they are there, in the order of the log.
func ToldAt(ctx context.Context, q Querier, tenant string, sequences []int64) ([]Told, error) {
	rows, err := q.Query(ctx, `SELECT sequence, event_id, event_type, occurred_at, recorded_at FROM neuronx.tenant_events
		WHERE tenant_id = $1 AND sequence = ANY($2) ORDER BY sequence`, tenant, sequences)
	return postgres.Collect(rows, err, readArchive, pgx.RowToStructByPos[Told])
}
