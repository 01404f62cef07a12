package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/projector"
)

// controlHas is how far the shown generation of a tenant's control feed is, for a query that names the tenant's row x. A row's own sequence
// says nothing: who forged the row wrote that, too.
var controlHas = `coalesce(` + projector.ShownSequence(projector.FeedControl, "x.tenant_id") + `, 9223372036854775807)`

// A forgery is a row that says what the tenant's stream does not say: somebody wrote it with the password of the service that owns the
// table. Only tables of which something is believed are looked at. What is not archived yet can't be compared and is left for the next look,
// unless the archiver has caught up. Each query gives the tenant and the name of what differs.
var forgeries = []struct{ what, next, query string }{
	{"API key without its tenant.key_issued, or changed or revoked since", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT x.tenant_id, 'key ' || x.key_id FROM neuronx.api_keys x WHERE NOT EXISTS (
			SELECT FROM ` + archive.EventsOf("x.tenant_id") + ` e WHERE e.subject = 'tenant/' || x.tenant_id AND e.event_type = 'tenant.key_issued'
			   AND e.data->>'key_id' = x.key_id AND e.data->>'secret_sha256' = x.secret_sha256
			   AND to_jsonb(x.scopes) = e.data->'scopes' AND x.expires_at IS NOT DISTINCT FROM
			   CASE e.event_type WHEN 'tenant.key_issued' THEN (e.data->>'expires_at')::timestamptz END)
		OR x.revoked_at IS NULL AND EXISTS (
			SELECT FROM ` + archive.EventsOf("x.tenant_id") + ` e WHERE e.subject = 'tenant/' || x.tenant_id AND e.event_type = 'tenant.key_revoked'
			   AND e.data->>'key_id' = x.key_id AND e.sequence <= ` + controlHas + `)`},
	{"API key that was issued and is missing, or counts as revoked and is not", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT t.tenant_id, 'key ' || (e.data->>'key_id') FROM neuronx.tenants t JOIN LATERAL ` + archive.EventsOf("t.tenant_id") + ` e
			ON e.subject = 'tenant/' || t.tenant_id AND e.event_type = 'tenant.key_issued'
		LEFT JOIN neuronx.api_keys k ON k.tenant_id = t.tenant_id AND k.key_id = e.data->>'key_id'
		WHERE e.sequence <= ` + projector.ShownSequence(projector.FeedControl, "t.tenant_id") + `
		AND (k.key_id IS NULL OR k.revoked_at IS NOT NULL AND NOT EXISTS (SELECT FROM ` + archive.EventsOf("t.tenant_id") + ` r
			WHERE r.subject = 'tenant/' || t.tenant_id AND r.event_type = 'tenant.key_revoked' AND r.data->>'key_id' = k.key_id))`},
	{"tenant whose status is not what its stream says", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT x.tenant_id, 'status ' || coalesce(x.status, 'none') FROM neuronx.tenants x LEFT JOIN LATERAL (
			SELECT e.event_type FROM ` + archive.EventsOf("x.tenant_id") + ` e WHERE e.subject = 'tenant/' || x.tenant_id AND e.sequence <= ` + controlHas + `
			   AND e.event_type IN ('tenant.created', 'tenant.suspended', 'tenant.resumed') ORDER BY e.sequence DESC LIMIT 1) e ON true
		WHERE (x.status = 'suspended') <> (coalesce(e.event_type, '') = 'tenant.suspended') OR e.event_type IS NULL`},
	{"skip that no event tells of", "change the password of neuronx_ops, delete the row of neuronx.skips as a superuser, and reset the consumer (docs/replay.md)",
		`SELECT s.tenant_id, s.consumer || ' at sequence ' || s.sequence FROM neuronx.skips s WHERE s.skipped_at < now() - interval '1 minute' AND NOT EXISTS (
			SELECT FROM ` + archive.EventsOf("s.tenant_id") + ` e WHERE e.event_type = 'engine.projection.skipped' AND e.subject = 'projection/' || s.consumer
			   AND e.data->>'projection' = s.consumer AND e.data->>'skipped_sequence' = s.sequence::text)`},
	{"bundle of rules that was not published so", "reset the rules service (docs/replay.md), and change the password of neuronx_rules",
		`SELECT b.tenant_id, 'bundle ' || b.version || ' at sequence ' || b.sequence FROM neuronx.rule_bundles b
		WHERE NOT EXISTS (SELECT FROM ` + archive.EventsOf("b.tenant_id") + ` e WHERE e.sequence = b.sequence AND e.event_type = 'rules.published'
			AND e.event_id = b.event_id AND e.data->>'hash' = b.hash AND (e.data->>'version')::bigint = b.version AND e.data->'files' = (
				SELECT jsonb_agg(jsonb_build_object('name', coalesce(f->>'name', f->>'Name'), 'text', coalesce(f->>'text', f->>'Text')) ORDER BY i)
				  FROM jsonb_array_elements(b.files::jsonb) WITH ORDINALITY x(f, i)))`},
	{"CRM connection that was not recorded so", "neuronx crm connect again, and change the password of neuronx_gohighlevel",
		`SELECT c.tenant_id, c.adapter || ' ' || c.location FROM neuronx.crm_connections c LEFT JOIN LATERAL (
			SELECT e.data FROM ` + archive.EventsOf("c.tenant_id") + ` e WHERE e.subject = 'tenant/' || c.tenant_id AND e.event_type = 'tenant.crm_connected'
			   AND e.data->>'adapter' = c.adapter ORDER BY e.sequence DESC LIMIT 1) e ON true
		WHERE (coalesce(e.data->>'location', ''), coalesce(e.data->>'token', ''), coalesce(e.data->>'mode', 'off'), coalesce(e.data->>'base_url', ''))
			IS DISTINCT FROM (c.location, c.token, c.mode, c.base_url)`}, // a tenant that was suspended before its first connection has a row that connects nothing
	{"decision about a dead letter that no event tells of", "neuronx deadletter list, and change the password of neuronx_archiver",
		`SELECT d.tenant_id, d.kind || ' ' || d.topic || '/' || d.partition || '/' || d."offset" FROM neuronx.dead_letter_decisions d
		WHERE d.tenant_id IS NOT NULL AND NOT EXISTS (SELECT FROM ` + archive.EventsOf("d.tenant_id") + ` e WHERE e.sequence = d.sequence
			AND (d.kind = 'admitted' AND e.event_id = d.redrive_id OR e.event_type = 'engine.dead_letter.' || d.kind
				AND (e.data->>'topic', e.data->>'partition', e.data->>'offset') = (d.topic, d.partition::text, d."offset"::text)))`},
}

// faults are states of outboxes that only a forgery or a loss explains.
var faults = []struct {
	fault      outbox.Fault
	what, next string
}{
	{outbox.Forbidden, "outbox row that was not sent because no process of the engine wrote it, or its deriver may not derive it", "see \"Who can do what with a stolen secret\" in docs/operations.md"},
	{outbox.Hole, "outbox with a hole, at which its deriver waits for ever", "see \"A hole in an outbox\" in docs/operations.md"},
	{outbox.Truncated, "outbox that lacks its last rows, at which its deriver waits for ever", "see \"A hole in an outbox\" in docs/operations.md"},
	{outbox.Unseen, "outbox whose rows are not seen in the log", "is ingest running, and may this deriver write? See \"A hole in an outbox\" in docs/operations.md"},
	{outbox.Below, "number of an outbox that is below its rows", "see \"A hole in an outbox\" in docs/operations.md"},
}

// forgeryLimit is how many rows of a kind are named.
const forgeryLimit = 5

// checkForged compares what services keep in tables of their own with what the tenants' streams say.
func checkForged(ctx context.Context, pool *pgxpool.Pool) []Finding {
	behind, err := consumer.TenantsAhead(ctx, pool, kafka.GroupArchiver)
	if err != nil {
		return []Finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	var out []Finding
	tell := func(what, next string, found []outbox.Faulty) {
		for n, f := range found {
			told := Finding{Result: Failed, Detail: fmt.Sprintf("%s: %s, %s", what, f.Tenant, f.Detail), Next: next}
			if n >= forgeryLimit {
				told.Detail = what + ": and more"
			}
			if slices.Contains(behind, f.Tenant) {
				told.Result, told.Detail = Warn, told.Detail+" (the archive is behind; look again when it has caught up)"
			}
			out = append(out, told)
		}
	}
	for _, f := range forgeries {
		rows, err := pool.Query(ctx, `SELECT tenant_id, left(name, 200) FROM (`+f.query+`) f(tenant_id, name) ORDER BY 1, 2 LIMIT $1`, forgeryLimit+1)
		var found []outbox.Faulty
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[outbox.Faulty])
		}
		if err != nil {
			return append(out, fail(err, "doctor needs the role neuronx_ops"))
		}
		tell(f.what, f.next, found)
	}
	for _, f := range faults {
		found, err := outbox.FaultyOutboxes(ctx, pool, f.fault, forgeryLimit+1)
		if err != nil {
			return append(out, fail(err, "doctor needs the role neuronx_ops"))
		}
		tell(f.what, f.next, found)
	}
	return orOK(out, "keys, tenants, bundles, connections, decisions and outboxes are as the streams say")
}
