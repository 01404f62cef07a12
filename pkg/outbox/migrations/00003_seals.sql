-- +goose Up
-- A row carries a seal: an HMAC of the engine's signing keys over the tenant, deriver, number, event id and record. A sender sends no row
-- without one, so that a password of Postgres alone has nothing signed. Builds before this one made none: where some have run, their rows
-- are taken for a day after this migration, by which all processes are to be upgraded.
ALTER TABLE neuronx.outbox ADD COLUMN seal text NOT NULL DEFAULT '';
-- NOT VALID: rows that are there were bounded by the process that wrote them.
ALTER TABLE neuronx.outbox ADD CONSTRAINT outbox_bounds CHECK (octet_length(record) <= 1048576 AND octet_length(event_id) BETWEEN 1 AND 256
    AND octet_length(seal) <= 256) NOT VALID;

CREATE TABLE neuronx.outbox_seals (
    one           boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    required_from timestamptz NOT NULL
);
ALTER TABLE neuronx.outbox_seals ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON neuronx.outbox_seals FOR SELECT TO neuronx_reader, neuronx_ops USING (true);
GRANT SELECT ON neuronx.outbox_seals TO neuronx_reader, neuronx_ops;
-- Row security hides the rows from the owner, who runs this: it is forced only below, after the look.
ALTER TABLE neuronx.outbox_numbers NO FORCE ROW LEVEL SECURITY;
INSERT INTO neuronx.outbox_seals (required_from) SELECT CASE WHEN EXISTS (SELECT FROM neuronx.outbox_numbers) THEN now() + interval '1 day' ELSE now() END;
ALTER TABLE neuronx.outbox_numbers FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.outbox_seals FORCE ROW LEVEL SECURITY;

-- What a sender found and did not send, kept for people: somebody used the deriver's password, or a build is broken.
CREATE TABLE neuronx.outbox_forbidden (
    tenant_id  text        NOT NULL,
    deriver    text        NOT NULL,
    number     bigint      NOT NULL,
    event_id   text        NOT NULL,
    record     bytea,
    reason     text        NOT NULL CHECK (length(reason) <= 1000),
    created_at timestamptz NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_forbidden_by_time ON neuronx.outbox_forbidden (found_at);
ALTER TABLE neuronx.outbox_forbidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY rules ON neuronx.outbox_forbidden FOR INSERT TO neuronx_rules WITH CHECK (deriver = 'rules');
CREATE POLICY gohighlevel ON neuronx.outbox_forbidden FOR INSERT TO neuronx_gohighlevel WITH CHECK (deriver = 'gohighlevel');
CREATE POLICY archiver ON neuronx.outbox_forbidden FOR INSERT TO neuronx_archiver WITH CHECK (deriver = 'deadletter');
CREATE POLICY operators ON neuronx.outbox_forbidden FOR SELECT TO neuronx_ops USING (true);
GRANT INSERT (tenant_id, deriver, number, event_id, record, reason, created_at) ON neuronx.outbox_forbidden TO neuronx_rules, neuronx_gohighlevel, neuronx_archiver;
GRANT SELECT ON neuronx.outbox_forbidden TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.outbox_forbidden, neuronx.outbox_seals;
ALTER TABLE neuronx.outbox DROP CONSTRAINT outbox_bounds, DROP COLUMN seal;
