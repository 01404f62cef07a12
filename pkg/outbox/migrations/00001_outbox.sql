-- +goose Up
CREATE TABLE neuronx.outbox (
    tenant_id  text        NOT NULL,
    deriver    text        NOT NULL,
    number     bigint      NOT NULL CHECK (number > 0),
    event_id   text        NOT NULL,
    record     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, deriver, number)
);
CREATE INDEX outbox_event ON neuronx.outbox (tenant_id, deriver, event_id);

CREATE TABLE neuronx.outbox_numbers (
    tenant_id text   NOT NULL,
    deriver   text   NOT NULL,
    last      bigint NOT NULL CHECK (last >= 0),
    PRIMARY KEY (tenant_id, deriver)
);

-- Rows live for a second: let autovacuum keep up, and keep the pages small enough to reuse.
ALTER TABLE neuronx.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, fillfactor = 90);

ALTER TABLE neuronx.outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.outbox_numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.outbox_numbers FORCE ROW LEVEL SECURITY;

-- Each role may act as its own deriver only: the number sequence is an identity.
CREATE POLICY outbox_rules ON neuronx.outbox TO neuronx_rules USING (deriver = 'rules') WITH CHECK (deriver = 'rules');
CREATE POLICY outbox_gohighlevel ON neuronx.outbox TO neuronx_gohighlevel USING (deriver = 'gohighlevel') WITH CHECK (deriver = 'gohighlevel');
CREATE POLICY outbox_archiver ON neuronx.outbox TO neuronx_archiver USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');
CREATE POLICY outbox_ops_read ON neuronx.outbox FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY outbox_ops ON neuronx.outbox TO neuronx_ops USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');
CREATE POLICY outbox_numbers_rules ON neuronx.outbox_numbers TO neuronx_rules USING (deriver = 'rules') WITH CHECK (deriver = 'rules');
CREATE POLICY outbox_numbers_gohighlevel ON neuronx.outbox_numbers TO neuronx_gohighlevel USING (deriver = 'gohighlevel') WITH CHECK (deriver = 'gohighlevel');
CREATE POLICY outbox_numbers_archiver ON neuronx.outbox_numbers TO neuronx_archiver USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');
CREATE POLICY outbox_numbers_ops_read ON neuronx.outbox_numbers FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY outbox_numbers_ops ON neuronx.outbox_numbers TO neuronx_ops USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');

GRANT SELECT, INSERT, DELETE ON neuronx.outbox TO neuronx_rules, neuronx_gohighlevel, neuronx_archiver, neuronx_ops;
GRANT SELECT, INSERT, UPDATE ON neuronx.outbox_numbers TO neuronx_rules, neuronx_gohighlevel, neuronx_archiver, neuronx_ops;

-- +goose Down
DROP TABLE neuronx.outbox;
DROP TABLE neuronx.outbox_numbers;
