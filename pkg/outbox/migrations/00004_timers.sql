-- +goose Up
-- The rules service fires timers, too. That is a deriver of its own: its numbers are taken by who fires, not by the batch that folds events,
-- which must not wait for it.
DROP POLICY outbox_rules ON neuronx.outbox;
CREATE POLICY outbox_rules ON neuronx.outbox TO neuronx_rules USING (deriver IN ('rules', 'timers')) WITH CHECK (deriver IN ('rules', 'timers'));
DROP POLICY outbox_numbers_rules ON neuronx.outbox_numbers;
CREATE POLICY outbox_numbers_rules ON neuronx.outbox_numbers TO neuronx_rules USING (deriver IN ('rules', 'timers')) WITH CHECK (deriver IN ('rules', 'timers'));
DROP POLICY rules ON neuronx.outbox_unsealed;
CREATE POLICY rules ON neuronx.outbox_unsealed FOR SELECT TO neuronx_rules USING (deriver IN ('rules', 'timers'));
DROP POLICY rules ON neuronx.outbox_forbidden;
CREATE POLICY rules ON neuronx.outbox_forbidden FOR INSERT TO neuronx_rules WITH CHECK (deriver IN ('rules', 'timers'));

-- +goose Down
DROP POLICY outbox_rules ON neuronx.outbox;
CREATE POLICY outbox_rules ON neuronx.outbox TO neuronx_rules USING (deriver = 'rules') WITH CHECK (deriver = 'rules');
DROP POLICY outbox_numbers_rules ON neuronx.outbox_numbers;
CREATE POLICY outbox_numbers_rules ON neuronx.outbox_numbers TO neuronx_rules USING (deriver = 'rules') WITH CHECK (deriver = 'rules');
DROP POLICY rules ON neuronx.outbox_unsealed;
CREATE POLICY rules ON neuronx.outbox_unsealed FOR SELECT TO neuronx_rules USING (deriver = 'rules');
DROP POLICY rules ON neuronx.outbox_forbidden;
CREATE POLICY rules ON neuronx.outbox_forbidden FOR INSERT TO neuronx_rules WITH CHECK (deriver = 'rules');
