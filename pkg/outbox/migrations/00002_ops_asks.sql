-- +goose Up
-- Operators ask the archiver's process to send a dead letter again (neuronx.dead_letter_requests); they do not write its outbox: whatever
-- stands there is signed.
DROP POLICY outbox_ops ON neuronx.outbox;
DROP POLICY outbox_numbers_ops ON neuronx.outbox_numbers;
REVOKE INSERT, DELETE ON neuronx.outbox FROM neuronx_ops;
REVOKE INSERT, UPDATE ON neuronx.outbox_numbers FROM neuronx_ops;

-- +goose Down
CREATE POLICY outbox_ops ON neuronx.outbox TO neuronx_ops USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');
CREATE POLICY outbox_numbers_ops ON neuronx.outbox_numbers TO neuronx_ops USING (deriver = 'deadletter') WITH CHECK (deriver = 'deadletter');
GRANT INSERT, DELETE ON neuronx.outbox TO neuronx_ops;
GRANT INSERT, UPDATE ON neuronx.outbox_numbers TO neuronx_ops;
