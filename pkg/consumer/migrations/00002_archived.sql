-- +goose Up
-- The HTTP door reads on in the log where the archive ends, to answer for an event that is not archived yet.
CREATE POLICY archived ON neuronx.partition_progress FOR SELECT TO neuronx_ingest USING (consumer = 'neuronx.archiver');
GRANT SELECT ON neuronx.partition_progress TO neuronx_ingest;

-- +goose Down
REVOKE SELECT ON neuronx.partition_progress FROM neuronx_ingest;
DROP POLICY archived ON neuronx.partition_progress;
