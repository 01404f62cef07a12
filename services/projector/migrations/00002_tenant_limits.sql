-- +goose Up
-- Rates of a tenant at the doors; null or 0 is the doors' default.
ALTER TABLE projection.tenants ADD COLUMN events_per_second bigint, ADD COLUMN bytes_per_second bigint;
CREATE OR REPLACE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence,
        t.events_per_second, t.bytes_per_second
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

-- +goose Down
DROP VIEW neuronx.tenants;
CREATE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
GRANT SELECT ON neuronx.tenants TO neuronx_reader, neuronx_ops, neuronx_ingest, neuronx_projector;
ALTER TABLE projection.tenants DROP COLUMN events_per_second, DROP COLUMN bytes_per_second;
