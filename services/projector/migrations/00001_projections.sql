-- +goose Up
-- Which generation of a tenant's tables readers see. A swap is one row.
CREATE TABLE projection.active (
    tenant_id  text        PRIMARY KEY,
    generation bigint      NOT NULL CHECK (generation > 0),
    swapped_at timestamptz NOT NULL DEFAULT now()
);

-- Columns as declared in projections/leads.yaml (a test compares).
CREATE TABLE projection.leads (
    tenant_id  text NOT NULL,
    generation bigint NOT NULL,
    lead_id    text NOT NULL,
    status     text,
    score      bigint,
    owner_id   text,
    channel    text,
    source     text,
    email      text,
    phone      text,
    created_at timestamptz,
    updated_at timestamptz,
    sequence   bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, lead_id)
);

-- Columns as declared in projections/opportunities.yaml (a test compares).
CREATE TABLE projection.opportunities (
    tenant_id      text NOT NULL,
    generation     bigint NOT NULL,
    opportunity_id text NOT NULL,
    lead_id        text,
    name           text,
    status         text,
    stage          text,
    value          numeric(24,4),
    currency       text,
    segment        text,
    owner_id       text,
    created_at     timestamptz,
    closed_at      timestamptz,
    updated_at     timestamptz,
    sequence       bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, opportunity_id)
);

-- Columns as declared in projections/activities.yaml (a test compares).
CREATE TABLE projection.activities (
    tenant_id        text NOT NULL,
    generation       bigint NOT NULL,
    activity_id      text NOT NULL,
    kind             text,
    lead_id          text,
    status           text,
    channel          text,
    direction        text,
    outcome          text,
    duration_seconds bigint,
    owner_id         text,
    starts_at        timestamptz,
    ends_at          timestamptz,
    occurred_at      timestamptz,
    updated_at       timestamptz,
    sequence         bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, activity_id)
);

-- Columns as declared in projections/funnel_daily.yaml (a test compares).
CREATE TABLE projection.funnel_daily (
    tenant_id             text NOT NULL,
    generation            bigint NOT NULL,
    day                   date NOT NULL,
    leads_created         bigint NOT NULL DEFAULT 0,
    contacted             bigint NOT NULL DEFAULT 0,
    qualified             bigint NOT NULL DEFAULT 0,
    converted             bigint NOT NULL DEFAULT 0,
    lost                  bigint NOT NULL DEFAULT 0,
    opportunities_created bigint NOT NULL DEFAULT 0,
    opportunities_won     bigint NOT NULL DEFAULT 0,
    opportunities_lost    bigint NOT NULL DEFAULT 0,
    value_won             numeric(24,4) NOT NULL DEFAULT 0,
    appointments_booked   bigint NOT NULL DEFAULT 0,
    sequence              bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, day)
);

-- Columns as declared in projections/tenants.yaml (a test compares).
CREATE TABLE projection.tenants (
    tenant_id    text NOT NULL,
    generation   bigint NOT NULL,
    id           text NOT NULL,
    name         text,
    status       text,
    crm_adapter  text,
    crm_location text,
    crm_token    text,
    crm_mode     text,
    crm_base_url text,
    created_at   timestamptz,
    updated_at   timestamptz,
    sequence     bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, id)
);

-- Columns as declared in projections/api_keys.yaml (a test compares).
CREATE TABLE projection.api_keys (
    tenant_id     text NOT NULL,
    generation    bigint NOT NULL,
    key_id        text NOT NULL,
    secret_sha256 text,
    scopes        text[],
    label         text,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    created_at    timestamptz,
    updated_at    timestamptz,
    sequence      bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, key_id)
);

CREATE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

CREATE VIEW read.opportunities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.opportunity_id, t.lead_id, t.name, t.status, t.stage, t.value, t.currency, t.segment, t.owner_id, t.created_at, t.closed_at, t.updated_at, t.sequence
    FROM projection.opportunities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

CREATE VIEW read.activities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.activity_id, t.kind, t.lead_id, t.status, t.channel, t.direction, t.outcome, t.duration_seconds, t.owner_id, t.starts_at, t.ends_at, t.occurred_at, t.updated_at, t.sequence
    FROM projection.activities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

CREATE VIEW read.funnel_daily WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.day, t.leads_created, t.contacted, t.qualified, t.converted, t.lost, t.opportunities_created, t.opportunities_won, t.opportunities_lost, t.value_won, t.appointments_booked, t.sequence
    FROM projection.funnel_daily t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

CREATE VIEW neuronx.tenants WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name, t.status, t.crm_adapter, t.crm_location, t.crm_token, t.crm_mode, t.crm_base_url, t.created_at, t.updated_at, t.sequence
    FROM projection.tenants t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

CREATE VIEW neuronx.api_keys WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.key_id, t.secret_sha256, t.scopes, t.label, t.expires_at, t.revoked_at, t.created_at, t.updated_at, t.sequence
    FROM projection.api_keys t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation;

-- Tenants' rows are apart by row-level security for readers. The projector's batches span tenants, so it is bound by its verbs and by
-- the tenant in every key; operators see all; the HTTP role sees all tenants and keys, because it must find whose key it was given.
ALTER TABLE projection.active ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.active FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.active TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.active FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.active TO neuronx_projector;
GRANT SELECT ON projection.active TO neuronx_ops;
CREATE POLICY tenant ON projection.active FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.active TO neuronx_reader;
CREATE POLICY directory ON projection.active FOR SELECT TO neuronx_ingest USING (true);
GRANT SELECT ON projection.active TO neuronx_ingest;

ALTER TABLE projection.leads ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.leads FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.leads TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.leads FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.leads TO neuronx_projector;
GRANT SELECT ON projection.leads TO neuronx_ops;
CREATE POLICY tenant ON projection.leads FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.leads TO neuronx_reader;

ALTER TABLE projection.opportunities ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.opportunities FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.opportunities TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.opportunities FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.opportunities TO neuronx_projector;
GRANT SELECT ON projection.opportunities TO neuronx_ops;
CREATE POLICY tenant ON projection.opportunities FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.opportunities TO neuronx_reader;

ALTER TABLE projection.activities ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.activities FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.activities TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.activities FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.activities TO neuronx_projector;
GRANT SELECT ON projection.activities TO neuronx_ops;
CREATE POLICY tenant ON projection.activities FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.activities TO neuronx_reader;

ALTER TABLE projection.funnel_daily ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.funnel_daily FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.funnel_daily TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.funnel_daily FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.funnel_daily TO neuronx_projector;
GRANT SELECT ON projection.funnel_daily TO neuronx_ops;
CREATE POLICY tenant ON projection.funnel_daily FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.funnel_daily TO neuronx_reader;

ALTER TABLE projection.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.tenants TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.tenants FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.tenants TO neuronx_projector;
GRANT SELECT ON projection.tenants TO neuronx_ops;
CREATE POLICY tenant ON projection.tenants FOR SELECT TO neuronx_reader USING (tenant_id = current_setting('neuronx.tenant', true));
GRANT SELECT ON projection.tenants TO neuronx_reader;
CREATE POLICY directory ON projection.tenants FOR SELECT TO neuronx_ingest USING (true);
GRANT SELECT ON projection.tenants TO neuronx_ingest;

ALTER TABLE projection.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.api_keys TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.api_keys FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.api_keys TO neuronx_projector;
GRANT SELECT ON projection.api_keys TO neuronx_ops;
CREATE POLICY directory ON projection.api_keys FOR SELECT TO neuronx_ingest USING (true);
GRANT SELECT ON projection.api_keys TO neuronx_ingest;

GRANT SELECT ON read.leads, read.opportunities, read.activities, read.funnel_daily, neuronx.tenants TO neuronx_reader, neuronx_ops;
GRANT SELECT ON neuronx.tenants, neuronx.api_keys TO neuronx_ingest, neuronx_ops, neuronx_projector;

-- +goose Down
DROP VIEW read.leads, read.opportunities, read.activities, read.funnel_daily, neuronx.tenants, neuronx.api_keys;
DROP TABLE projection.leads, projection.opportunities, projection.activities, projection.funnel_daily, projection.tenants,
    projection.api_keys, projection.active;
