-- +goose Up
-- A link names the location of the account: ids of another location mean nothing, or somebody else. One contact of a location belongs to
-- one lead. email and phone are the keys that the lead was last written with, by which its contact is found again when it was merged;
-- known is what the contact is known to hold, by the vendor's names of the fields ('' is known to be empty), so that what changes nothing
-- is not sent. version counts the writes begun, so that two at once leave nothing known that may be otherwise.
ALTER TABLE neuronx.crm_ids ADD COLUMN location text NOT NULL DEFAULT '', ADD COLUMN email text NOT NULL DEFAULT '',
    ADD COLUMN phone text NOT NULL DEFAULT '', ADD COLUMN known jsonb NOT NULL DEFAULT '{}', ADD COLUMN version bigint NOT NULL DEFAULT 0,
    ADD COLUMN fresh boolean NOT NULL DEFAULT false; -- found by its keys, and not written yet

-- This runs as the owner, whom row security binds as everybody else while it is forced.
ALTER TABLE neuronx.crm_ids NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_connections NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effects NO FORCE ROW LEVEL SECURITY;
UPDATE neuronx.crm_ids i SET location = c.location FROM neuronx.crm_connections c
    WHERE c.tenant_id = i.tenant_id AND c.adapter = i.adapter;
UPDATE neuronx.crm_ids i SET email = k.email, phone = k.phone FROM (
    SELECT tenant_id, request->>'lead_id' AS lead,
        coalesce((array_agg(request->>'email' ORDER BY command_sequence DESC) FILTER (WHERE request->>'email' <> ''))[1], '') AS email,
        coalesce((array_agg(request->>'phone' ORDER BY command_sequence DESC) FILTER (WHERE request->>'phone' <> ''))[1], '') AS phone
    FROM neuronx.effects WHERE kind = 'crm.contact.upsert' AND status = 'done' AND request->>'lead_id' <> '' GROUP BY 1, 2) k
    WHERE k.tenant_id = i.tenant_id AND k.lead = i.local_id AND i.adapter = 'gohighlevel';
-- Where earlier versions gave one contact to several leads, none of them keeps it: whose it is is found out by the keys of each.
UPDATE neuronx.crm_ids i SET remote_id = '' WHERE EXISTS (SELECT 1 FROM neuronx.crm_ids o WHERE o.tenant_id = i.tenant_id
    AND o.adapter = i.adapter AND o.location = i.location AND o.remote_id = i.remote_id AND o.local_id <> i.local_id);
ALTER TABLE neuronx.crm_ids FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_connections FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effects FORCE ROW LEVEL SECURITY;

ALTER TABLE neuronx.crm_ids DROP CONSTRAINT crm_ids_pkey, ADD PRIMARY KEY (tenant_id, adapter, location, local_id);
CREATE UNIQUE INDEX crm_ids_contact ON neuronx.crm_ids (tenant_id, adapter, location, remote_id) WHERE remote_id <> '';
CREATE INDEX crm_ids_lead ON neuronx.crm_ids (tenant_id, adapter, local_id);

-- Who is writing, or has just written, an e-mail address or phone number: the CRM's search lags behind its writes, so that two leads with
-- one key would both find nobody. A row counts until its time, and is no record of anything afterwards.
CREATE TABLE neuronx.crm_claims (
    tenant_id text        NOT NULL,
    adapter   text        NOT NULL,
    location  text        NOT NULL,
    key       text        NOT NULL, -- SHA-256 of e-mail/<address> or phone/<digits>, hex
    local_id  text        NOT NULL, -- lead id
    until     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, adapter, location, key)
);
CREATE INDEX crm_claims_until ON neuronx.crm_claims (until);
ALTER TABLE neuronx.crm_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_claims FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_claims TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel');
CREATE POLICY operators ON neuronx.crm_claims FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON neuronx.crm_claims TO neuronx_gohighlevel;
GRANT SELECT ON neuronx.crm_claims TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.crm_claims;
DROP INDEX neuronx.crm_ids_contact, neuronx.crm_ids_lead;
ALTER TABLE neuronx.crm_ids NO FORCE ROW LEVEL SECURITY;
DELETE FROM neuronx.crm_ids i WHERE remote_id = '' OR EXISTS (SELECT 1 FROM neuronx.crm_ids o WHERE o.tenant_id = i.tenant_id
    AND o.adapter = i.adapter AND o.local_id = i.local_id AND o.location <> i.location AND (o.updated_at, o.location) > (i.updated_at, i.location));
ALTER TABLE neuronx.crm_ids FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_ids DROP CONSTRAINT crm_ids_pkey, ADD PRIMARY KEY (tenant_id, adapter, local_id);
ALTER TABLE neuronx.crm_ids DROP COLUMN location, DROP COLUMN email, DROP COLUMN phone, DROP COLUMN known, DROP COLUMN version, DROP COLUMN fresh;
