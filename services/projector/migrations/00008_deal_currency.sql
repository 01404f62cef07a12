-- +goose Up
-- A fact that names a currency and no value used to rename what an earlier amount is in. A row remembers both apart now. Rows of before go
-- on from the currency that they show, until the projector has built each tenant's tables again, which it does by itself.
-- This runs as the owner, whom row security binds while it is forced.
ALTER TABLE projection.opportunities ADD COLUMN value_currency text, ADD COLUMN named_currency text;
ALTER TABLE projection.opportunities NO FORCE ROW LEVEL SECURITY;
UPDATE projection.opportunities SET value_currency = CASE WHEN value IS NOT NULL THEN currency END, named_currency = CASE WHEN value IS NULL THEN currency END
    WHERE currency IS NOT NULL;
ALTER TABLE projection.opportunities FORCE ROW LEVEL SECURITY;

-- +goose Down
ALTER TABLE projection.opportunities DROP COLUMN value_currency, DROP COLUMN named_currency;
