-- +goose Up
-- What a reset could not compare, and why; empty: differences covers everything. Without it, 0 would mean both "none" and "not known".
ALTER TABLE neuronx.resets ADD COLUMN not_counted text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE neuronx.resets DROP COLUMN not_counted;
