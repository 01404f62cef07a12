-- +goose Up
-- The switch with which operators stop requests to CRMs. It is a row and no event, because it must work while the log stands still; it says who
-- stopped what and why, and is kept when it ends. It is read before each request.
CREATE TABLE neuronx.effect_pauses (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  text        NOT NULL, -- '*': all
    adapter    text        NOT NULL, -- '*': all
    kind       text        NOT NULL, -- of effects, such as crm.note.add; '*': all
    reason     text        NOT NULL,
    paused_by  text        NOT NULL DEFAULT '',
    since      timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    ended_by   text,
    ended_why  text
);
CREATE UNIQUE INDEX effect_pauses_in_force ON neuronx.effect_pauses (tenant_id, adapter, kind) WHERE ended_at IS NULL;
ALTER TABLE neuronx.effect_pauses ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.effect_pauses FORCE ROW LEVEL SECURITY;
CREATE POLICY adapters ON neuronx.effect_pauses FOR SELECT TO neuronx_crm USING (true);
CREATE POLICY operators ON neuronx.effect_pauses TO neuronx_ops USING (true) WITH CHECK (true);
GRANT SELECT ON neuronx.effect_pauses TO neuronx_crm, neuronx_ops;
GRANT INSERT (tenant_id, adapter, kind, reason, paused_by), UPDATE (ended_at, ended_by, ended_why) ON neuronx.effect_pauses TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.effect_pauses;
