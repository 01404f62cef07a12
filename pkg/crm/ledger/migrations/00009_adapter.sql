-- +goose Up
-- Every table of the ledger says whose a row is, so that two adapters can keep theirs here under the same command ids. What is here is of the only
-- adapter there was. The default fills old rows without reading them, so that it works while row security is forced, and then goes: an insert that
-- does not say whose it is fails.
ALTER TABLE neuronx.effects ADD COLUMN adapter text NOT NULL DEFAULT 'gohighlevel';
ALTER TABLE neuronx.effect_attempts ADD COLUMN adapter text NOT NULL DEFAULT 'gohighlevel';
ALTER TABLE neuronx.effect_modes ADD COLUMN adapter text NOT NULL DEFAULT 'gohighlevel';
ALTER TABLE neuronx.effect_freezes ADD COLUMN adapter text NOT NULL DEFAULT 'gohighlevel';
ALTER TABLE neuronx.effects ALTER COLUMN adapter DROP DEFAULT;
ALTER TABLE neuronx.effect_attempts ALTER COLUMN adapter DROP DEFAULT;
ALTER TABLE neuronx.effect_modes ALTER COLUMN adapter DROP DEFAULT;
ALTER TABLE neuronx.effect_freezes ALTER COLUMN adapter DROP DEFAULT;
-- A foreign key is checked as the owner, whom row security binds while it is forced; without rows to see, adding it would fail.
ALTER TABLE neuronx.effects NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts DROP CONSTRAINT effect_attempts_tenant_id_effect_id_fkey, DROP CONSTRAINT effect_attempts_pkey;
ALTER TABLE neuronx.effects DROP CONSTRAINT effects_pkey, ADD PRIMARY KEY (tenant_id, adapter, effect_id);
ALTER TABLE neuronx.effect_attempts ADD PRIMARY KEY (tenant_id, adapter, effect_id, attempt),
    ADD FOREIGN KEY (tenant_id, adapter, effect_id) REFERENCES neuronx.effects;
ALTER TABLE neuronx.effects FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_modes DROP CONSTRAINT effect_modes_pkey, ADD PRIMARY KEY (tenant_id, adapter, kind);
ALTER TABLE neuronx.effect_freezes DROP CONSTRAINT effect_freezes_pkey, ADD PRIMARY KEY (adapter, scope, position);
-- A role sees the rows of the adapter that it is named after: another adapter needs a role in the group and no policy.
-- +goose StatementBegin
DO $do$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['effects', 'effect_attempts', 'effect_modes', 'effect_freezes', 'crm_ids', 'crm_connections', 'crm_claims', 'crm_aliases', 'crm_consents'] LOOP
        EXECUTE format('DROP POLICY adapter ON neuronx.%I', t);
        EXECUTE format($f$CREATE POLICY adapter ON neuronx.%I TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
            WITH CHECK (adapter = replace(current_user, 'neuronx_', ''))$f$, t);
    END LOOP;
END
$do$;
-- +goose StatementEnd

-- +goose Down
-- What another adapter did has no place in the old keys.
-- +goose StatementBegin
DO $do$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['effects', 'effect_attempts', 'effect_modes', 'effect_freezes', 'crm_ids', 'crm_connections', 'crm_claims', 'crm_aliases', 'crm_consents'] LOOP
        EXECUTE format('DROP POLICY adapter ON neuronx.%I', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['effects', 'effect_attempts', 'effect_modes', 'effect_freezes'] LOOP
        EXECUTE format('CREATE POLICY adapter ON neuronx.%I TO neuronx_gohighlevel USING (true) WITH CHECK (true)', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['crm_ids', 'crm_connections', 'crm_claims', 'crm_aliases', 'crm_consents'] LOOP
        EXECUTE format($f$CREATE POLICY adapter ON neuronx.%I TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel')$f$, t);
    END LOOP;
END
$do$;
-- +goose StatementEnd
ALTER TABLE neuronx.effects NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_modes NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_freezes NO FORCE ROW LEVEL SECURITY;
DELETE FROM neuronx.effect_attempts WHERE adapter <> 'gohighlevel';
DELETE FROM neuronx.effects WHERE adapter <> 'gohighlevel';
DELETE FROM neuronx.effect_modes WHERE adapter <> 'gohighlevel';
DELETE FROM neuronx.effect_freezes WHERE adapter <> 'gohighlevel';
ALTER TABLE neuronx.effect_attempts DROP CONSTRAINT effect_attempts_tenant_id_adapter_effect_id_fkey, DROP CONSTRAINT effect_attempts_pkey;
ALTER TABLE neuronx.effects DROP CONSTRAINT effects_pkey, ADD PRIMARY KEY (tenant_id, effect_id);
ALTER TABLE neuronx.effect_attempts ADD PRIMARY KEY (tenant_id, effect_id, attempt), ADD FOREIGN KEY (tenant_id, effect_id) REFERENCES neuronx.effects;
ALTER TABLE neuronx.effect_modes DROP CONSTRAINT effect_modes_pkey, ADD PRIMARY KEY (tenant_id, kind);
ALTER TABLE neuronx.effect_freezes DROP CONSTRAINT effect_freezes_pkey, ADD PRIMARY KEY (scope, position);
ALTER TABLE neuronx.effects DROP COLUMN adapter;
ALTER TABLE neuronx.effect_attempts DROP COLUMN adapter;
ALTER TABLE neuronx.effect_modes DROP COLUMN adapter;
ALTER TABLE neuronx.effect_freezes DROP COLUMN adapter;
ALTER TABLE neuronx.effects FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_modes FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_freezes FORCE ROW LEVEL SECURITY;
