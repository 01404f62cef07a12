-- +goose Up
-- What members of an account in the CRM are called: commands name them, requests need their ids. It is a cache, read again from the CRM.
CREATE TABLE neuronx.crm_names (
    tenant_id text        NOT NULL,
    adapter   text        NOT NULL,
    location  text        NOT NULL,
    object    text        NOT NULL, -- kind of object, such as user
    names     jsonb       NOT NULL, -- ids by name in lower case
    read_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, adapter, location, object)
);
ALTER TABLE neuronx.crm_names ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_names FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_names TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
    WITH CHECK (adapter = replace(current_user, 'neuronx_', ''));
GRANT SELECT, INSERT, UPDATE ON neuronx.crm_names TO neuronx_gohighlevel;

-- Which opportunity of ours is which of the CRM's. Contacts have a table of their own (crm_ids), which knows what they hold.
CREATE TABLE neuronx.crm_objects (
    tenant_id  text        NOT NULL,
    adapter    text        NOT NULL,
    location   text        NOT NULL,
    object     text        NOT NULL, -- kind of object, such as opportunity
    local_id   text        NOT NULL,
    remote_id  text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, adapter, location, object, local_id)
);
ALTER TABLE neuronx.crm_objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_objects FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_objects TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
    WITH CHECK (adapter = replace(current_user, 'neuronx_', ''));
CREATE POLICY operators ON neuronx.crm_objects FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE ON neuronx.crm_objects TO neuronx_gohighlevel;
GRANT SELECT ON neuronx.crm_objects TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.crm_objects;
DROP TABLE neuronx.crm_names;
