package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// The tables of consumers are named in SQL by this package alone; what others ask of them is asked here. The role must see the rows:
// neuronx_ops sees all, a service those of its own consumer.

// ProgressOf is the rows of one consumer as an item of a FROM clause, for a statement that joins them with tables of another owner, such as
// the generation of a tenant's read models that is shown. consumer is an SQL expression, such as "$1"; the item needs an alias. Its columns
// are consumer, tenant_id, generation, partition, sequence, seen, event_id, log_id, state, reason, origin, updated_at and definition.
// Postgres plans it as it plans the table.
func ProgressOf(consumer string) string {
	return `(SELECT consumer, tenant_id, generation, partition, sequence, seen, event_id, log_id, state, reason, origin, updated_at, definition
		FROM neuronx.progress WHERE consumer = ` + consumer + `)`
}

// ResetsOf is the resets of a consumer as an item of a FROM clause; see ProgressOf. Its columns are reset_id and state.
func ResetsOf(consumer string) string {
	return `(SELECT reset_id, state FROM neuronx.resets WHERE consumer = ` + consumer + `)`
}

// NewestOf is an SQL expression for the newest definition of a consumer, NULL if it has none. consumer is an SQL expression, too.
func NewestOf(consumer string) string {
	return `(SELECT d.definition FROM neuronx.definitions d WHERE d.consumer = ` + consumer + ` ORDER BY d.n DESC LIMIT 1)`
}

// AllRows returns the rows of all consumers that are not retired, ordered by consumer, tenant and generation: those of some tenants, or all
// if none is named.
func AllRows(ctx context.Context, q querier, tenants ...string) ([]Row, error) {
	rows, err := q.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress
		WHERE state <> 'retired' AND (coalesce(cardinality($1::text[]), 0) = 0 OR tenant_id = ANY($1)) ORDER BY consumer, tenant_id, generation`, tenants)
	return postgres.Collect(rows, err, "list progress", scanRow)
}

// StalledRows returns the stalled rows of all consumers, ordered by tenant, consumer and generation, at most limit of them, and how many
// there are in all.
func StalledRows(ctx context.Context, q querier, limit int) (list []Row, all int, err error) {
	rows, err := q.Query(ctx, `SELECT `+rowColumns+`, count(*) OVER () FROM neuronx.progress WHERE state = 'stalled'
		ORDER BY tenant_id, consumer, generation LIMIT $1`, limit)
	list, err = postgres.Collect(rows, err, "list stalled tenants", func(row pgx.CollectableRow) (Row, error) { return scanRowAnd(row, &all) })
	return list, all, err
}

// Again reads rows again, in the same order. One that is gone counts as retired.
func Again(ctx context.Context, q querier, rows []Row) ([]Row, error) {
	var consumers, tenants []string
	var generations []int64
	now := make([]Row, len(rows))
	for i, r := range rows {
		consumers, tenants, generations = append(consumers, r.Consumer), append(tenants, r.TenantID), append(generations, r.Generation)
		now[i] = r
		now[i].State = Retired
	}
	found, err := q.Query(ctx, `SELECT `+rowColumns+`, n FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS v (consumer, tenant_id, generation, n)
		JOIN neuronx.progress USING (consumer, tenant_id, generation)`, consumers, tenants, generations)
	_, err = postgres.Collect(found, err, "read progress again", func(row pgx.CollectableRow) (Row, error) {
		var n int64
		r, err := scanRowAnd(row, &n)
		if err == nil {
			now[n-1] = r
		}
		return r, err
	})
	return now, err
}

// TenantStates counts the tenants of the directory and of all consumers by the worst state of any of their rows: each counts once. A
// retired generation is no state of a tenant; a tenant that no consumer has read yet is "new".
func TenantStates(ctx context.Context, q querier) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT state, count(*) FROM (
		SELECT t.tenant_id, CASE WHEN bool_or(p.state = 'stalled') THEN 'stalled' WHEN bool_or(p.state = 'catching-up') THEN 'catching-up'
			WHEN bool_or(p.state = 'live') THEN 'live' ELSE 'new' END AS state
		FROM (SELECT tenant_id FROM neuronx.progress UNION SELECT tenant_id FROM neuronx.tenants) t LEFT JOIN neuronx.progress p USING (tenant_id)
		GROUP BY t.tenant_id) each GROUP BY state`)
	out := map[string]int64{}
	_, err = postgres.Collect(rows, err, "count tenants by state", func(row pgx.CollectableRow) (n int64, err error) {
		var state string
		err = row.Scan(&state, &n)
		out[state] = n
		return n, err
	})
	return out, err
}

// Tenants lists the tenants that a consumer has rows of, retired ones included, sorted; an empty name means any consumer.
func Tenants(ctx context.Context, q querier, consumer string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT tenant_id FROM neuronx.progress WHERE $1 = '' OR consumer = $1 ORDER BY tenant_id`, consumer)
	return postgres.Collect(rows, err, "list tenants", pgx.RowTo[string])
}

// TenantsAhead lists the tenants of which another consumer has applied more than this one has, sorted.
func TenantsAhead(ctx context.Context, q querier, consumer string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT p.tenant_id FROM neuronx.progress p LEFT JOIN neuronx.progress a
		ON a.consumer = $1 AND a.tenant_id = p.tenant_id WHERE p.state <> 'retired' AND p.sequence > coalesce(a.sequence, 0) ORDER BY p.tenant_id`, consumer)
	return postgres.Collect(rows, err, "list tenants that are ahead of "+consumer, pgx.RowTo[string])
}

// Applied returns the last sequence of a tenant that a consumer has applied, in the generation that got furthest; 0 if there is none.
func Applied(ctx context.Context, q querier, consumer, tenant string) (int64, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(max(sequence), 0) FROM neuronx.progress WHERE consumer = $1 AND tenant_id = $2`, consumer, tenant)
	return postgres.CollectOne(rows, err, "read progress of "+tenant, pgx.RowTo[int64])
}

// Reach is how far a consumer is with a tenant, and how far any consumer is known to have read of it.
type Reach struct {
	Applied int64         // the last sequence that the consumer has applied
	Seen    int64         // the highest one that any consumer has applied or passed
	Idle    time.Duration // since the consumer's row moved, by Postgres's clock
	Known   bool          // false: the consumer has no row of the tenant, and Idle means nothing
}

// ReachOf compares a consumer with all others, for one tenant.
func ReachOf(ctx context.Context, q querier, consumer, tenant string) (Reach, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(max(sequence) FILTER (WHERE consumer = $2), 0), coalesce(max(greatest(sequence, seen)), 0),
			coalesce(extract(epoch FROM now() - max(updated_at) FILTER (WHERE consumer = $2)), 0)::float8, coalesce(bool_or(consumer = $2), false)
		FROM neuronx.progress WHERE tenant_id = $1 AND state <> 'retired'`, tenant, consumer)
	return postgres.CollectOne(rows, err, "read how far "+consumer+" is with "+tenant, func(row pgx.CollectableRow) (r Reach, err error) {
		var idle float64
		err = row.Scan(&r.Applied, &r.Seen, &idle, &r.Known)
		r.Idle = seconds(idle)
		return r, err
	})
}

// Offset is one row of neuronx.partition_progress.
type Offset struct {
	Consumer   string
	Generation int64
	Topic      string
	Partition  int32
	TopicID    uuid.UUID
	LogID      string
	Next       int64         // the offset that is read next
	Idle       time.Duration // since the row was written, by Postgres's clock
}

// Offsets returns where consumers read on in the partitions of a topic, ordered by consumer, topic, partition and generation. An empty name
// means any consumer, an empty topic any topic, no partition all. A partition of which nothing was read has no row.
func Offsets(ctx context.Context, q querier, consumer, topic string, partitions ...int32) ([]Offset, error) {
	rows, err := q.Query(ctx, `SELECT consumer, generation, topic, partition, topic_id, log_id, next_offset, extract(epoch FROM now() - updated_at)::float8
		FROM neuronx.partition_progress WHERE ($1 = '' OR consumer = $1) AND ($2 = '' OR topic = $2) AND (coalesce(cardinality($3::int[]), 0) = 0 OR partition = ANY($3))
		ORDER BY consumer, topic, partition, generation`, consumer, topic, partitions)
	return postgres.Collect(rows, err, "read offsets", func(row pgx.CollectableRow) (o Offset, err error) {
		var idle float64
		err = row.Scan(&o.Consumer, &o.Generation, &o.Topic, &o.Partition, &o.TopicID, &o.LogID, &o.Next, &idle)
		o.Idle = seconds(idle)
		return o, err
	})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
