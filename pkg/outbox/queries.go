package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// Waiting is what a deriver's outboxes hold, all tenants together.
type Waiting struct {
	Deriver string
	Rows    int64
	Oldest  float64 // age of the oldest row in seconds, by Postgres's clock
}

// AllWaiting returns what waits, ordered by deriver; a deriver of which nothing waits is left out. The role must see the rows: neuronx_ops
// sees all, a deriver's own role those of the deriver. So it is with each query here.
func AllWaiting(ctx context.Context, q Querier) ([]Waiting, error) {
	rows, err := q.Query(ctx, `SELECT deriver, count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
		FROM neuronx.outbox GROUP BY deriver ORDER BY deriver`)
	return postgres.Collect(rows, err, "count what waits in outboxes", pgx.RowToStructByPos[Waiting])
}

// Number is the last number that the outbox of a tenant and a deriver gave out.
type Number struct {
	Tenant, Deriver string
	Last            int64
}

// Numbers returns the last numbers of the outboxes of some tenants, or of all if none is named, ordered by tenant and deriver.
func Numbers(ctx context.Context, q Querier, tenants ...string) ([]Number, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, deriver, last FROM neuronx.outbox_numbers
		WHERE coalesce(cardinality($1::text[]), 0) = 0 OR tenant_id = ANY($1) ORDER BY tenant_id, deriver`, tenants)
	return postgres.Collect(rows, err, "list outboxes", pgx.RowToStructByPos[Number])
}

// Drained returns the last numbers of the outboxes that gave out some and in which nothing waits, ordered by tenant and deriver.
func Drained(ctx context.Context, q Querier) ([]Number, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, deriver, last FROM neuronx.outbox_numbers n WHERE last > 0
		AND NOT EXISTS (SELECT FROM neuronx.outbox o WHERE o.tenant_id = n.tenant_id AND o.deriver = n.deriver) ORDER BY tenant_id, deriver`)
	return postgres.Collect(rows, err, "list outboxes", pgx.RowToStructByPos[Number])
}

// Last is the last number that the outbox of a tenant and a deriver gave out; 0 if it gave out none.
func Last(ctx context.Context, q Querier, tenant, deriver string) (int64, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(max(last), 0) FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2`, tenant, deriver)
	return postgres.CollectOne(rows, err, "read the last number of "+deriver, pgx.RowTo[int64])
}

// IDs lists the ids of the events that wait in the outbox of a tenant and a deriver.
func IDs(ctx context.Context, q Querier, tenant, deriver string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT event_id FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2`, tenant, deriver)
	return postgres.Collect(rows, err, "look into the outbox", pgx.RowTo[string])
}

// Waits returns those of some event ids that wait in the outbox of a tenant and a deriver.
func Waits(ctx context.Context, q Querier, tenant, deriver string, ids ...string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT event_id FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND event_id = ANY($3)`, tenant, deriver, ids)
	return postgres.Collect(rows, err, "look into the outbox", pgx.RowTo[string])
}

// Fault is a kind of state that no outbox should be in.
type Fault int

// The faults.
const (
	Forbidden Fault = iota // a row was not sent in the last seven days: no process of the engine wrote it, or its deriver may not derive it
	Hole                   // a number between two rows has none, since more than a minute
	Truncated              // the last numbers that were given out have no row while others wait, since more than a minute
	Unseen                 // a row is older than five minutes, or from the future
	Below                  // the number that counts as given out last is below a row's
)

// faults select the tenant and a description of at most 200 characters.
var faults = map[Fault]string{
	Forbidden: `SELECT tenant_id, deriver || ' ' || number || ': ' || reason FROM neuronx.outbox_forbidden WHERE found_at > now() - interval '7 days'`,
	Hole: `SELECT tenant_id, deriver || ' between ' || min(number) || ' and ' || max(number) FROM neuronx.outbox GROUP BY tenant_id, deriver
		HAVING max(number) - min(number) + 1 > count(*) AND min(created_at) < now() - interval '1 minute'`,
	Truncated: `SELECT n.tenant_id, n.deriver || ' from ' || max(o.number) + 1 || ' to ' || n.last FROM neuronx.outbox_numbers n JOIN neuronx.outbox o USING (tenant_id, deriver)
		GROUP BY n.tenant_id, n.deriver, n.last HAVING n.last > max(o.number) AND min(o.created_at) < now() - interval '1 minute'`,
	Unseen: `SELECT tenant_id, deriver || ' from ' || min(number) || ' on, for ' || date_trunc('second', now() - min(created_at)) FROM neuronx.outbox
		GROUP BY tenant_id, deriver HAVING min(created_at) < now() - interval '5 minutes' OR min(created_at) > now() + interval '5 minutes'`,
	Below: `SELECT o.tenant_id, o.deriver || ' ' || max(o.number) FROM neuronx.outbox o LEFT JOIN neuronx.outbox_numbers n USING (tenant_id, deriver)
		GROUP BY o.tenant_id, o.deriver, n.last HAVING coalesce(n.last, 0) < max(o.number)`,
}

// Faulty is an outbox with a fault.
type Faulty struct{ Tenant, Detail string }

// FaultyOutboxes returns at most limit outboxes (of Forbidden, rows) that have a fault, ordered by tenant and detail.
func FaultyOutboxes(ctx context.Context, q Querier, f Fault, limit int) ([]Faulty, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, left(detail, 200) FROM (`+faults[f]+`) f(tenant_id, detail) ORDER BY 1, 2 LIMIT $1`, limit)
	return postgres.Collect(rows, err, "look for faults of outboxes", pgx.RowToStructByPos[Faulty])
}
