-- +goose Up
-- Runs as neuronx_owner, which owns the three schemas. Functions are callable by nobody until a migration grants them:
-- PUBLIC would otherwise get EXECUTE, also on SECURITY DEFINER functions.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE ALL ON SCHEMA neuronx, read, projection FROM PUBLIC;
GRANT USAGE ON SCHEMA neuronx, read, projection TO neuronx_reader, neuronx_ops;

-- +goose Down
REVOKE USAGE ON SCHEMA neuronx, read, projection FROM neuronx_reader, neuronx_ops;
