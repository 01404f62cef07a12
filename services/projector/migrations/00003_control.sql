-- +goose Up
-- What the engine itself reads (tenants, API keys) is feed control, with progress and generations of its own: a read model that stalls
-- or is rebuilt must not hold up a revoked key. The default stays for the build before, which names no feed.
ALTER TABLE projection.active ADD COLUMN feed text NOT NULL DEFAULT 'main' CHECK (feed IN ('main', 'control'));
ALTER TABLE projection.active DROP CONSTRAINT active_pkey, ADD PRIMARY KEY (tenant_id, feed);

-- The tables that were shown go on being shown: no key may vanish, or come to life again, by the upgrade. A tenant that is stalled takes
-- up control where it stopped; what its commands recorded since then is applied at once. This runs as the owner, whom row security
-- binds as everybody else while it is forced.
ALTER TABLE projection.active NO FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.progress NO FORCE ROW LEVEL SECURITY;
INSERT INTO projection.active (tenant_id, feed, generation, swapped_at) SELECT tenant_id, 'control', generation, swapped_at FROM projection.active;
INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, seen, event_id, log_id, state, origin, updated_at)
    SELECT 'neuronx.projector.control', generation, tenant_id, partition, sequence, seen, event_id, log_id,
        CASE WHEN state = 'stalled' AND reason <> 'log_changed' THEN 'catching-up' ELSE state END, origin, updated_at
    FROM neuronx.progress WHERE consumer = 'neuronx.projector';
UPDATE neuronx.progress SET reason = 'log_changed' WHERE consumer = 'neuronx.projector.control' AND state = 'stalled';
ALTER TABLE projection.active FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.progress FORCE ROW LEVEL SECURITY;

CREATE OR REPLACE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;

CREATE OR REPLACE VIEW read.opportunities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.opportunity_id, t.lead_id, t.name, t.status, t.stage, t.value, t.currency, t.segment, t.owner_id, t.created_at, t.closed_at, t.updated_at, t.sequence
    FROM projection.opportunities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;

CREATE OR REPLACE VIEW read.activities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.activity_id, t.kind, t.lead_id, t.status, t.channel, t.direction, t.outcome, t.duration_seconds, t.owner_id, t.starts_at, t.ends_at, t.occurred_at, t.updated_at, t.sequence
    FROM projection.activities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;

CREATE OR REPLACE VIEW read.funnel_daily WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.day, t.leads_created, t.contacted, t.qualified, t.converted, t.lost, t.opportunities_created, t.opportunities_won, t.opportunities_lost, t.value_won, t.appointments_booked, t.sequence
    FROM projection.funnel_daily t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;

CREATE OR REPLACE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence,
        t.events_per_second, t.bytes_per_second
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'control' AND a.generation = t.generation;

CREATE OR REPLACE VIEW neuronx.api_keys WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.key_id, t.secret_sha256, t.scopes, t.label, t.expires_at, t.revoked_at, t.created_at, t.updated_at, t.sequence
    FROM projection.api_keys t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'control' AND a.generation = t.generation;

-- +goose Down
CREATE OR REPLACE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
CREATE OR REPLACE VIEW read.opportunities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.opportunity_id, t.lead_id, t.name, t.status, t.stage, t.value, t.currency, t.segment, t.owner_id, t.created_at, t.closed_at, t.updated_at, t.sequence
    FROM projection.opportunities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
CREATE OR REPLACE VIEW read.activities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.activity_id, t.kind, t.lead_id, t.status, t.channel, t.direction, t.outcome, t.duration_seconds, t.owner_id, t.starts_at, t.ends_at, t.occurred_at, t.updated_at, t.sequence
    FROM projection.activities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
CREATE OR REPLACE VIEW read.funnel_daily WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.day, t.leads_created, t.contacted, t.qualified, t.converted, t.lost, t.opportunities_created, t.opportunities_won, t.opportunities_lost, t.value_won, t.appointments_booked, t.sequence
    FROM projection.funnel_daily t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
CREATE OR REPLACE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence,
        t.events_per_second, t.bytes_per_second
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
CREATE OR REPLACE VIEW neuronx.api_keys WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.key_id, t.secret_sha256, t.scopes, t.label, t.expires_at, t.revoked_at, t.created_at, t.updated_at, t.sequence
    FROM projection.api_keys t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;
ALTER TABLE projection.active NO FORCE ROW LEVEL SECURITY;
DELETE FROM projection.active WHERE feed = 'control';
ALTER TABLE projection.active FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.active DROP CONSTRAINT active_pkey, DROP COLUMN feed, ADD PRIMARY KEY (tenant_id);
