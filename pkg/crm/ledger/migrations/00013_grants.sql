-- +goose Up
-- What opens tenants' accounts in CRMs: one row an account, and none of its columns is a secret.
CREATE TABLE neuronx.crm_grants (
    adapter        text        NOT NULL,
    holder         text        NOT NULL, -- location/<id>
    tenant_id      text        NOT NULL,
    auth           text        NOT NULL CHECK (auth IN ('pit', 'oauth')),
    version        bigint      NOT NULL CHECK (version > 0), -- of the tokens in force; it never goes back
    state          text        NOT NULL CHECK (state IN ('active', 'needs_consent', 'revoked')),
    reason         text        NOT NULL DEFAULT '', -- why it is not active
    fingerprint    text        NOT NULL, -- the first 12 hexadecimal digits of the access token's SHA-256
    scopes         text        NOT NULL DEFAULT '',
    given_at       timestamptz NOT NULL DEFAULT now(), -- when a person gave it
    given_by       text        NOT NULL DEFAULT '',
    fallback_until timestamptz, -- until when the version before is used where this one is refused
    expires_at     timestamptz, -- of an access token that is refreshed
    refresh_at     timestamptz, -- when that is due
    refreshed_at   timestamptz,
    claimed_until  timestamptz, -- a process is refreshing it
    PRIMARY KEY (adapter, holder)
);
CREATE INDEX crm_grants_due ON neuronx.crm_grants (adapter, refresh_at) WHERE refresh_at IS NOT NULL;

-- The tokens, sealed with the master keyset and bound to adapter, holder and version. Operators' role writes and deletes them and can't read them.
CREATE TABLE neuronx.crm_tokens (
    adapter text   NOT NULL,
    holder  text   NOT NULL,
    version bigint NOT NULL,
    sealed  bytea  NOT NULL,
    PRIMARY KEY (adapter, holder, version),
    FOREIGN KEY (adapter, holder) REFERENCES neuronx.crm_grants
);

-- A ticket lets one browser, once, ask the CRM for access to an account for a tenant. Of tickets, states and cookies there are SHA-256 hashes only.
CREATE TABLE neuronx.crm_tickets (
    hash        bytea       PRIMARY KEY,
    adapter     text        NOT NULL,
    tenant_id   text        NOT NULL,
    mode        text        NOT NULL CHECK (mode IN ('off', 'record', 'send')), -- of the connection that it makes
    given_by    text        NOT NULL DEFAULT '',
    expires_at  timestamptz NOT NULL,
    state_hash  bytea       UNIQUE, -- of the state that went to the CRM, from the start on
    cookie_hash bytea,
    used_at     timestamptz
);

ALTER TABLE neuronx.crm_tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_tickets FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_tickets TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
    WITH CHECK (adapter = replace(current_user, 'neuronx_', ''));
CREATE POLICY operators ON neuronx.crm_tickets FOR INSERT TO neuronx_ops WITH CHECK (true);
GRANT SELECT, UPDATE, DELETE ON neuronx.crm_tickets TO neuronx_crm;
GRANT INSERT ON neuronx.crm_tickets TO neuronx_ops;

ALTER TABLE neuronx.crm_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_grants FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_grants TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
    WITH CHECK (adapter = replace(current_user, 'neuronx_', ''));
CREATE POLICY adapter ON neuronx.crm_tokens TO neuronx_crm USING (adapter = replace(current_user, 'neuronx_', ''))
    WITH CHECK (adapter = replace(current_user, 'neuronx_', ''));
CREATE POLICY operators ON neuronx.crm_grants TO neuronx_ops USING (true) WITH CHECK (true);
CREATE POLICY operators ON neuronx.crm_tokens TO neuronx_ops USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON neuronx.crm_grants TO neuronx_crm, neuronx_ops;
GRANT SELECT, INSERT, UPDATE, DELETE ON neuronx.crm_tokens TO neuronx_crm;
GRANT INSERT, DELETE, SELECT (adapter, holder, version) ON neuronx.crm_tokens TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.crm_tickets;
DROP TABLE neuronx.crm_tokens;
DROP TABLE neuronx.crm_grants;
