-- +goose Up
-- How far each consumer is, per tenant and generation. sequence is the last one applied, event_id and log_id are its own;
-- seen is the highest sequence that the loop passed without applying it (the row was stalled or catching up).
CREATE TABLE neuronx.progress (
    consumer      text        NOT NULL,
    generation    bigint      NOT NULL CHECK (generation > 0),
    tenant_id     text        NOT NULL,
    partition     integer     NOT NULL CHECK (partition >= 0),
    sequence      bigint      NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    seen          bigint      NOT NULL DEFAULT 0 CHECK (seen >= 0),
    event_id      text        NOT NULL DEFAULT '',
    log_id        text        NOT NULL DEFAULT '',
    state         text        NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'catching-up', 'stalled', 'retired')),
    reason        text        NOT NULL DEFAULT '', -- why it is stalled
    origin        text        NOT NULL DEFAULT '', -- who asked for this generation
    missing_since timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, generation, tenant_id)
);
CREATE INDEX progress_tenant ON neuronx.progress (consumer, tenant_id);
CREATE INDEX progress_waiting ON neuronx.progress (consumer, partition) WHERE state IN ('catching-up', 'stalled');

-- Where each consumer reads on. The group's offset in Kafka follows this row, never the other way round.
CREATE TABLE neuronx.partition_progress (
    consumer    text        NOT NULL,
    generation  bigint      NOT NULL CHECK (generation > 0),
    topic       text        NOT NULL,
    partition   integer     NOT NULL CHECK (partition >= 0),
    topic_id    uuid        NOT NULL,
    log_id      text        NOT NULL DEFAULT '',
    next_offset bigint      NOT NULL CHECK (next_offset >= 0),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, generation, topic, partition)
);

-- Operators' resets of a group's offset: requests for the side job, kept until it is done.
CREATE TABLE neuronx.resets (
    consumer     text        NOT NULL,
    reset_id     text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    from_offset  bigint      NOT NULL,
    to_offset    bigint      NOT NULL,
    session      text        NOT NULL DEFAULT '',
    meaning      text        NOT NULL DEFAULT '',
    put_back     boolean     NOT NULL DEFAULT false,
    state        text        NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'running', 'done', 'failed')),
    tenants      text[]      NOT NULL DEFAULT '{}',
    examined     bigint      NOT NULL DEFAULT 0,
    differences  bigint      NOT NULL DEFAULT 0,
    detail       text        NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (consumer, reset_id)
);
CREATE INDEX resets_open ON neuronx.resets (consumer, topic, partition) WHERE state IN ('requested', 'running') OR NOT put_back;

ALTER TABLE neuronx.progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.progress FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.partition_progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.partition_progress FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.resets ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.resets FORCE ROW LEVEL SECURITY;

-- A service writes its own consumer's rows (role neuronx_projector, consumer neuronx.projector) and reads nobody else's.
CREATE POLICY own ON neuronx.progress
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.')) WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.'));
CREATE POLICY own ON neuronx.partition_progress
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.')) WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.'));
CREATE POLICY own ON neuronx.resets
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.')) WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.'));
GRANT SELECT, INSERT, UPDATE ON neuronx.progress, neuronx.partition_progress, neuronx.resets
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel;

-- Operators see all, and retry, skip and rebuild by changing rows of neuronx.progress.
CREATE POLICY operators ON neuronx.progress TO neuronx_ops USING (true) WITH CHECK (true);
CREATE POLICY operators ON neuronx.partition_progress FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.resets FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE ON neuronx.progress TO neuronx_ops;
GRANT SELECT ON neuronx.partition_progress, neuronx.resets TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.resets, neuronx.partition_progress, neuronx.progress;
