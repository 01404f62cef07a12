-- +goose Up
-- Columns keep the newest fact, whatever came last: stamps says of each when its fact happened, 16 bytes a column. What a view leaves
-- out (hidden in projections/*.yaml) is what a row has to remember for that.
--
-- The rows that are here were folded in the order of arrival. The projector builds each tenant's tables again, beside these, and shows them
-- when they are complete; until then these go on from what they hold. This runs as the owner, whom row security binds while it is forced.
ALTER TABLE projection.leads ADD COLUMN contacted_at timestamptz, ADD COLUMN qualified_at timestamptz, ADD COLUMN converted_at timestamptz,
    ADD COLUMN lost_at timestamptz, ADD COLUMN told_status text, ADD COLUMN told_order text, ADD COLUMN contacted_order text,
    ADD COLUMN stamps bytea NOT NULL DEFAULT '';
ALTER TABLE projection.opportunities ADD COLUMN outcome text, ADD COLUMN outcome_at timestamptz, ADD COLUMN stamps bytea NOT NULL DEFAULT '';
ALTER TABLE projection.activities ADD COLUMN booked_at timestamptz, ADD COLUMN stamps bytea NOT NULL DEFAULT '';
ALTER TABLE projection.tenants ADD COLUMN zone text;
ALTER TABLE projection.leads NO FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.opportunities NO FORCE ROW LEVEL SECURITY;
UPDATE projection.leads SET told_status = status, told_order = '' WHERE status IS NOT NULL;
UPDATE projection.opportunities SET outcome = status, outcome_at = coalesce(closed_at, updated_at) WHERE status IS NOT NULL;
ALTER TABLE projection.leads FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.opportunities FORCE ROW LEVEL SECURITY;

-- The funnel has a row a day and currency.
DROP VIEW read.funnel_daily;
ALTER TABLE projection.funnel_daily DROP CONSTRAINT funnel_daily_pkey, ADD COLUMN currency text NOT NULL DEFAULT '',
    ALTER COLUMN value_won TYPE numeric(40,4), ADD PRIMARY KEY (tenant_id, generation, day, currency);
CREATE VIEW read.funnel_daily WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.day, t.currency, t.leads_created, t.contacted, t.qualified, t.converted, t.lost, t.opportunities_created, t.opportunities_won,
        t.opportunities_lost, t.value_won, t.appointments_booked, t.sequence
    FROM projection.funnel_daily t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
GRANT SELECT ON read.funnel_daily TO neuronx_reader, neuronx_ops;

CREATE OR REPLACE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence,
        t.contacted_at, t.qualified_at, t.converted_at, t.lost_at
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE OR REPLACE VIEW read.activities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.activity_id, t.kind, t.lead_id, t.status, t.channel, t.direction, t.outcome, t.duration_seconds, t.owner_id, t.starts_at, t.ends_at, t.occurred_at, t.updated_at, t.sequence,
        t.booked_at
    FROM projection.activities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE OR REPLACE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence,
        t.events_per_second, t.bytes_per_second, t.zone
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'control' AND a.generation = t.generation;

-- What built a generation, and the time zone of its days. A generation without a row here is older than this table.
CREATE TABLE projection.generations (
    tenant_id   text   NOT NULL,
    feed        text   NOT NULL CHECK (feed IN ('main', 'control')),
    generation  bigint NOT NULL CHECK (generation > 0),
    declaration text   NOT NULL DEFAULT '', -- hash of the declared projections; mixed: more than one
    zone        text   NOT NULL DEFAULT 'UTC',
    PRIMARY KEY (tenant_id, feed, generation)
);
ALTER TABLE projection.generations ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.generations FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.generations TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.generations FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.generations TO neuronx_projector;
GRANT SELECT ON projection.generations TO neuronx_ops;

-- +goose Down
DROP TABLE projection.generations;
DROP VIEW read.funnel_daily, read.leads, read.activities, neuronx.tenants;
ALTER TABLE projection.funnel_daily NO FORCE ROW LEVEL SECURITY;
DELETE FROM projection.funnel_daily WHERE currency <> '';
ALTER TABLE projection.funnel_daily FORCE ROW LEVEL SECURITY;
ALTER TABLE projection.funnel_daily DROP CONSTRAINT funnel_daily_pkey, DROP COLUMN currency, ALTER COLUMN value_won TYPE numeric(24,4),
    ADD PRIMARY KEY (tenant_id, generation, day);
ALTER TABLE projection.leads DROP COLUMN contacted_at, DROP COLUMN qualified_at, DROP COLUMN converted_at, DROP COLUMN lost_at, DROP COLUMN told_status,
    DROP COLUMN told_order, DROP COLUMN contacted_order, DROP COLUMN stamps;
ALTER TABLE projection.opportunities DROP COLUMN outcome, DROP COLUMN outcome_at, DROP COLUMN stamps;
ALTER TABLE projection.activities DROP COLUMN booked_at, DROP COLUMN stamps;
ALTER TABLE projection.tenants DROP COLUMN zone;
CREATE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE VIEW read.activities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.activity_id, t.kind, t.lead_id, t.status, t.channel, t.direction, t.outcome, t.duration_seconds, t.owner_id, t.starts_at, t.ends_at, t.occurred_at, t.updated_at, t.sequence
    FROM projection.activities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE VIEW read.funnel_daily WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.day, t.leads_created, t.contacted, t.qualified, t.converted, t.lost, t.opportunities_created, t.opportunities_won, t.opportunities_lost, t.value_won, t.appointments_booked, t.sequence
    FROM projection.funnel_daily t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence,
        t.events_per_second, t.bytes_per_second
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'control' AND a.generation = t.generation;
GRANT SELECT ON read.leads, read.activities, read.funnel_daily, neuronx.tenants TO neuronx_reader, neuronx_ops;
GRANT SELECT ON neuronx.tenants TO neuronx_ingest, neuronx_projector;
