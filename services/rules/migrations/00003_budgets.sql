-- +goose Up
-- Failures that do not switch a rule off are counted and reported now and then; those that do must be on different subjects.
ALTER TABLE neuronx.rule_health
    ADD COLUMN subjects    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN over_budget bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_budget text   NOT NULL DEFAULT '',
    ADD COLUMN reported_at bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN neuronx.rule_health.subjects IS 'hashes of the subjects of the failures in a row';
COMMENT ON COLUMN neuronx.rule_health.over_budget IS 'failures over a budget since the last reset';
COMMENT ON COLUMN neuronx.rule_health.last_budget IS 'the budget of the last of them';
COMMENT ON COLUMN neuronx.rule_health.reported_at IS 'sequence of the event whose failure was reported last';

-- +goose Down
ALTER TABLE neuronx.rule_health DROP COLUMN subjects, DROP COLUMN over_budget, DROP COLUMN last_budget, DROP COLUMN reported_at;
