-- +goose Up
-- A consumer may have several feeds over one read of the log. The rows of a further feed are under "<group>.<feed>", such as
-- neuronx.projector.control, and belong to the service of the group.
DROP POLICY own ON neuronx.progress;
CREATE POLICY own ON neuronx.progress
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.') OR starts_with(consumer, replace(current_user, 'neuronx_', 'neuronx.') || '.'))
    WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.') OR starts_with(consumer, replace(current_user, 'neuronx_', 'neuronx.') || '.'));

-- +goose Down
DELETE FROM neuronx.progress WHERE consumer LIKE 'neuronx.%.%';
DROP POLICY own ON neuronx.progress;
CREATE POLICY own ON neuronx.progress
    TO neuronx_rules, neuronx_projector, neuronx_archiver, neuronx_gohighlevel
    USING (consumer = replace(current_user, 'neuronx_', 'neuronx.')) WITH CHECK (consumer = replace(current_user, 'neuronx_', 'neuronx.'));
