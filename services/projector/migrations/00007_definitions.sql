-- +goose Up
-- What built a generation stands in neuronx.progress from now on. Generations that say it here are not built again for that; those that
-- don't are. The column stays for a projector of the build before, which would build everything again if new generations lacked it.
-- This runs as the owner, whom row security binds while it is forced.
ALTER TABLE neuronx.progress NO FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.generations NO FORCE ROW LEVEL SECURITY;
UPDATE neuronx.progress p SET definition = g.declaration FROM projection.generations g
    WHERE p.consumer = CASE g.feed WHEN 'main' THEN 'neuronx.projector' ELSE 'neuronx.projector.' || g.feed END
        AND p.tenant_id = g.tenant_id AND p.generation = g.generation AND g.declaration <> '';
ALTER TABLE neuronx.progress FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.generations FORCE ROW LEVEL SECURITY;

-- +goose Down
SELECT 1; -- the column goes with that of pkg/consumer
