package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// engineRows are what a running engine with two tenants has in Postgres, as far as somebody would want to forge it.
const engineRows = `
TRUNCATE neuronx.tenant_events, neuronx.dead_letters, neuronx.dead_letter_decisions, neuronx.dead_letter_requests, neuronx.schemas, neuronx.progress, neuronx.partition_progress,
	neuronx.outbox, neuronx.outbox_numbers, neuronx.outbox_forbidden, neuronx.skips, neuronx.rule_bundles, neuronx.rule_state, neuronx.rule_health, neuronx.crm_connections, neuronx.effects, neuronx.effect_attempts,
	projection.active, projection.tenants, projection.api_keys, projection.leads;
SELECT neuronx.ensure_tenant('acme'), neuronx.ensure_tenant('beta');
INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data)
SELECT t, n, n, t || n, typ, CASE WHEN typ LIKE 'lead.%' THEN 'lead/1' WHEN typ = 'engine.projection.skipped' THEN 'projection/neuronx.rules' WHEN typ = 'rules.published' THEN 'rules/' || t ELSE 'tenant/' || t END, '/t', now(), '', '', 1, 'log', 0, n,
	sha256(convert_to(t || n, 'UTF8')), convert_to(t || n, 'UTF8'), data::jsonb FROM (VALUES
	('acme', 1, 'tenant.created', '{"name":"Acme"}'),
	('acme', 2, 'tenant.key_issued', '{"key_id":"k1","secret_sha256":"aa","scopes":["events:write"],"label":null,"expires_at":null}'),
	('acme', 3, 'rules.published', '{"version":1,"hash":"h1","semantics":1,"files":[{"name":"a.yaml","text":"x"}],"by":null}'),
	('acme', 4, 'tenant.crm_connected', '{"adapter":"gohighlevel","location":"loc","token":"secret://a@1","mode":"record","base_url":null}'),
	('acme', 5, 'lead.created', '{"lead_id":"1"}'),
	('acme', 6, 'engine.dead_letter.dropped', '{"topic":"neuronx.ingress","partition":0,"offset":7}'),
	('beta', 1, 'tenant.created', '{"name":"Beta"}'),
	('beta', 2, 'tenant.key_issued', '{"key_id":"k2","secret_sha256":"bb","scopes":["events:write"],"label":null,"expires_at":null}'),
	('beta', 3, 'tenant.key_revoked', '{"key_id":"k2","reason":null}'),
	('beta', 4, 'tenant.suspended', '{"reason":null}'),
	('beta', 5, 'tenant.key_issued', '{"key_id":"k4","secret_sha256":"dd","scopes":["events:write"],"label":null,"expires_at":"2027-03-01T02:03:04.000005Z"}'),
	('beta', 6, 'engine.projection.skipped', '{"projection":"neuronx.rules","generation":1,"skipped_sequence":5,"event_id":"beta5","reason":"x","by":null}')) v(t, n, typ, data);
INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state)
	SELECT c, 1, t, 0, n, t || n, 'log', 'live' FROM (VALUES ('neuronx.archiver'), ('neuronx.projector'), ('neuronx.projector.control'), ('neuronx.rules'), ('neuronx.gohighlevel')) c(c), (VALUES ('acme', 6), ('beta', 6)) t(t, n);
UPDATE neuronx.progress SET state = 'stalled', reason = 'x' WHERE consumer IN ('neuronx.archiver', 'neuronx.gohighlevel') AND tenant_id = 'beta';
INSERT INTO neuronx.skips (consumer, tenant_id, sequence, skipped_at) VALUES ('neuronx.rules', 'beta', 5, now() - interval '1 hour');
INSERT INTO neuronx.partition_progress SELECT c, 1, 'neuronx.events', 0, '00000000-0000-4000-8000-000000000000', 'log', 10 FROM (VALUES ('neuronx.archiver'), ('neuronx.projector'), ('neuronx.rules'), ('neuronx.gohighlevel')) c(c);
INSERT INTO projection.active SELECT (jsonb_populate_record(NULL::projection.active, jsonb_build_object('tenant_id', t, 'generation', 1, 'swapped_at', now(), 'feed', 'control'))).* FROM (VALUES ('acme'), ('beta')) v(t);
INSERT INTO projection.tenants (tenant_id, generation, id, name, status, sequence) VALUES ('acme', 1, 'acme', 'Acme', 'active', 1), ('beta', 1, 'beta', 'Beta', 'suspended', 4);
INSERT INTO projection.api_keys (tenant_id, generation, key_id, secret_sha256, scopes, revoked_at, expires_at, sequence) VALUES ('acme', 1, 'k1', 'aa', '{events:write}', NULL, NULL, 2),
	('beta', 1, 'k2', 'bb', '{events:write}', now(), NULL, 3), ('beta', 1, 'k4', 'dd', '{events:write}', NULL, '2027-03-01 02:03:04.000005+00', 5);
INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ('acme', 3, 'acme3', 1, 'h1', 1, '[{"Name":"a.yaml","Text":"x"}]', now());
INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('acme', 'gohighlevel', 'loc', 'secret://a@1', 'record', 4);
INSERT INTO neuronx.schemas (fingerprint, schema_id, schema) VALUES (sha256('x'), 1, '"string"');
INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number, recorded_at, letter_partition, letter_offset, headers, hash)
	VALUES ('neuronx.ingress', 0, 7, 'acme', 'invalid_body', '', 'bad', 'lead.created', '/t', '', '', 0, now(), 0, 0, '', sha256('x'));
INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, topic, partition, "offset", decided_at) VALUES ('acme', 6, 'dropped', 'neuronx.ingress', 0, 7, now());`

// forgeRig is an engine's database, and doctor.
type forgeRig struct {
	t      *testing.T
	db     *postgrestest.DB
	root   *pgxpool.Pool
	doctor *cli
	tables string // a query for what all tables hold, and what the catalogue says
}

func newForgeRig(t *testing.T) *forgeRig {
	t.Helper()
	db := postgrestest.New(t, provision.Migrations()...)
	// As provisioning does at every deployment; the copied template may be older than what it makes outside of migrations.
	if _, err := postgres.Migrate(t.Context(), db.AdminURL, provision.Migrations()...); err != nil {
		t.Fatal(err)
	}
	r := &forgeRig{t: t, db: db, root: db.Pool(t, "")}
	r.doctor = tool(map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}, io.Discard, io.Discard)
	t.Cleanup(r.doctor.env.Close)
	rows, err := r.root.Query(t.Context(), `SELECT format('SELECT %L AS part, md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text), '''')) AS sum FROM %s t', c.oid::regclass, c.oid::regclass)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('neuronx', 'projection') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, catalogue := range []string{
		`SELECT (schemaname, tablename, policyname, roles, cmd, qual, with_check)::text FROM pg_policies`,
		`SELECT (c.relname, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('neuronx', 'projection', 'read', 'public')`,
		`SELECT (tgrelid, tgname, tgenabled)::text FROM pg_trigger WHERE NOT tgisinternal`,
		`SELECT (p.oid, proname, proacl, prosrc)::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('neuronx', 'projection', 'read', 'public')`,
		`SELECT (rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin)::text FROM pg_roles WHERE rolname LIKE 'neuronx%'`,
		`SELECT (roleid, member)::text FROM pg_auth_members`,
		`SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'`,
		`SELECT oid::text FROM pg_largeobject_metadata`,
	} {
		parts = append(parts, `SELECT 'catalogue', md5(coalesce(string_agg(x, E'\n' ORDER BY x), '')) FROM (`+catalogue+`) q(x)`)
	}
	r.tables = `SELECT string_agg(part || ' ' || sum, E'\n' ORDER BY part, sum) FROM (` + strings.Join(parts, ` UNION ALL `) + `) parts`
	r.reset()
	return r
}

// reset makes the rows again, with three derived events that wait to be sent.
func (r *forgeRig) reset() {
	r.t.Helper()
	if _, err := r.root.Exec(r.t.Context(), engineRows); err != nil {
		r.t.Fatal(err)
	}
	box := outbox.New("rules", event.NewKeyring())
	err := pgx.BeginFunc(r.t.Context(), r.db.Pool(r.t, postgres.RoleRules), func(tx pgx.Tx) error {
		for _, id := range []string{"d1", "d2", "d3"} {
			e := &event.Event{TenantID: "acme", ID: id, Type: "lead.scored", Source: "/neuronx/rules", CausationID: "acme5", Hops: 1, Value: event.Frame(1, nil)}
			if err := box.Add(r.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *forgeRig) digest() (text string) {
	r.t.Helper()
	if err := r.root.QueryRow(r.t.Context(), r.tables).Scan(&text); err != nil {
		r.t.Fatal(err)
	}
	return text
}

// found runs doctor's checks and returns what failed.
func (r *forgeRig) found() (out []string) {
	r.t.Helper()
	for _, check := range [][]finding{r.doctor.checkArchive(r.t.Context()), r.doctor.checkForged(r.t.Context()), r.doctor.checkWalls(r.t.Context())} {
		for _, f := range check {
			if f.Result == checkFail || f.Result == checkWarn {
				out = append(out, f.Detail)
			}
		}
	}
	return out
}
