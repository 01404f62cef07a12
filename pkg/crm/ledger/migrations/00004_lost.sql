-- +goose Up
-- Each new once effect is compared with those whose command was lost, of which there are none but after a log was rebuilt. Without the
-- index that read all effects of the tenant, for each of them.
CREATE INDEX effects_lost ON neuronx.effects (tenant_id, subject) WHERE code = 'command_lost';

-- +goose Down
DROP INDEX neuronx.effects_lost;
