-- +goose Up
-- How many rows of a generation that a reset built differ from those shown before, both at the same sequence. The generation shown before
-- (replaced) is fed on until that is counted; not_counted says why it can't be.
ALTER TABLE projection.generations ADD COLUMN replaced bigint, ADD COLUMN differences bigint CHECK (differences >= 0),
    ADD COLUMN not_counted text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE projection.generations DROP COLUMN replaced, DROP COLUMN differences, DROP COLUMN not_counted;
