package doctor

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// controlHas is how far the shown generation of a tenant's control feed is, for a query that names the tenant's row x. A row's own sequence
// says nothing: whoever forged the row wrote that, too.
const controlHas = `(SELECT coalesce(max(p.sequence), 9223372036854775807) FROM neuronx.progress p JOIN projection.active g ON g.tenant_id = p.tenant_id AND g.feed = 'control'
	AND g.generation = p.generation WHERE p.consumer = 'neuronx.projector.control' AND p.tenant_id = x.tenant_id)`

// A forgery is a row that says what the tenant's stream does not say: somebody wrote it with the password of the service that owns the
// table. Only tables of which something is believed are looked at. What is not archived yet can't be compared and is left for the next look,
// unless the archiver has caught up. Each query gives the tenant and the name of what differs.
var forgeries = []struct{ what, next, query string }{
	{"API key without its tenant.key_issued, or changed or revoked since", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT x.tenant_id, 'key ' || x.key_id FROM neuronx.api_keys x WHERE NOT EXISTS (
			SELECT FROM neuronx.tenant_events e WHERE e.tenant_id = x.tenant_id AND e.subject = 'tenant/' || x.tenant_id AND e.event_type = 'tenant.key_issued'
			   AND e.data->>'key_id' = x.key_id AND e.data->>'secret_sha256' = x.secret_sha256
			   AND to_jsonb(x.scopes) = e.data->'scopes' AND x.expires_at IS NOT DISTINCT FROM
			   CASE e.event_type WHEN 'tenant.key_issued' THEN (e.data->>'expires_at')::timestamptz END)
		OR x.revoked_at IS NULL AND EXISTS (
			SELECT FROM neuronx.tenant_events e WHERE e.tenant_id = x.tenant_id AND e.subject = 'tenant/' || x.tenant_id AND e.event_type = 'tenant.key_revoked'
			   AND e.data->>'key_id' = x.key_id AND e.sequence <= ` + controlHas + `)`},
	{"API key that was issued and is missing, or counts as revoked and is not", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT t.tenant_id, 'key ' || (e.data->>'key_id') FROM neuronx.tenants t JOIN neuronx.tenant_events e
			ON e.tenant_id = t.tenant_id AND e.subject = 'tenant/' || t.tenant_id AND e.event_type = 'tenant.key_issued'
		JOIN projection.active g ON g.tenant_id = t.tenant_id AND g.feed = 'control' LEFT JOIN neuronx.api_keys k ON k.tenant_id = t.tenant_id AND k.key_id = e.data->>'key_id'
		WHERE e.sequence <= (SELECT max(p.sequence) FROM neuronx.progress p WHERE p.consumer = 'neuronx.projector.control' AND p.tenant_id = t.tenant_id AND p.generation = g.generation)
		AND (k.key_id IS NULL OR k.revoked_at IS NOT NULL AND NOT EXISTS (SELECT FROM neuronx.tenant_events r WHERE r.tenant_id = t.tenant_id
			AND r.subject = 'tenant/' || t.tenant_id AND r.event_type = 'tenant.key_revoked' AND r.data->>'key_id' = k.key_id))`},
	{"tenant whose status is not what its stream says", "reset the projector (docs/replay.md), and change the password of neuronx_projector",
		`SELECT x.tenant_id, 'status ' || coalesce(x.status, 'none') FROM neuronx.tenants x LEFT JOIN LATERAL (
			SELECT e.event_type FROM neuronx.tenant_events e WHERE e.tenant_id = x.tenant_id AND e.subject = 'tenant/' || x.tenant_id AND e.sequence <= ` + controlHas + `
			   AND e.event_type IN ('tenant.created', 'tenant.suspended', 'tenant.resumed') ORDER BY e.sequence DESC LIMIT 1) e ON true
		WHERE (x.status = 'suspended') <> (coalesce(e.event_type, '') = 'tenant.suspended') OR e.event_type IS NULL`},
	{"skip that no event tells of", "change the password of neuronx_ops, delete the row of neuronx.skips as a superuser, and reset the consumer (docs/replay.md)",
		`SELECT s.tenant_id, s.consumer || ' at sequence ' || s.sequence FROM neuronx.skips s WHERE s.skipped_at < now() - interval '1 minute' AND NOT EXISTS (
			SELECT FROM neuronx.tenant_events e WHERE e.tenant_id = s.tenant_id AND e.event_type = 'engine.projection.skipped' AND e.subject = 'projection/' || s.consumer
			   AND e.data->>'projection' = s.consumer AND e.data->>'skipped_sequence' = s.sequence::text)`},
	{"bundle of rules that was not published so", "reset the rules service (docs/replay.md), and change the password of neuronx_rules",
		`SELECT b.tenant_id, 'bundle ' || b.version || ' at sequence ' || b.sequence FROM neuronx.rule_bundles b
		WHERE NOT EXISTS (SELECT FROM neuronx.tenant_events e WHERE e.tenant_id = b.tenant_id AND e.sequence = b.sequence AND e.event_type = 'rules.published'
			AND e.event_id = b.event_id AND e.data->>'hash' = b.hash AND (e.data->>'version')::bigint = b.version AND e.data->'files' = (
				SELECT jsonb_agg(jsonb_build_object('name', coalesce(f->>'name', f->>'Name'), 'text', coalesce(f->>'text', f->>'Text')) ORDER BY i)
				  FROM jsonb_array_elements(b.files::jsonb) WITH ORDINALITY x(f, i)))`},
	{"CRM connection that was not recorded so", "neuronx tenant connect-crm again, and change the password of neuronx_gohighlevel",
		`SELECT c.tenant_id, c.adapter || ' ' || c.location FROM neuronx.crm_connections c LEFT JOIN LATERAL (
			SELECT e.data FROM neuronx.tenant_events e WHERE e.tenant_id = c.tenant_id AND e.subject = 'tenant/' || c.tenant_id AND e.event_type = 'tenant.crm_connected'
			   AND e.data->>'adapter' = c.adapter ORDER BY e.sequence DESC LIMIT 1) e ON true
		WHERE (e.data->>'location', e.data->>'token', e.data->>'mode', coalesce(e.data->>'base_url', '')) IS DISTINCT FROM (c.location, c.token, c.mode, c.base_url)`},
	{"decision about a dead letter that no event tells of", "neuronx deadletter list, and change the password of neuronx_archiver",
		`SELECT d.tenant_id, d.kind || ' ' || d.topic || '/' || d.partition || '/' || d."offset" FROM neuronx.dead_letter_decisions d
		WHERE d.tenant_id IS NOT NULL AND NOT EXISTS (SELECT FROM neuronx.tenant_events e WHERE e.tenant_id = d.tenant_id AND e.sequence = d.sequence
			AND (d.kind = 'admitted' AND e.event_id = d.redrive_id OR e.event_type = 'engine.dead_letter.' || d.kind
				AND (e.data->>'topic', e.data->>'partition', e.data->>'offset') = (d.topic, d.partition::text, d."offset"::text)))`},
	{"outbox row that was not sent because no process of the engine wrote it, or its deriver may not derive it", "see \"Who can do what with a stolen secret\" in docs/operations.md",
		`SELECT tenant_id, deriver || ' ' || number || ': ' || reason FROM neuronx.outbox_forbidden WHERE found_at > now() - interval '7 days'`},
	{"outbox with a hole, at which its deriver waits for ever", "see \"A hole in an outbox\" in docs/operations.md",
		`SELECT tenant_id, deriver || ' between ' || min(number) || ' and ' || max(number) FROM neuronx.outbox GROUP BY tenant_id, deriver
		HAVING max(number) - min(number) + 1 > count(*) AND min(created_at) < now() - interval '1 minute'`},
	{"outbox that lacks its last rows, at which its deriver waits for ever", "see \"A hole in an outbox\" in docs/operations.md",
		`SELECT n.tenant_id, n.deriver || ' from ' || max(o.number) + 1 || ' to ' || n.last FROM neuronx.outbox_numbers n JOIN neuronx.outbox o USING (tenant_id, deriver)
		GROUP BY n.tenant_id, n.deriver, n.last HAVING n.last > max(o.number) AND min(o.created_at) < now() - interval '1 minute'`},
	{"outbox whose rows are not seen in the log", "is ingest running, and may this deriver write? See \"A hole in an outbox\" in docs/operations.md",
		`SELECT tenant_id, deriver || ' from ' || min(number) || ' on, for ' || date_trunc('second', now() - min(created_at)) FROM neuronx.outbox
		GROUP BY tenant_id, deriver HAVING min(created_at) < now() - interval '5 minutes' OR min(created_at) > now() + interval '5 minutes'`},
	{"number of an outbox that is below its rows", "see \"A hole in an outbox\" in docs/operations.md",
		`SELECT o.tenant_id, o.deriver || ' ' || max(o.number) FROM neuronx.outbox o LEFT JOIN neuronx.outbox_numbers n USING (tenant_id, deriver)
		GROUP BY o.tenant_id, o.deriver, n.last HAVING coalesce(n.last, 0) < max(o.number)`},
}

// forgeryLimit is how many rows of a kind are named.
const forgeryLimit = 5

// checkForged compares what services keep in tables of their own with what the tenants' streams say.
func (x *examination) checkForged(ctx context.Context) []Finding {
	pool, err := x.env.Pool(ctx)
	if err != nil {
		return []Finding{fail(err, "")}
	}
	var behind []string
	rows, err := pool.Query(ctx, `SELECT DISTINCT p.tenant_id FROM neuronx.progress p LEFT JOIN neuronx.progress a
		ON a.consumer = 'neuronx.archiver' AND a.tenant_id = p.tenant_id WHERE p.state <> 'retired' AND p.sequence > coalesce(a.sequence, 0) ORDER BY 1`)
	if err == nil {
		behind, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return []Finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	waits := map[string]bool{}
	for _, t := range behind {
		waits[t] = true
	}
	var out []Finding
	for _, f := range forgeries {
		rows, err := pool.Query(ctx, `SELECT tenant_id, left(name, 200) FROM (`+f.query+`) f(tenant_id, name) ORDER BY 1, 2 LIMIT $1`, forgeryLimit+1)
		if err != nil {
			return append(out, fail(err, "doctor needs the role neuronx_ops"))
		}
		var tenant, name string
		n := 0
		if _, err := pgx.ForEachRow(rows, []any{&tenant, &name}, func() error {
			found := Finding{Result: Failed, Detail: fmt.Sprintf("%s: %s, %s", f.what, tenant, name), Next: f.next}
			if n++; n > forgeryLimit {
				found.Detail = f.what + ": and more"
			}
			if waits[tenant] {
				found.Result, found.Detail = Warn, found.Detail+" (the archive is behind; look again when it has caught up)"
			}
			out = append(out, found)
			return nil
		}); err != nil {
			return append(out, fail(err, "doctor needs the role neuronx_ops"))
		}
	}
	if len(out) == 0 {
		out = append(out, Finding{Result: OK, Detail: "keys, tenants, bundles, connections, decisions and outboxes are as the streams say"})
	}
	return out
}
