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
CREATE POLICY operators ON neuronx.skips TO neuronx_ops USING (true) WITH CHECK (true);
GRANT SELECT ON neuronx.skips TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel;
GRANT SELECT, INSERT ON neuronx.skips TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.skips;
