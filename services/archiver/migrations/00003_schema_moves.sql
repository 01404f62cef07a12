-- +goose Up
-- The number that a schema has in the registry of now, where that is not the one in archived events.
CREATE TABLE neuronx.schema_moves (
    fingerprint bytea       NOT NULL PRIMARY KEY CHECK (length(fingerprint) = 32),
    schema_id   integer     NOT NULL CHECK (schema_id > 0),
    moved_at    timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE neuronx.schema_moves ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- Only a superuser writes it, by `neuronx log reseed`.
CREATE POLICY readers ON neuronx.schema_moves FOR SELECT TO neuronx_reader, neuronx_ops USING (true);
GRANT SELECT ON neuronx.schema_moves TO neuronx_reader, neuronx_ops;

-- +goose Down
DROP TABLE neuronx.schema_moves;
