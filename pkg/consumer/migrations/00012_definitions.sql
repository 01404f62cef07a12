-- +goose Up
-- Which definition built a generation (DefinedHandler). Null: it is not known, because the row is older than this column, has no event yet,
-- or its handler has no definition. mixed: events were applied by more than one definition.
ALTER TABLE neuronx.progress ADD COLUMN definition text CHECK (definition <> '');

-- The definitions that builds of a consumer came with, in the order in which each first started on this database. The last one is the
-- newest: only a build that has it makes generations for it, so builds that run side by side don't take turns in rebuilding.
CREATE TABLE neuronx.definitions (
    consumer   text        NOT NULL, -- as in neuronx.progress
    definition text        NOT NULL CHECK (definition <> ''),
    n          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, definition)
);
ALTER TABLE neuronx.definitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.definitions FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON neuronx.definitions
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.') OR starts_with(consumer, replace(current_user, 'neuronx_', 'neuronx.') || '.'))
    WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.') OR starts_with(consumer, replace(current_user, 'neuronx_', 'neuronx.') || '.'));
CREATE POLICY operators ON neuronx.definitions FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT ON neuronx.definitions TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel;
GRANT SELECT ON neuronx.definitions TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.definitions;
ALTER TABLE neuronx.progress DROP COLUMN definition;
