package doctor

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/postgres"
)

// forbidden is what no role may do, whatever it is for.
var forbidden = []string{
	// Rewriting and hiding history.
	`UPDATE neuronx.tenant_events SET payload = 'x'`,
	`DELETE FROM neuronx.tenant_events WHERE sequence = 5`,
	`TRUNCATE neuronx.tenant_events`,
	`DELETE FROM neuronx.dead_letters`,
	`UPDATE neuronx.dead_letters SET reason = 'x'`,
	`DELETE FROM neuronx.dead_letter_decisions`,
	`UPDATE neuronx.dead_letter_decisions SET kind = 'admitted'`,
	`DELETE FROM neuronx.tenant_leaves`,
	`UPDATE neuronx.schemas SET schema = '"int"'`,
	`INSERT INTO neuronx.schema_moves (fingerprint, schema_id) VALUES (sha256('y'), 9)`,
	`INSERT INTO neuronx.log_lineage (log_id, predecessor, partition, topic_id) VALUES ('x', 'log', 0, gen_random_uuid())`,
	`DELETE FROM neuronx.progress`,
	`TRUNCATE neuronx.progress, neuronx.partition_progress`,
	`DELETE FROM neuronx.partition_progress`,
	`UPDATE neuronx.outbox SET record = 'x'`,
	`UPDATE neuronx.outbox_forbidden SET reason = ''`,
	`DELETE FROM neuronx.outbox_forbidden`,
	`UPDATE neuronx.outbox_seals SET required_from = 'infinity'`,
	`DELETE FROM neuronx.outbox_seals`,
	`UPDATE neuronx.outbox_numbers SET last = last - 1`,
	`UPDATE neuronx.outbox_numbers SET last = 1`,
	`UPDATE neuronx.outbox_numbers SET tenant_id = 'beta'`,
	`UPDATE neuronx.outbox_numbers SET last = 9223372036854775807`,
	`DELETE FROM neuronx.outbox_numbers`,
	`INSERT INTO neuronx.outbox_unsealed VALUES ('acme', 'rules', 4, sha256('x'))`,
	`DELETE FROM neuronx.outbox_unsealed`,
	`CREATE OR REPLACE FUNCTION neuronx.guard_outbox_numbers() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	`DELETE FROM neuronx.rule_bundles`,
	`UPDATE neuronx.rule_bundles SET files = '[]'`,
	`DELETE FROM neuronx.effects`,
	`DELETE FROM neuronx.effect_attempts`,
	`UPDATE neuronx.dead_letter_requests SET action = 'retry', by = 'boss'`,
	`INSERT INTO neuronx.skips SELECT 'neuronx.projector.control', 'acme', g FROM generate_series(100, 100000) g`,
	`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) SELECT 'neuronx.projector.control', 'acme', g FROM generate_series(100, 1000) g`,
	`INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.rules', 'acme', 7)`,
	`UPDATE neuronx.skips SET sequence = 100`,
	`DELETE FROM neuronx.skips`,
	// Taking walls down.
	`ALTER TABLE neuronx.tenant_events DISABLE ROW LEVEL SECURITY`,
	`ALTER TABLE neuronx.progress NO FORCE ROW LEVEL SECURITY`,
	`CREATE POLICY mine ON neuronx.tenant_events USING (true)`,
	`DROP POLICY own ON neuronx.progress`,
	`ALTER TABLE neuronx.progress DISABLE TRIGGER ALL`,
	`DROP TRIGGER guard ON neuronx.progress`,
	`CREATE TRIGGER t BEFORE INSERT ON neuronx.outbox FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
	`CREATE RULE r AS ON INSERT TO neuronx.outbox DO INSTEAD NOTHING`,
	`ALTER TABLE neuronx.outbox DROP CONSTRAINT outbox_bounds`,
	`DROP TABLE neuronx.outbox_seals CASCADE`,
	`GRANT ALL ON neuronx.tenant_events TO PUBLIC`,
	`ALTER TABLE neuronx.tenant_events OWNER TO CURRENT_USER`,
	`SET session_replication_role = replica`,
	`SET ROLE neuronx_owner`,
	`SET ROLE neuronx_ops; SELECT * FROM neuronx.tenant_events`,
	`SET SESSION AUTHORIZATION neuronx_owner`,
	`ALTER ROLE CURRENT_USER BYPASSRLS`,
	`ALTER ROLE neuronx_owner LOGIN PASSWORD 'x'`,
	`CREATE ROLE intruder LOGIN`,
	`GRANT neuronx_owner TO CURRENT_USER`,
	`ALTER DATABASE postgres SET search_path = public`,
	// Code of their own where others run it.
	`CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'`,
	`CREATE FUNCTION neuronx.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
	`CREATE OR REPLACE FUNCTION neuronx.guard_skips() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	`CREATE OR REPLACE FUNCTION neuronx.guard_progress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
	`CREATE OR REPLACE FUNCTION neuronx.ensure_tenant(tenant text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'`,
	`CREATE TABLE public.tenants ()`,
	`CREATE SCHEMA mine`,
	`CREATE OR REPLACE VIEW neuronx.api_keys AS SELECT 1`,
	`CREATE EXTENSION dblink`,
	`CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_catalog.event_trigger()`,
	// Reading secrets, and the machine.
	`SELECT * FROM pg_authid`,
	`SELECT rolpassword FROM pg_shadow`,
	`SELECT pg_read_file('PG_VERSION')`,
	`SELECT pg_ls_dir('.')`,
	`COPY neuronx.schemas TO PROGRAM 'cat'`,
	`COPY (SELECT 1) TO '/tmp/x'`,
	`SELECT lo_import('/etc/passwd')`,
	`SELECT lo_create(0)`,
	`SELECT lo_from_bytea(0, 'x')`,
	`ALTER SYSTEM SET fsync = off`,
	`SELECT pg_reload_conf()`,
	`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename NOT LIKE 'neuronx%'`,
	`DO $$ BEGIN EXECUTE 'SET ROLE neuronx_owner'; END $$`,
}

// others is what all roles but one, or some, may not do.
var others = []struct{ but, sql string }{
	{"neuronx_archiver", `INSERT INTO neuronx.tenant_events SELECT * FROM neuronx.tenant_events`},
	{"neuronx_archiver", `INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, decided_at) VALUES ('acme', 9, 'dropped', now())`},
	{"neuronx_archiver", `SELECT neuronx.ensure_tenant('intruder')`},
	{"neuronx_archiver", `UPDATE neuronx.progress SET sequence = 9 WHERE consumer = 'neuronx.archiver'`},
	{"neuronx_archiver", `UPDATE neuronx.partition_progress SET next_offset = 99 WHERE consumer = 'neuronx.archiver'`},
	{"neuronx_archiver", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'deadletter', 1, 'x', '')`},
	{"neuronx_rules", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'rules', 9, 'x', '')`},
	{"neuronx_rules", `DELETE FROM neuronx.outbox WHERE deriver = 'rules'`},
	{"neuronx_rules", `UPDATE neuronx.outbox_numbers SET last = 99 WHERE deriver = 'rules'`},
	{"neuronx_rules", `UPDATE neuronx.progress SET sequence = 9 WHERE consumer = 'neuronx.rules'`},
	{"neuronx_rules", `INSERT INTO neuronx.rule_bundles SELECT 'beta', 9, 'x', 1, 'h', 1, '[]', '', now()`},
	{"neuronx_gohighlevel", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'gohighlevel', 1, 'x', '')`},
	{"neuronx_gohighlevel", `UPDATE neuronx.crm_connections SET base_url = 'https://intruder'`},
	{"neuronx_gohighlevel", `UPDATE neuronx.progress SET sequence = 9 WHERE consumer = 'neuronx.gohighlevel'`},
	{"neuronx_projector", `INSERT INTO projection.api_keys (tenant_id, generation, key_id, secret_sha256, scopes, sequence) VALUES ('acme', 1, 'mine', 'cc', '{events:write}', 2)`},
	{"neuronx_projector", `UPDATE projection.tenants SET status = 'active'`},
	{"neuronx_projector", `UPDATE projection.active SET generation = 7`},
	{"neuronx_projector", `UPDATE neuronx.progress SET sequence = 9 WHERE consumer = 'neuronx.projector'`},
	{"neuronx_ops", `INSERT INTO neuronx.dead_letter_requests (id, topic, partition, "offset", action, origin) VALUES (gen_random_uuid(), 't', 0, 0, 'drop', 'live')`},
}

// forged is what a role may do, because it is its work, and what doctor then says of it.
var forged = []struct{ role, sql, says string }{
	{"neuronx_archiver", `UPDATE neuronx.progress SET sequence = 9 WHERE consumer = 'neuronx.archiver' AND tenant_id = 'acme'`, "the archive of acme lacks 7 to 9"},
	{"neuronx_archiver", `UPDATE neuronx.progress SET sequence = 2 WHERE consumer = 'neuronx.archiver' AND tenant_id = 'acme'`, "the archive of acme holds sequences 3 to 6"},
	{"neuronx_archiver", insertEvent(7, "lead.created"), "the archive of acme holds sequences 7 to 7"},
	{"neuronx_archiver", insertEvent(9, "lead.created"), "the archive of acme lacks 7 to 8"},
	{"neuronx_archiver", strings.Replace(insertEvent(7, "lead.created"), "sha256('p')", "sha256('q')", 1), "not what their hashes say"},
	{"neuronx_archiver", `INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, topic, partition, "offset", decided_at) VALUES ('acme', 5, 'dropped', 'neuronx.ingress', 0, 8, now())`, "decision about a dead letter that no event tells of: acme, dropped neuronx.ingress/0/8"},
	{"neuronx_archiver", `INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, redrive_id, decided_at) VALUES ('beta', 4, 'admitted', 'x', now())`, "decision about a dead letter that no event tells of: beta"},
	{"neuronx_projector", `INSERT INTO projection.api_keys (tenant_id, generation, key_id, secret_sha256, scopes, sequence) VALUES ('acme', 1, 'mine', 'cc', '{events:write}', 2)`, "API key without its tenant.key_issued, or changed or revoked since: acme, key mine"},
	{"neuronx_projector", `UPDATE projection.api_keys SET secret_sha256 = 'cc' WHERE tenant_id = 'acme'`, "acme, key k1"},
	{"neuronx_projector", `UPDATE projection.api_keys SET scopes = '{events:write,events:read}' WHERE tenant_id = 'acme'`, "acme, key k1"},
	{"neuronx_projector", `UPDATE projection.api_keys SET revoked_at = NULL`, "beta, key k2"},
	{"neuronx_projector", `UPDATE projection.api_keys SET revoked_at = NULL, sequence = 2`, "beta, key k2"},
	{"neuronx_projector", `UPDATE projection.api_keys SET expires_at = '9999-01-01' WHERE key_id = 'k4'`, "beta, key k4"},
	{"neuronx_projector", `UPDATE projection.api_keys SET expires_at = NULL WHERE key_id = 'k4'`, "beta, key k4"},
	{"neuronx_projector", `UPDATE projection.api_keys SET expires_at = '9999-01-01' WHERE key_id = 'k1'`, "acme, key k1"},
	{"neuronx_projector", `UPDATE projection.tenants SET status = 'active', sequence = 1 WHERE tenant_id = 'beta'`, "tenant whose status is not what its stream says: beta, status active"},
	{"neuronx_projector", `UPDATE projection.api_keys SET revoked_at = now() WHERE tenant_id = 'acme'`, "counts as revoked and is not: acme, key k1"},
	{"neuronx_projector", `DELETE FROM projection.api_keys WHERE tenant_id = 'acme'`, "was issued and is missing"},
	{"neuronx_projector", `UPDATE projection.tenants SET status = 'active' WHERE tenant_id = 'beta'`, "tenant whose status is not what its stream says: beta, status active"},
	{"neuronx_projector", `UPDATE projection.tenants SET status = 'suspended' WHERE tenant_id = 'acme'`, "acme, status suspended"},
	{"neuronx_projector", `INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ('acme', 1, 'ghost', 'suspended', 1)`, "acme, status suspended"},
	{"neuronx_ops", `INSERT INTO neuronx.skips (consumer, tenant_id, sequence) VALUES ('neuronx.gohighlevel', 'beta', 7)`, "skip that no event tells of: beta, neuronx.gohighlevel at sequence 7"},
	{"neuronx_rules", `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ('acme', 5, 'acme5', 2, 'h2', 1, '[]', now())`, "bundle of rules that was not published so: acme, bundle 2 at sequence 5"},
	{"neuronx_rules", `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ('beta', 99, 'x', 1, 'h1', 1, '[{"name":"a.yaml","text":"x"}]', now())`, "beta, bundle 1 at sequence 99"},
	{"neuronx_rules", `DELETE FROM neuronx.outbox WHERE number = 2`, "outbox with a hole, at which its deriver waits for ever: acme, rules between 1 and 3"},
	{"neuronx_rules", `DELETE FROM neuronx.outbox WHERE number = 1`, "outbox whose rows are not seen in the log: acme, rules from 2 on"},
	{"neuronx_rules", `DELETE FROM neuronx.outbox WHERE number = 3`, "outbox that lacks its last rows, at which its deriver waits for ever: acme, rules from 3 to 3"},
	{"neuronx_rules", `UPDATE neuronx.outbox_numbers SET last = 9007199254740991`, "acme, rules from 4 to 9007199254740991"},
	{"neuronx_rules", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'rules', 1000000000000, 'x', '')`, "number of an outbox that is below its rows: acme, rules 1000000000000"},
	{"neuronx_rules", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, created_at) VALUES ('acme', 'rules', 9, 'x', '', now() + interval '1 year')`, "outbox"},
	{"neuronx_gohighlevel", `UPDATE neuronx.crm_connections SET base_url = 'https://intruder'`, "CRM connection that was not recorded so: acme, gohighlevel loc"},
	{"neuronx_gohighlevel", `UPDATE neuronx.crm_connections SET token = 'secret://other@1'`, "CRM connection"},
	{"neuronx_gohighlevel", `UPDATE neuronx.crm_connections SET mode = 'send'`, "CRM connection"},
	{"neuronx_gohighlevel", `INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('beta', 'gohighlevel', 'loc', 'secret://a@1', 'send', 4)`, "CRM connection that was not recorded so: beta"},
	{"neuronx_gohighlevel", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'gohighlevel', 1, 'x', 'forged')`, "number of an outbox that is below its rows: acme, gohighlevel 1"},
	{"neuronx_archiver", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', 'deadletter', 1, 'x', 'forged')`, "number of an outbox that is below its rows: acme, deadletter 1"},
}

func insertEvent(sequence int, typ string) string {
	return strings.NewReplacer("$n", string(rune('0'+sequence)), "$t", typ).Replace(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source,
		recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data)
		VALUES ('acme', $n, $n, 'forged', '$t', '', '', now(), '', '', 1, 'log', 0, $n, sha256('p'), 'p', '{}')`)
}

// As each role's Postgres user, everything is tried that forges, mints, hides or makes a hole. It is refused, or it changes nothing, or it
// is the work of that role's service, and doctor finds it.
func TestRoles_WhatForgesMintsHidesOrHolesIsRefusedOrFound(t *testing.T) {
	r := newForgeRig(t)
	if found := r.found(); len(found) > 0 {
		t.Fatalf("doctor finds something in what the engine wrote itself: %q", found)
	}
	tries := 0
	before := r.digest()
	refused := func(role, sql string) {
		t.Helper()
		tries++
		// As an injected statement would run: with the tenant set. The connection is not used again.
		conn, err := r.DB.Pool(t, role).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `SET neuronx.tenant = 'acme'; SET search_path = public, neuronx; `+sql)
		_ = conn.Conn().Close(t.Context())
		conn.Release()
		if err != nil {
			return
		}
		if after := r.digest(); after != before {
			t.Errorf("%s changed something by %s", role, sql)
			r.Reset()
			before = r.digest()
			return
		}
		if strings.HasPrefix(sql, "SELECT") {
			t.Errorf("%s: %s is answered", role, sql)
		}
	}
	for _, role := range postgres.Roles() {
		if _, err := r.DB.Pool(t, role).Exec(t.Context(), `SET neuronx.tenant = 'acme'; SET search_path = public, neuronx; SELECT 1; RESET ALL`); err != nil {
			t.Fatalf("%s can do nothing at all, so nothing is shown by what it may not: %v", role, err)
		}
		for _, sql := range forbidden {
			refused(role, sql)
		}
		for _, o := range others {
			if o.but != role {
				refused(role, o.sql)
			}
		}
	}
	for _, f := range forged {
		tries++
		if _, err := r.DB.Pool(t, f.role).Exec(t.Context(), f.sql); err != nil {
			t.Errorf("%s: %s: %v; if it is refused by now, it belongs to the others", f.role, f.sql, err)
			continue
		}
		// A hole in an outbox shows after some minutes, and so does a skip.
		if _, err := r.Root.Exec(t.Context(), `UPDATE neuronx.outbox SET created_at = created_at - interval '10 minutes'; UPDATE neuronx.skips SET skipped_at = skipped_at - interval '10 minutes'`); err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(r.found(), "\n"); !strings.Contains(found, f.says) {
			t.Errorf("%s: %s: doctor says %q, want %q", f.role, f.sql, found, f.says)
		}
		r.Reset()
	}
	t.Logf("%d tries", tries)
	if tries < 400 {
		t.Errorf("%d tries", tries)
	}
}

// The ledger notes a suspension that comes before the tenant's first connection in a row that connects nothing. Nobody forged it.
func TestForged_SuspendedBeforeConnectedIsNoForgery(t *testing.T) {
	r := newForgeRig(t)
	pool := r.DB.Pool(t, "neuronx_gohighlevel")
	for _, suspended := range []bool{true, false} {
		if err := (ledger.Ledger{Adapter: "gohighlevel"}).Suspend(t.Context(), pool, "beta", suspended); err != nil {
			t.Fatal(err)
		}
		if found := r.found(); len(found) > 0 {
			t.Errorf("suspended %t: doctor says %q", suspended, found)
		}
	}
	if _, err := pool.Exec(t.Context(), `UPDATE neuronx.crm_connections SET location = 'loc' WHERE tenant_id = 'beta'`); err != nil {
		t.Fatal(err)
	}
	if found := strings.Join(r.found(), "\n"); !strings.Contains(found, "CRM connection that was not recorded so: beta, gohighlevel loc") {
		t.Errorf("doctor says %q of a location that nobody recorded", found)
	}
}
