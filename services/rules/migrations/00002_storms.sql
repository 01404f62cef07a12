-- +goose Up
-- A storm is many refused events; it is reported once a rule and reset.
ALTER TABLE neuronx.rule_storms ADD COLUMN rule text NOT NULL DEFAULT '', ADD COLUMN reset_at bigint NOT NULL DEFAULT 0;
CREATE INDEX rule_storms_by_rule ON neuronx.rule_storms (tenant_id, rule, reset_at);
COMMENT ON TABLE neuronx.rule_storms IS 'the first dead letter of reason storm of a rule since its reset: what engine.storm.detected was derived for';

-- +goose Down
DROP INDEX neuronx.rule_storms_by_rule;
ALTER TABLE neuronx.rule_storms DROP COLUMN rule, DROP COLUMN reset_at;
