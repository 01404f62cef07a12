-- +goose Up
-- Which set of rules is in force from which sequence on: one row a rules.published that could be used.
CREATE TABLE neuronx.rule_bundles (
    tenant_id    text        NOT NULL,
    sequence     bigint      NOT NULL CHECK (sequence > 0),
    event_id     text        NOT NULL,
    version      bigint      NOT NULL CHECK (version > 0),
    hash         text        NOT NULL,
    semantics    integer     NOT NULL,
    files        json        NOT NULL,
    published_by text        NOT NULL DEFAULT '',
    published_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);

-- What rules set per subject. json, not jsonb: jsonb would turn 1.0 into what may be read as another kind of number, and refuses NUL.
CREATE TABLE neuronx.rule_state (
    tenant_id text   NOT NULL,
    subject   text   NOT NULL,
    state     json   NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (tenant_id, subject)
);

-- Failures in a row, and trips with the sequence of the log at which they took effect.
CREATE TABLE neuronx.rule_health (
    tenant_id  text        NOT NULL,
    rule       text        NOT NULL,
    failures   bigint      NOT NULL DEFAULT 0 CHECK (failures >= 0),
    tripped    text        NOT NULL DEFAULT '',
    tripped_at bigint      NOT NULL DEFAULT 0,
    reset_at   bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, rule)
);

-- Dead letters of reason storm that engine.storm.detected was derived for: one event a dead letter, however often it is read.
CREATE TABLE neuronx.rule_storms (
    tenant_id text        NOT NULL,
    event_id  text        NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);

ALTER TABLE neuronx.rule_bundles ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_bundles FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_state FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_health ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_health FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_storms ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_storms FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON neuronx.rule_bundles TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY own ON neuronx.rule_state TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY own ON neuronx.rule_health TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY own ON neuronx.rule_storms TO neuronx_rules USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON neuronx.rule_bundles, neuronx.rule_storms TO neuronx_rules;
GRANT SELECT, INSERT, UPDATE, DELETE ON neuronx.rule_state, neuronx.rule_health TO neuronx_rules;

CREATE POLICY operators ON neuronx.rule_bundles FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.rule_state FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.rule_health FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.rule_storms FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT ON neuronx.rule_bundles, neuronx.rule_state, neuronx.rule_health, neuronx.rule_storms TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.rule_storms, neuronx.rule_health, neuronx.rule_state, neuronx.rule_bundles;
