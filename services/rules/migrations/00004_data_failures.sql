-- +goose Up
-- Failures that the values of an event explain switch no rule off; they are counted here.
ALTER TABLE neuronx.rule_health
    ADD COLUMN by_data   bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_data text   NOT NULL DEFAULT '';
COMMENT ON COLUMN neuronx.rule_health.by_data IS 'failures since the last reset that the values of an event explain, such as a null';
COMMENT ON COLUMN neuronx.rule_health.last_data IS 'the code of the last of them';

-- +goose Down
ALTER TABLE neuronx.rule_health DROP COLUMN by_data, DROP COLUMN last_data;
