-- +goose Up
-- The last failure of a rule, so that what is counted has a reason.
ALTER TABLE neuronx.rule_health
    ADD COLUMN last_code     text   NOT NULL DEFAULT '',
    ADD COLUMN last_detail   text   NOT NULL DEFAULT '',
    ADD COLUMN last_sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_event_id text   NOT NULL DEFAULT '';
COMMENT ON COLUMN neuronx.rule_health.last_code IS 'code of the last failure since the last reset; empty: none';
COMMENT ON COLUMN neuronx.rule_health.last_sequence IS 'sequence of the event that it failed on';

-- What rules were not evaluated on because they were off: one row a rule and event, until it is run over.
CREATE TABLE neuronx.rule_missed (
    tenant_id text   NOT NULL,
    rule      text   NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (tenant_id, rule, sequence)
);

-- What became of each engine.rule.rerun.
CREATE TABLE neuronx.rule_reruns (
    tenant_id text   NOT NULL,
    sequence  bigint NOT NULL,
    rule      text   NOT NULL,
    refused   text   NOT NULL DEFAULT '',
    ran       bigint NOT NULL DEFAULT 0,
    fired     bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    derived   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, sequence)
);
COMMENT ON COLUMN neuronx.rule_reruns.sequence IS 'of the engine.rule.rerun';
COMMENT ON COLUMN neuronx.rule_reruns.refused IS 'why nothing was run: off or not_in_force; empty: it was run';
COMMENT ON COLUMN neuronx.rule_reruns.ran IS 'missed events that the rule was evaluated on';

ALTER TABLE neuronx.rule_missed ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_missed FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_reruns ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_reruns FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON neuronx.rule_missed TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY own ON neuronx.rule_reruns TO neuronx_rules USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON neuronx.rule_missed, neuronx.rule_reruns TO neuronx_rules;
CREATE POLICY operators ON neuronx.rule_missed FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.rule_reruns FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT ON neuronx.rule_missed, neuronx.rule_reruns TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.rule_reruns, neuronx.rule_missed;
ALTER TABLE neuronx.rule_health DROP COLUMN last_code, DROP COLUMN last_detail, DROP COLUMN last_sequence, DROP COLUMN last_event_id;
