-- +goose Up
-- Under row security Postgres compares no coalesce(…) by an index, because it does not take it for leakproof; it does a CASE.
CREATE INDEX effects_in_lane ON neuronx.effects (tenant_id, (CASE WHEN lane IS NULL THEN subject ELSE lane END), command_sequence) WHERE status IN ('pending', 'sending');
DROP INDEX neuronx.effects_lane;

-- +goose Down
CREATE INDEX effects_lane ON neuronx.effects (tenant_id, coalesce(lane, subject), command_sequence) WHERE status IN ('pending', 'sending');
DROP INDEX neuronx.effects_in_lane;
