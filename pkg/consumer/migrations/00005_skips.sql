-- +goose Up
-- Events that operators made a consumer pass over. A generation that is built later passes over them, too.
CREATE TABLE neuronx.skips (
    consumer   text        NOT NULL, -- as in neuronx.progress
    tenant_id  text        NOT NULL,
    sequence   bigint      NOT NULL CHECK (sequence > 0),
    reason     text        NOT NULL DEFAULT '',
    skipped_by text        NOT NULL DEFAULT '',
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, tenant_id, sequence),
    CHECK (consumer <> 'neuronx.archiver') -- it would be a hole in the archive
);
ALTER TABLE neuronx.skips ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.skips FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON neuronx.skips FOR SELECT
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.') OR starts_with(consumer, replace(current_user, 'neuronx_', 'neuronx.') || '.'));
CREATE POLICY operators ON neuronx.skips FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators_skip ON neuronx.skips FOR INSERT TO neuronx_ops WITH CHECK (true);
GRANT SELECT ON neuronx.skips TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel;
GRANT SELECT, INSERT (consumer, tenant_id, sequence, reason, skipped_by) ON neuronx.skips TO neuronx_ops;

-- Only the event at which a row of the tenant is stalled can be skipped. A skip of an event that is still to come would hide it: a key that
-- is revoked, or a tenant that is suspended, would stay as it is without a word. It binds everybody but the schema's owner and superusers.
-- +goose StatementBegin
CREATE FUNCTION neuronx.guard_skips() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_has_role('neuronx_owner', 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT FROM neuronx.progress p WHERE p.consumer = NEW.consumer AND p.tenant_id = NEW.tenant_id AND p.state = 'stalled' AND p.sequence = NEW.sequence - 1) THEN
        RAISE EXCEPTION '% of % is not stalled at sequence %', NEW.consumer, NEW.tenant_id, NEW.sequence
            USING ERRCODE = 'insufficient_privilege', HINT = 'neuronx stalled list shows what can be skipped';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE INSERT ON neuronx.skips FOR EACH ROW EXECUTE FUNCTION neuronx.guard_skips();

-- +goose Down
DROP TABLE neuronx.skips;
DROP FUNCTION neuronx.guard_skips();
