-- +goose Up
-- Folded from consent.changed and subject.erased: what is asked right before a command is carried out that reaches a person, for it may wait for hours
-- after consent was checked. What was said before this migration is not in it.
CREATE TABLE neuronx.crm_consents (
    tenant_id        text        NOT NULL,
    adapter          text        NOT NULL,
    local_id         text        NOT NULL, -- lead id
    channel          text        NOT NULL, -- * means all
    code             text        NOT NULL DEFAULT '', -- of the last revocation
    revoked_at       timestamptz,
    revoked_sequence bigint      NOT NULL DEFAULT 0,
    granted_at       timestamptz,
    granted_sequence bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, adapter, local_id, channel)
);
ALTER TABLE neuronx.crm_consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_consents FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_consents TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel');
CREATE POLICY operators ON neuronx.crm_consents FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE ON neuronx.crm_consents TO neuronx_gohighlevel;
GRANT SELECT ON neuronx.crm_consents TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.crm_consents;
