-- +goose Up
-- Instances of workflows, and what the fold keeps beside them. Everything here is written in the transaction of the batch that folds the
-- events, so that it stands at neuronx.progress. Texts that come from expressions are looked up by at most 512 bytes: a longer one, or one that
-- Postgres has no text for, stands here as a backslash and its SHA-256, and as it is in a column whole.
CREATE TABLE neuronx.workflow_instances (
    tenant_id text        NOT NULL,
    id        text        NOT NULL,
    workflow  text        NOT NULL,
    key       text        NOT NULL,
    grp       text        NOT NULL DEFAULT '',
    subject   text        NOT NULL,
    contact   text        NOT NULL DEFAULT '',
    bundle    bigint      NOT NULL CHECK (bundle > 0),
    status    text        NOT NULL CHECK (status IN ('waiting', 'suspended', 'incident', 'completed', 'cancelled', 'faulted')),
    paused    boolean     NOT NULL DEFAULT false,
    started   timestamptz NOT NULL,
    ended     timestamptz CHECK ((ended IS NOT NULL) = (status IN ('completed', 'cancelled', 'faulted'))),
    sequence  bigint      NOT NULL CHECK (sequence > 0),
    state     json        NOT NULL,
    personal  json,
    whole_key     bytea,
    whole_contact bytea,
    PRIMARY KEY (tenant_id, id)
);
-- An instance is written at each activation: leave room for the next version of the row on its page.
ALTER TABLE neuronx.workflow_instances SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX workflow_instances_of_key ON neuronx.workflow_instances (tenant_id, key, workflow) WHERE ended IS NULL;
CREATE INDEX workflow_instances_of_group ON neuronx.workflow_instances (tenant_id, grp, key) WHERE ended IS NULL AND grp <> '';
CREATE INDEX workflow_instances_of_subject ON neuronx.workflow_instances (tenant_id, subject);
CREATE INDEX workflow_instances_of_contact ON neuronx.workflow_instances (tenant_id, contact) WHERE contact <> '';
CREATE INDEX workflow_instances_by_status ON neuronx.workflow_instances (tenant_id, status) WHERE status IN ('suspended', 'incident');
CREATE INDEX workflow_instances_listed ON neuronx.workflow_instances (tenant_id, status, started, id);
CREATE INDEX workflow_instances_paused ON neuronx.workflow_instances (tenant_id, workflow, started, id) WHERE paused AND ended IS NULL;
CREATE INDEX workflow_instances_ended ON neuronx.workflow_instances (ended) WHERE ended IS NOT NULL;
COMMENT ON COLUMN neuronx.workflow_instances.bundle IS 'sequence of the rules.published that holds the text by which it runs';
COMMENT ON COLUMN neuronx.workflow_instances.grp IS 'group of which one instance lives for a key; empty: none';
COMMENT ON COLUMN neuronx.workflow_instances.contact IS 'lead whom its commands reach; empty: they reach nobody';
COMMENT ON COLUMN neuronx.workflow_instances.paused IS 'held because its workflow was paused';
COMMENT ON COLUMN neuronx.workflow_instances.started IS 'position time of the event that started it';
COMMENT ON COLUMN neuronx.workflow_instances.ended IS 'position time of the event that ended it; it is deleted 30 days later, because its history is in the log';
COMMENT ON COLUMN neuronx.workflow_instances.sequence IS 'of the event that moved it last';
COMMENT ON COLUMN neuronx.workflow_instances.personal IS 'what comes from fields marked as personal; null: nothing does';

-- What instances wait for: how an event finds them.
CREATE TABLE neuronx.workflow_waits (
    tenant_id text     NOT NULL,
    type      text     NOT NULL,
    value     text     NOT NULL,
    kind      smallint NOT NULL CHECK (kind BETWEEN 0 AND 2),
    instance  text     NOT NULL,
    whole     bytea,
    PRIMARY KEY (tenant_id, type, value, kind, instance)
);
CREATE INDEX workflow_waits_of_instance ON neuronx.workflow_waits (tenant_id, instance);
COMMENT ON COLUMN neuronx.workflow_waits.kind IS '0: the value is the key of the instance; 1: that of correlate.expect; 2: the id of a command';
COMMENT ON COLUMN neuronx.workflow_waits.whole IS 'the value where its column has a hash';

-- What re-entry asks of a key. It outlives the instances.
CREATE TABLE neuronx.workflow_keys (
    tenant_id    text        NOT NULL,
    workflow     text        NOT NULL,
    key          text        NOT NULL,
    starts       bigint      NOT NULL CHECK (starts >= 0),
    last_started timestamptz,
    last_ended   timestamptz,
    about        text        NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, key, workflow)
);
COMMENT ON COLUMN neuronx.workflow_keys.about IS 'subject that the key names, such as lead/7; empty: none';
COMMENT ON TABLE neuronx.workflow_keys IS 'times are position times; null: none has started or ended';

-- Texts that instances run by: those with live > 0 must be kept compiled. The sum of a tenant is how many of its instances live.
CREATE TABLE neuronx.workflow_versions (
    tenant_id text   NOT NULL,
    workflow  text   NOT NULL,
    bundle    bigint NOT NULL CHECK (bundle > 0),
    live      bigint NOT NULL CHECK (live >= 0),
    PRIMARY KEY (tenant_id, workflow, bundle)
);

-- Timers. A row exists from the event that arms it to the event that fires or disarms it.
CREATE TABLE neuronx.timers (
    tenant_id      text        NOT NULL,
    id             text        NOT NULL,
    partition      integer     NOT NULL CHECK (partition >= 0),
    instance       text        NOT NULL,
    workflow       text        NOT NULL,
    token          bigint      NOT NULL,
    task           text        NOT NULL,
    due            timestamptz NOT NULL,
    armed_sequence bigint      NOT NULL CHECK (armed_sequence > 0),
    cause          text        NOT NULL DEFAULT '',
    state          text        NOT NULL DEFAULT 'armed' CHECK (state IN ('armed', 'firing')),
    attempt        bigint      NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    refused        bigint      NOT NULL DEFAULT 0 CHECK (refused >= 0),
    held_until     timestamptz NOT NULL,
    fired_at       timestamptz CHECK ((fired_at IS NOT NULL) = (state = 'firing')),
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE neuronx.timers SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX timers_due ON neuronx.timers (partition, held_until, id) WHERE state = 'armed';
CREATE INDEX timers_firing ON neuronx.timers (partition, fired_at) WHERE state = 'firing';
CREATE INDEX timers_of_instance ON neuronx.timers (tenant_id, instance);
COMMENT ON COLUMN neuronx.timers.partition IS 'of the tenant, whose owner fires it';
COMMENT ON COLUMN neuronx.timers.cause IS 'id of the event that armed it; empty: not known';
COMMENT ON COLUMN neuronx.timers.attempt IS 'firings that came too early, were refused or were lost';
COMMENT ON COLUMN neuronx.timers.refused IS 'firings that were refused; the tenth is told to the instance';
COMMENT ON COLUMN neuronx.timers.held_until IS 'it is not fired before: its due, or later after a firing that came too early or was refused';
COMMENT ON COLUMN neuronx.timers.fired_at IS 'when its firing was put into the outbox, by the clock of Postgres';

-- What is known of how a lead may be reached: consent, and the last sends of each channel.
CREATE TABLE neuronx.contact_state (
    tenant_id text   NOT NULL,
    lead      text   NOT NULL,
    state     json   NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (tenant_id, lead)
);

-- State of the fold by name: the pace of a channel, the turns of a pool, the starts of a circle of workflows, the health of a workflow's tasks.
CREATE TABLE neuronx.named_state (
    tenant_id text   NOT NULL,
    kind      text   NOT NULL,
    name      text   NOT NULL,
    state     json   NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (tenant_id, kind, name)
);

-- Which member of a pool has which key.
CREATE TABLE neuronx.pool_claims (
    tenant_id text NOT NULL,
    pool      text NOT NULL,
    key       text NOT NULL,
    member    text NOT NULL,
    whole     bytea,
    until     timestamptz,
    about     text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, key, pool)
);
COMMENT ON COLUMN neuronx.pool_claims.about IS 'subject that the key names, such as lead/7; empty: none';
CREATE INDEX pool_claims_of_pool ON neuronx.pool_claims (tenant_id, pool) INCLUDE (until, member);
COMMENT ON COLUMN neuronx.pool_claims.whole IS 'the member where its column has a hash';
COMMENT ON COLUMN neuronx.pool_claims.until IS 'position time at which it ends; null: when it is released';

-- Which subject another one is by now: an edge of a merge. Nothing else is moved by a merge, so an unmerge deletes the row.
CREATE TABLE neuronx.subject_aliases (
    tenant_id    text   NOT NULL,
    subject      text   NOT NULL,
    into_subject text   NOT NULL,
    sequence     bigint NOT NULL CHECK (sequence > 0),
    joined       json   NOT NULL,
    PRIMARY KEY (tenant_id, subject)
);
CREATE INDEX subject_aliases_into ON neuronx.subject_aliases (tenant_id, into_subject);
COMMENT ON COLUMN neuronx.subject_aliases.sequence IS 'of the subject.merged';
COMMENT ON COLUMN neuronx.subject_aliases.joined IS 'what the merge joined, and an unmerge does not take apart';

-- +goose StatementBegin
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['workflow_instances', 'workflow_waits', 'workflow_keys', 'workflow_versions', 'timers', 'contact_state', 'named_state', 'pool_claims', 'subject_aliases'] LOOP
        EXECUTE format('ALTER TABLE neuronx.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own ON neuronx.%I TO neuronx_rules USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY operators ON neuronx.%I FOR SELECT TO neuronx_ops USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON neuronx.%I TO neuronx_rules', name);
        EXECUTE format('GRANT SELECT ON neuronx.%I TO neuronx_ops', name);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE neuronx.subject_aliases, neuronx.pool_claims, neuronx.named_state, neuronx.contact_state, neuronx.timers, neuronx.workflow_versions,
    neuronx.workflow_keys, neuronx.workflow_waits, neuronx.workflow_instances;
