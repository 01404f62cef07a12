-- +goose Up
-- The archive. One table a tenant under a parent that is partitioned by tenant: a tenant's rows can be moved, counted and dropped
-- (by the owner's tiering, never by a service) without touching others. Partitions have no month: a key over (tenant, sequence)
-- must hold over all of a tenant's rows.
CREATE TABLE neuronx.tenant_events (
    tenant_id      text        NOT NULL,
    sequence       bigint      NOT NULL CHECK (sequence > 0),
    position       bigint      NOT NULL,
    event_id       text        NOT NULL,
    event_type     text        NOT NULL,
    subject        text        NOT NULL,
    source         text        NOT NULL,
    occurred_at    timestamptz,
    recorded_at    timestamptz NOT NULL,
    correlation_id text        NOT NULL,
    causation_id   text        NOT NULL,
    schema_id      integer     NOT NULL,
    log_id         text        NOT NULL,
    log_partition  integer     NOT NULL,
    log_offset     bigint      NOT NULL,
    hash           bytea       NOT NULL CHECK (length(hash) = 32),
    payload        bytea       NOT NULL,
    data           jsonb,
    PRIMARY KEY (tenant_id, sequence)
) PARTITION BY LIST (tenant_id);
CREATE INDEX tenant_events_by_time ON neuronx.tenant_events (tenant_id, recorded_at, event_type);
CREATE INDEX tenant_events_by_id ON neuronx.tenant_events (tenant_id, event_id);
CREATE INDEX tenant_events_by_subject ON neuronx.tenant_events (tenant_id, subject, sequence);
COMMENT ON COLUMN neuronx.tenant_events.payload IS 'stored bytes: Avro record neuronx.core.v1.StoredEvent';
COMMENT ON COLUMN neuronx.tenant_events.hash IS 'SHA-256 of payload';
COMMENT ON COLUMN neuronx.tenant_events.data IS 'the body rendered from the stored bytes; NULL when it cannot be rendered';
COMMENT ON COLUMN neuronx.tenant_events.log_offset IS 'where the record was read; not part of what is proved';

-- Which table is whose: a tenant id can be as long as an identifier may be, so tables are numbered.
CREATE TABLE neuronx.tenant_leaves (
    n          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  text        NOT NULL UNIQUE CHECK (tenant_id ~ '^[a-z0-9-]{1,63}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- neuronx.ensure_tenant makes the tenant's table and returns its name. CREATE and ATTACH instead of PARTITION OF: the latter wants
-- the parent for itself, so one long reader would stop the writers of all tenants; ATTACH lets readers and writers go on.
-- +goose StatementBegin
CREATE FUNCTION neuronx.ensure_tenant(tenant text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf bigint;
    leaf_name text;
BEGIN
    SELECT n INTO leaf FROM neuronx.tenant_leaves WHERE tenant_id = tenant;
    IF FOUND THEN
        RETURN 'tenant_events_p' || leaf;
    END IF;
    -- Whoever comes second waits here, then finds the first one's row.
    INSERT INTO neuronx.tenant_leaves (tenant_id) VALUES (tenant) ON CONFLICT (tenant_id) DO NOTHING RETURNING n INTO leaf;
    IF NOT FOUND THEN
        SELECT n INTO STRICT leaf FROM neuronx.tenant_leaves WHERE tenant_id = tenant;
        RETURN 'tenant_events_p' || leaf;
    END IF;
    leaf_name := 'tenant_events_p' || leaf;
    EXECUTE format('CREATE TABLE neuronx.%I (LIKE neuronx.tenant_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', leaf_name);
    -- With this constraint ATTACH knows that every row fits, and it stays as a second wall after a DETACH.
    EXECUTE format('ALTER TABLE neuronx.%I ADD CONSTRAINT only_tenant CHECK (tenant_id IS NOT NULL AND tenant_id = %L)', leaf_name, tenant);
    -- The parent's policies do not guard a leaf that is named directly, or that was detached: it has its own wall, and no grants.
    EXECUTE format('ALTER TABLE neuronx.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', leaf_name);
    EXECUTE format('REVOKE ALL ON neuronx.%I FROM PUBLIC', leaf_name);
    EXECUTE format('ALTER TABLE neuronx.tenant_events ATTACH PARTITION neuronx.%I FOR VALUES IN (%L)', leaf_name, tenant);
    RETURN leaf_name;
END
$$;
-- +goose StatementEnd

-- What the sequencer refused, and why. topic, partition and "offset" name the refused record. What was received is kept as it came
-- (headers in the encoding of pkg/archive); the text columns are for finding it and hold no bytes that text cannot hold.
CREATE TABLE neuronx.dead_letters (
    topic            text        NOT NULL,
    partition        integer     NOT NULL,
    "offset"         bigint      NOT NULL,
    tenant_id        text,
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    event_id         text        NOT NULL,
    event_type       text        NOT NULL,
    source           text        NOT NULL,
    subject          text        NOT NULL,
    deriver          text        NOT NULL,
    deriver_number   bigint      NOT NULL,
    recorded_at      timestamptz NOT NULL,
    letter_partition integer     NOT NULL,
    letter_offset    bigint      NOT NULL,
    key              bytea,
    headers          bytea       NOT NULL,
    value            bytea,
    hash             bytea       NOT NULL CHECK (length(hash) = 32),
    state            text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'dropped')),
    state_at         timestamptz,
    state_by         text        NOT NULL DEFAULT '',
    state_reason     text        NOT NULL DEFAULT '',
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX dead_letters_by_tenant ON neuronx.dead_letters (tenant_id, state, recorded_at);
CREATE INDEX dead_letters_by_id ON neuronx.dead_letters (tenant_id, event_id);
CREATE INDEX dead_letters_by_letter ON neuronx.dead_letters (letter_partition, letter_offset);
COMMENT ON COLUMN neuronx.dead_letters.hash IS 'SHA-256 over key, headers and value, length-prefixed';

-- Schemas by fingerprint, so that the archive is readable without the registry. Rows are facts: never changed.
CREATE TABLE neuronx.schemas (
    fingerprint bytea       NOT NULL PRIMARY KEY CHECK (length(fingerprint) = 32),
    schema_id   integer     NOT NULL,
    schema      text        NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schemas_by_id ON neuronx.schemas (schema_id);

ALTER TABLE neuronx.tenant_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.schemas ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.tenant_leaves ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- An unset tenant is NULL or, on a connection that had one before, the empty string: neither is a tenant.
CREATE POLICY readers ON neuronx.tenant_events FOR SELECT TO neuronx_reader USING (tenant_id = nullif(current_setting('neuronx.tenant', true), ''));
CREATE POLICY operators ON neuronx.tenant_events FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY append ON neuronx.tenant_events FOR INSERT TO neuronx_archiver WITH CHECK (true);
GRANT SELECT ON neuronx.tenant_events TO neuronx_reader, neuronx_ops;
GRANT INSERT ON neuronx.tenant_events TO neuronx_archiver;

-- The owner's function is the only writer, and forced security binds the owner too.
CREATE POLICY owner ON neuronx.tenant_leaves TO neuronx_owner USING (true) WITH CHECK (true);
CREATE POLICY operators ON neuronx.tenant_leaves FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY readers ON neuronx.tenant_leaves FOR SELECT TO neuronx_reader USING (tenant_id = nullif(current_setting('neuronx.tenant', true), ''));
GRANT SELECT ON neuronx.tenant_leaves TO neuronx_reader, neuronx_ops;
GRANT EXECUTE ON FUNCTION neuronx.ensure_tenant(text) TO neuronx_archiver;

CREATE POLICY readers ON neuronx.dead_letters FOR SELECT TO neuronx_reader USING (tenant_id = nullif(current_setting('neuronx.tenant', true), ''));
CREATE POLICY operators ON neuronx.dead_letters FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators_decide ON neuronx.dead_letters FOR UPDATE TO neuronx_ops USING (true) WITH CHECK (true);
CREATE POLICY append ON neuronx.dead_letters FOR INSERT TO neuronx_archiver WITH CHECK (true);
CREATE POLICY audit ON neuronx.dead_letters FOR SELECT TO neuronx_archiver USING (true);
GRANT SELECT ON neuronx.dead_letters TO neuronx_reader, neuronx_ops;
GRANT UPDATE (state, state_at, state_by, state_reason) ON neuronx.dead_letters TO neuronx_ops;
GRANT INSERT ON neuronx.dead_letters TO neuronx_archiver;

CREATE POLICY readers ON neuronx.schemas FOR SELECT TO neuronx_reader, neuronx_ops USING (true);
CREATE POLICY append ON neuronx.schemas FOR INSERT TO neuronx_archiver WITH CHECK (true);
GRANT SELECT ON neuronx.schemas TO neuronx_reader, neuronx_ops;
GRANT INSERT ON neuronx.schemas TO neuronx_archiver;

-- +goose Down
DROP FUNCTION neuronx.ensure_tenant(text);
DROP TABLE neuronx.schemas, neuronx.dead_letters, neuronx.tenant_leaves, neuronx.tenant_events;
