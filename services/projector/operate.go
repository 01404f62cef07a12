package projector

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// rowNames are the consumers of the feeds' rows, in the order of Feeds.
func rowNames() (names []string) {
	for _, feed := range Feeds() {
		names = append(names, consumer.RowName(kafka.GroupProjector, feed))
	}
	return names
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Shown returns the state, the sequence, what was seen and the reason of the generation of a feed that is shown of a tenant; ok is false if
// none is. The role is neuronx_ops.
func Shown(ctx context.Context, q querier, tenant, feed string) (r consumer.Row, ok bool, err error) {
	rows, err := q.Query(ctx, `SELECT p.state, p.sequence, p.seen, p.reason FROM projection.active a
		JOIN `+consumer.ProgressOf("$1")+` p ON p.tenant_id = a.tenant_id AND p.generation = a.generation WHERE a.feed = $3 AND a.tenant_id = $2`,
		consumer.RowName(kafka.GroupProjector, feed), tenant, feed)
	if err != nil {
		return r, false, fmt.Errorf("read which generation is shown: %w", err)
	}
	r, err = pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (r consumer.Row, err error) {
		return r, row.Scan(&r.State, &r.Sequence, &r.Seen, &r.Reason)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read which generation is shown: %w", err)
	}
	return r, true, nil
}

// RowsOf names the read models that have a row a subject of a kind, such as read.leads of lead.
func RowsOf(kind string) (views []string, _ error) {
	specs, err := fold.Declared()
	if err != nil {
		return nil, fmt.Errorf("read projections: %w", err)
	}
	for _, s := range specs {
		if s.Subject == kind && kind != "" {
			views = append(views, s.Schema+"."+s.Table)
		}
	}
	return views, nil
}

// ShownSequence is an SQL expression for the sequence of the generation of a feed that is shown of a tenant; NULL if none is. tenant is an
// SQL expression, too.
func ShownSequence(feed, tenant string) string {
	return `(SELECT max(p.sequence) FROM projection.active g JOIN ` + consumer.ProgressOf(`'`+consumer.RowName(kafka.GroupProjector, feed)+`'`) + ` p
		ON p.tenant_id = g.tenant_id AND p.generation = g.generation WHERE g.tenant_id = ` + tenant + ` AND g.feed = '` + feed + `')`
}

// Generation is one generation of the read models of a tenant and a feed, as tools show it.
type Generation struct {
	Tenant     string `json:"tenant_id"`
	Feed       string `json:"feed"` // control: tenants and keys; main: the read models
	Generation int64  `json:"generation"`
	Active     bool   `json:"active"`
	State      string `json:"state"`
	Sequence   string `json:"sequence"` // that was applied last; a stalled one is stalled at the next
	Reason     string `json:"reason,omitempty"`
	Untouched  string `json:"untouched,omitempty"` // events left out, by projection and reason
	Definition string `json:"definition"`          // that built it; mixed: several did; empty: not known
	Newest     bool   `json:"newest_definition"`   // it is the newest one that a build came with
	Origin     string `json:"origin,omitempty"`    // what it was made for; empty: the tenant's first event
}

// Generations returns at most limit generations of a tenant and in a state, ordered by tenant, feed and generation; an empty one means any.
// The role is neuronx_ops.
func Generations(ctx context.Context, q querier, tenant string, state consumer.State, limit int) ([]Generation, error) {
	rows, err := q.Query(ctx, `SELECT p.tenant_id, f.feed, p.generation, coalesce(a.generation = p.generation, false), p.state, p.sequence::text, p.reason,
			(SELECT coalesce(string_agg(u.projection || ' ' || u.reason || ' ' || u.events, ', ' ORDER BY u.projection, u.reason), '')
				FROM projection.untouched u WHERE u.tenant_id = p.tenant_id AND u.feed = f.feed AND u.generation = p.generation),
			coalesce(p.definition, ''), coalesce(p.definition = `+consumer.NewestOf("f.consumer")+`, false), p.origin
		FROM unnest($3::text[], $4::text[]) AS f (consumer, feed) CROSS JOIN LATERAL `+consumer.ProgressOf("f.consumer")+` p
		LEFT JOIN projection.active a ON a.tenant_id = p.tenant_id AND a.feed = f.feed
		WHERE ($1 = '' OR p.tenant_id = $1) AND ($2 = '' OR p.state = $2)
		ORDER BY p.tenant_id, f.feed, p.generation LIMIT $5`, tenant, string(state), rowNames(), Feeds(), limit)
	return postgres.Collect(rows, err, "list projections", pgx.RowToStructByPos[Generation])
}

// Rebuild is the read models of one feed that are being built again for one reason, or that wait for that.
type Rebuild struct {
	Consumer string `json:"consumer"`
	Why      string `json:"why"`
	Tenants  int64  `json:"tenants"`
	Building bool   `json:"building"` // false: no generation is being built yet
}

// Rebuilds counts the generations above the one that is shown, by what they were made for, and the tenants whose shown tables are not of the
// newest definition and have none above: at most 100 rows, ordered by consumer. The role is neuronx_ops.
func Rebuilds(ctx context.Context, q querier) ([]Rebuild, error) {
	rows, err := q.Query(ctx, `WITH feeds AS (SELECT consumer, feed, `+consumer.NewestOf("f.consumer")+` AS newest FROM unnest($1::text[], $2::text[]) AS f (consumer, feed)),
		shown AS (SELECT f.consumer, f.newest, p.tenant_id, p.generation, p.definition, p.sequence FROM feeds f JOIN projection.active a ON a.feed = f.feed
			JOIN LATERAL `+consumer.ProgressOf("f.consumer")+` p ON p.tenant_id = a.tenant_id AND p.generation = a.generation WHERE f.newest IS NOT NULL)
		SELECT s.consumer, CASE WHEN b.generation IS NOT NULL THEN coalesce(nullif(regexp_replace(b.origin, ' over [0-9]+$', ''), ''), 'a reason that is not known')
				WHEN s.definition IS NULL THEN 'a definition that is not known' WHEN s.definition = 'mixed' THEN 'more than one definition' ELSE 'definition ' || s.definition END, count(DISTINCT s.tenant_id), b.generation IS NOT NULL
		FROM shown s LEFT JOIN LATERAL `+consumer.ProgressOf("s.consumer")+` b ON b.tenant_id = s.tenant_id AND b.generation > s.generation AND b.state = 'catching-up'
		WHERE b.generation IS NOT NULL OR s.sequence > 0 AND s.definition IS DISTINCT FROM s.newest
		GROUP BY 1, 2, 4 ORDER BY 1, 4 DESC, 2 LIMIT 100`, rowNames(), Feeds())
	return postgres.Collect(rows, err, "list rebuilds", pgx.RowToStructByPos[Rebuild])
}
