-- +goose Up
-- The ledger of external effects. A row is made when the command is read from the log and never deleted: its key is what keeps an
-- effect from being carried out twice, for ever. request holds personal data of the lead.
CREATE TABLE neuronx.effects (
    tenant_id        text        NOT NULL,
    effect_id        text        NOT NULL,
    command_event_id text        NOT NULL,
    command_sequence bigint      NOT NULL CHECK (command_sequence >= 0),
    kind             text        NOT NULL,
    class            text        NOT NULL CHECK (class IN ('repeatable', 'guarded', 'once')),
    subject          text        NOT NULL,
    status           text        NOT NULL CHECK (status IN ('pending', 'sending', 'done', 'failed', 'unknown', 'recorded', 'off')),
    attempts         integer     NOT NULL DEFAULT 0,
    resolutions      integer     NOT NULL DEFAULT 0,
    code             text        NOT NULL DEFAULT '',
    last_error       text        NOT NULL DEFAULT '',
    remote_id        text        NOT NULL DEFAULT '',
    request          jsonb       NOT NULL,
    envelope         jsonb       NOT NULL,
    partition        integer     NOT NULL CHECK (partition >= 0),
    position         bigint      NOT NULL,
    not_after        timestamptz,
    lease_until      timestamptz,
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, effect_id),
    CHECK ((status = 'sending') = (lease_until IS NOT NULL))
);
CREATE INDEX effects_order ON neuronx.effects (tenant_id, subject, command_sequence) WHERE status IN ('pending', 'sending');
CREATE INDEX effects_due ON neuronx.effects (tenant_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX effects_leases ON neuronx.effects (lease_until) WHERE status = 'sending';
CREATE INDEX effects_open ON neuronx.effects (tenant_id, command_sequence) WHERE status IN ('unknown', 'failed', 'recorded');
CREATE INDEX effects_status ON neuronx.effects (status) WHERE status IN ('pending', 'sending', 'unknown');

-- Each attempt: what was meant to be sent, written before the first byte, and what came of it.
CREATE TABLE neuronx.effect_attempts (
    tenant_id   text        NOT NULL,
    effect_id   text        NOT NULL,
    attempt     integer     NOT NULL,
    worker      text        NOT NULL,
    intent      text        NOT NULL, -- methods, paths and SHA-256 of the bodies
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    outcome     text        NOT NULL DEFAULT '', -- '' while sending
    code        text        NOT NULL DEFAULT '',
    detail      text        NOT NULL DEFAULT '',
    remote_id   text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, effect_id, attempt),
    FOREIGN KEY (tenant_id, effect_id) REFERENCES neuronx.effects
);

CREATE TABLE neuronx.crm_ids (
    tenant_id  text        NOT NULL,
    adapter    text        NOT NULL,
    local_id   text        NOT NULL, -- lead id
    remote_id  text        NOT NULL, -- contact id
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, adapter, local_id)
);

-- Folded from tenant.crm_connected; token names a secret and is none.
CREATE TABLE neuronx.crm_connections (
    tenant_id  text        NOT NULL,
    adapter    text        NOT NULL,
    location   text        NOT NULL,
    token      text        NOT NULL,
    mode       text        NOT NULL CHECK (mode IN ('off', 'record', 'send')),
    base_url   text        NOT NULL DEFAULT '',
    suspended  boolean     NOT NULL DEFAULT false, -- from tenant.suspended and tenant.resumed
    sequence   bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, adapter)
);

-- Folded from tenant.effects_mode_set; kind '*' is all kinds without a row of their own.
CREATE TABLE neuronx.effect_modes (
    tenant_id  text        NOT NULL,
    kind       text        NOT NULL,
    mode       text        NOT NULL CHECK (mode IN ('off', 'record', 'send')),
    sequence   bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind)
);

-- A restored database was seen: commands up to position may have been carried out by the lost part of the ledger.
CREATE TABLE neuronx.effect_freezes (
    scope    text        NOT NULL, -- tenant/<id> or partition/<n>
    position bigint      NOT NULL,
    reason   text        NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, position)
);

ALTER TABLE neuronx.effects ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effects FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_ids FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_connections FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_modes ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_modes FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_freezes ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_freezes FORCE ROW LEVEL SECURITY;

CREATE POLICY adapter ON neuronx.effects TO neuronx_gohighlevel USING (true) WITH CHECK (true);
CREATE POLICY adapter ON neuronx.effect_attempts TO neuronx_gohighlevel USING (true) WITH CHECK (true);
CREATE POLICY adapter ON neuronx.crm_ids TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel');
CREATE POLICY adapter ON neuronx.crm_connections TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel');
CREATE POLICY adapter ON neuronx.effect_modes TO neuronx_gohighlevel USING (true) WITH CHECK (true);
CREATE POLICY adapter ON neuronx.effect_freezes TO neuronx_gohighlevel USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON neuronx.effects, neuronx.effect_attempts, neuronx.crm_ids, neuronx.crm_connections,
    neuronx.effect_modes, neuronx.effect_freezes TO neuronx_gohighlevel;

-- Operators look; they change an effect only by the event engine.effect.resolved.
CREATE POLICY operators ON neuronx.effects FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.effect_attempts FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.crm_ids FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.crm_connections FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.effect_modes FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.effect_freezes FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT ON neuronx.effects, neuronx.effect_attempts, neuronx.crm_ids, neuronx.crm_connections,
    neuronx.effect_modes, neuronx.effect_freezes TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.effect_freezes, neuronx.effect_modes, neuronx.crm_connections, neuronx.crm_ids, neuronx.effect_attempts, neuronx.effects;
