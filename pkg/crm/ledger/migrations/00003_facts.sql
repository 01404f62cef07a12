-- +goose Up
-- facts says, by the vendor's names of the fields, when the newest fact that named the field of a lead's contact happened: a fact that comes
-- late is not written over a newer one. The index finds whose a contact is across tenants: two of them may be connected to one location.
ALTER TABLE neuronx.crm_ids ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';
CREATE INDEX crm_ids_holder ON neuronx.crm_ids (adapter, location, remote_id) WHERE remote_id <> '';

-- +goose Down
DROP INDEX neuronx.crm_ids_holder;
ALTER TABLE neuronx.crm_ids DROP COLUMN facts;
