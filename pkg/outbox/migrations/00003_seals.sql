-- +goose Up
-- A row carries a seal: an HMAC of the engine's signing keys over the tenant, deriver, number, event id and record. A sender sends no row
-- without one, so that a password of Postgres alone has nothing signed. Builds before this one made none. The rows that wait now are noted
-- in neuronx.outbox_unsealed and are sent however late. Where such builds have run, those that still run may write more for a day after
-- this migration, by which all processes are to be upgraded.
ALTER TABLE neuronx.outbox ADD COLUMN seal text NOT NULL DEFAULT '';
-- NOT VALID: rows that are there were bounded by the process that wrote them.
ALTER TABLE neuronx.outbox ADD CONSTRAINT outbox_bounds CHECK (octet_length(record) <= 1048576 AND octet_length(event_id) BETWEEN 1 AND 256
    AND octet_length(seal) <= 256) NOT VALID;
-- No deriver comes near 2^53. A number that somebody made up is refused before it overflows anything.
ALTER TABLE neuronx.outbox ADD CONSTRAINT outbox_number CHECK (number > 0 AND number < 9007199254740992) NOT VALID;
ALTER TABLE neuronx.outbox_numbers ADD CONSTRAINT outbox_numbers_last CHECK (last >= 0 AND last < 9007199254740992) NOT VALID;

CREATE TABLE neuronx.outbox_unsealed (
    tenant_id text   NOT NULL,
    deriver   text   NOT NULL,
    number    bigint NOT NULL,
    digest    bytea  NOT NULL CHECK (octet_length(digest) = 32), -- SHA-256 of the record
    PRIMARY KEY (tenant_id, deriver, number)
);
ALTER TABLE neuronx.outbox_unsealed ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON neuronx.outbox_unsealed FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY rules ON neuronx.outbox_unsealed FOR SELECT TO neuronx_rules USING (deriver = 'rules');
CREATE POLICY gohighlevel ON neuronx.outbox_unsealed FOR SELECT TO neuronx_gohighlevel USING (deriver = 'gohighlevel');
CREATE POLICY archiver ON neuronx.outbox_unsealed FOR SELECT TO neuronx_archiver USING (deriver = 'deadletter');
GRANT SELECT ON neuronx.outbox_unsealed TO neuronx_rules, neuronx_gohighlevel, neuronx_archiver, neuronx_ops;
-- Row security hides the rows from the owner, who runs this, while it is forced.
ALTER TABLE neuronx.outbox NO FORCE ROW LEVEL SECURITY;
INSERT INTO neuronx.outbox_unsealed SELECT tenant_id, deriver, number, sha256(record) FROM neuronx.outbox WHERE number > 0;
ALTER TABLE neuronx.outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.outbox_unsealed FORCE ROW LEVEL SECURITY;

-- A number that was given to a row is never given again: without this, somebody who has the password of a deriver could take the last row
-- away without a trace. The schema's owner and superusers may lower it: neuronx outbox mend and reseed do.
-- +goose StatementBegin
CREATE FUNCTION neuronx.guard_outbox_numbers() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_has_role('neuronx_owner', 'USAGE') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the last number of % for % can only be raised, and % is there', OLD.deriver, OLD.tenant_id, OLD.last
        USING ERRCODE = 'insufficient_privilege', HINT = 'neuronx outbox mend shows what the outbox lacks';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE ON neuronx.outbox_numbers FOR EACH ROW
    WHEN (NEW.last < OLD.last OR NEW.tenant_id <> OLD.tenant_id OR NEW.deriver <> OLD.deriver)
    EXECUTE FUNCTION neuronx.guard_outbox_numbers();

CREATE TABLE neuronx.outbox_seals (
    one           boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    required_from timestamptz NOT NULL
);
ALTER TABLE neuronx.outbox_seals ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON neuronx.outbox_seals FOR SELECT TO neuronx_reader, neuronx_ops USING (true);
GRANT SELECT ON neuronx.outbox_seals TO neuronx_reader, neuronx_ops;
-- As above.
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
DROP TABLE neuronx.outbox_forbidden, neuronx.outbox_seals, neuronx.outbox_unsealed;
DROP TRIGGER guard ON neuronx.outbox_numbers;
DROP FUNCTION neuronx.guard_outbox_numbers();
ALTER TABLE neuronx.outbox_numbers DROP CONSTRAINT outbox_numbers_last;
ALTER TABLE neuronx.outbox DROP CONSTRAINT outbox_bounds, DROP CONSTRAINT outbox_number, DROP COLUMN seal;
