-- +goose Up
-- The next effects of a tenant are those with the lowest sequences. Without the index each look for them sorted all that the tenant has
-- pending, and a tenant with very many made every look of the worker slow, also for its neighbours.
CREATE INDEX effects_turn ON neuronx.effects (tenant_id, command_sequence) WHERE status = 'pending';

-- +goose Down
DROP INDEX neuronx.effects_turn;
