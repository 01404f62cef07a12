package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/postgres"
)

// one makes a check with one result look like those with many.
func one(check func(context.Context) Finding) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding { return []Finding{check(ctx)} }
}

// checkSafety names every setting of topics and brokers under which data is lost.
func checkSafety(ctx context.Context, cfg kafka.Config, laptop bool) []Finding {
	found, err := topology.Findings(ctx, cfg, laptop, true)
	topicsSeen := err == nil
	if kafka.Unauthorized(err) { // of the topics, or only of the brokers' own settings?
		var hidden error
		found, hidden = topology.Findings(ctx, cfg, laptop, false)
		topicsSeen = hidden == nil
	}
	out := make([]Finding, 0, len(found)+1)
	for _, f := range found {
		out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("%s: %s is %s, not %s: %s", f.Where, f.Setting, f.Value, f.Want, f.Why), Next: f.Repair})
	}
	switch {
	case topicsSeen && len(found) == 0 && err != nil:
		out = append(out, Finding{Result: OK, Detail: "the topics are as declared"})
	case topicsSeen && len(found) == 0:
		out = append(out, Finding{Result: OK, Detail: "as declared"})
	}
	switch {
	case topicsSeen && err != nil:
		f := unseen(err, "the ACL DescribeConfigs on the cluster")
		f.Detail = "the brokers' own settings: " + f.Detail
		out = append(out, f)
	case err != nil:
		out = append(out, unseen(err, "the ACL DescribeConfigs on the cluster and on the topics"))
	}
	return out
}

// brokerVersions judges what the brokers' protocols are taken for. Below 4.1 a new cluster has no eligible leader replicas by default
// (KIP-966): the last replica standing may be one that lost its page cache.
func brokerVersions(address string, versions map[int32]string) Finding {
	distinct := map[string]bool{}
	old := false
	for _, v := range versions {
		distinct[v] = true
		var major, minor int
		if _, err := fmt.Sscanf(v, "v%d.%d", &major, &minor); err == nil && (major < 4 || major == 4 && minor < 1) {
			old = true
		}
	}
	names := slices.Sorted(maps.Keys(distinct))
	f := Finding{Result: OK, Detail: fmt.Sprintf("%s, %d brokers, %s", address, len(versions), strings.Join(names, " and "))}
	switch {
	case old:
		f.Result, f.Next = Warn, "use Kafka 4.1 or newer, or kafka-features.sh upgrade --feature eligible.leader.replicas.version=1"
	case len(names) > 1:
		f.Result, f.Next = Warn, "finish the upgrade: the brokers differ"
	}
	return f
}

// durability are settings of Postgres that make COMMIT a promise which a crash breaks, with what is lost.
var durability = []struct{ setting, bad, why string }{
	{"fsync", "off", "a crash of the machine corrupts the cluster: archive, progress and ledger"},
	{"synchronous_commit", "off", "a crash loses commits that were answered: an effect that was sent may be sent again"},
	{"full_page_writes", "off", "a crash in the middle of a page's write leaves it torn"},
}

func checkDurability(ctx context.Context, pool *pgxpool.Pool, laptop bool) []Finding {
	have := map[string]string{}
	for _, d := range durability {
		var v string
		if err := pool.QueryRow(ctx, `SELECT current_setting($1)`, d.setting).Scan(&v); err != nil {
			return []Finding{fail(err, "")}
		}
		have[d.setting] = v
	}
	return durable(have, laptop)
}

// durable judges the settings; it is pure. A laptop is only warned.
func durable(have map[string]string, laptop bool) []Finding {
	var out []Finding
	for _, d := range durability {
		if have[d.setting] != d.bad {
			continue
		}
		f := Finding{Result: Failed, Detail: d.setting + " is " + d.bad + ": " + d.why, Next: "ALTER SYSTEM SET " + d.setting + " = on; SELECT pg_reload_conf()"}
		if laptop {
			f.Result = Warn
		}
		out = append(out, f)
	}
	return orOK(out, "fsync, synchronous_commit and full_page_writes are on")
}

// wall is one breach of what keeps tenants apart.
type wall struct{ what, name string }

const wallQuery = `SELECT 'security is not forced on', n.nspname || '.' || r.relname FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
	WHERE n.nspname IN ('neuronx', 'projection') AND r.relkind IN ('r', 'p') AND r.relname NOT LIKE '%goose%' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)
	UNION ALL SELECT 'is not bound by row-level security:', rolname FROM pg_roles WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls)
	UNION ALL SELECT 'may make or change roles or databases:', rolname FROM pg_roles WHERE rolname = ANY($1) AND (rolcreaterole OR rolcreatedb OR rolreplication)
	UNION ALL SELECT 'owns tables, and can take their walls down:', rolname FROM pg_roles o WHERE rolname = ANY($1)
		AND EXISTS (SELECT 1 FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE n.nspname IN ('neuronx', 'projection', 'read') AND r.relowner = o.oid)
	UNION ALL SELECT 'can log in, and must not:', rolname FROM pg_roles WHERE rolname = $2 AND rolcanlogin
	UNION ALL SELECT 'a role is missing:', w FROM unnest($1 || $2::text) w WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = w)
	ORDER BY 1, 2`

// checkWalls looks whether tenants are kept apart by Postgres itself.
func checkWalls(ctx context.Context, pool *pgxpool.Pool) []Finding {
	rows, err := pool.Query(ctx, wallQuery, postgres.Roles(), postgres.RoleOwner)
	var broken []wall
	if err == nil {
		broken, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (w wall, err error) { return w, r.Scan(&w.what, &w.name) })
	}
	if err != nil {
		return []Finding{fail(err, "")}
	}
	out := make([]Finding, 0, len(broken)+1)
	for _, w := range broken {
		out = append(out, Finding{Result: Failed, Detail: w.what + " " + w.name,
			Next: "as the database's owner take it back; `neuronx provision --execute` makes missing roles"})
	}
	return orOK(out, "security is forced on every table, and no service's role stands above it")
}
