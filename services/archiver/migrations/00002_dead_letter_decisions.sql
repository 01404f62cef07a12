-- +goose Up
-- What people decided about dead letters, as the tenants' streams tell it: a fold of engine.dead_letter.*, and of the events that were
-- sent again ('admitted'). Rows are facts, never changed; the state of a letter follows from them (neuronx.dead_letter_states), in
-- whatever order log and dead letters are read. Only a letter of no tenant has no stream: its 'dropped' stands here alone.
CREATE TABLE neuronx.dead_letter_decisions (
    tenant_id  text,
    sequence   bigint CHECK (sequence > 0),
    kind       text        NOT NULL CHECK (kind IN ('retried', 'edited', 'dropped', 'admitted')),
    topic      text        NOT NULL DEFAULT '',
    partition  integer     NOT NULL DEFAULT -1,
    "offset"   bigint      NOT NULL DEFAULT -1,
    redrive_id text        NOT NULL DEFAULT '',
    by         text        NOT NULL DEFAULT '',
    reason     text        NOT NULL DEFAULT '',
    decided_at timestamptz NOT NULL,
    CHECK ((tenant_id IS NULL) = (sequence IS NULL)),
    CHECK (tenant_id IS NOT NULL OR kind = 'dropped')
);
CREATE UNIQUE INDEX dead_letter_decisions_once ON neuronx.dead_letter_decisions (tenant_id, sequence);
CREATE INDEX dead_letter_decisions_by_letter ON neuronx.dead_letter_decisions (topic, partition, "offset");
CREATE INDEX dead_letter_decisions_by_redrive ON neuronx.dead_letter_decisions (tenant_id, redrive_id) WHERE kind = 'admitted';

-- What operators ask for. The archiver's process decides: it alone writes the outbox, so that nobody who may only ask can have an event of
-- his own making signed. These rows are no record (the events are); an edited value is removed once it was decided about.
CREATE TABLE neuronx.dead_letter_requests (
    id           uuid        NOT NULL PRIMARY KEY,
    tenant_id    text        NOT NULL DEFAULT '',
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    action       text        NOT NULL CHECK (action IN ('retry', 'edit', 'drop')),
    origin       text        NOT NULL CHECK (origin IN ('redrive', 'live')),
    value        bytea,
    by           text        NOT NULL DEFAULT '' CHECK (length(by) <= 200),
    reason       text        NOT NULL DEFAULT '' CHECK (length(reason) <= 1000),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state        text        NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'refused')),
    code         text        NOT NULL DEFAULT '',
    detail       text        NOT NULL DEFAULT '',
    decided_at   timestamptz
);
CREATE INDEX dead_letter_requests_new ON neuronx.dead_letter_requests (requested_at) WHERE state = 'new';

DROP POLICY operators_decide ON neuronx.dead_letters;
REVOKE UPDATE (state, state_at, state_by, state_reason) ON neuronx.dead_letters FROM neuronx_ops;
ALTER TABLE neuronx.dead_letters DROP COLUMN state, DROP COLUMN state_at, DROP COLUMN state_by, DROP COLUMN state_reason;
CREATE INDEX dead_letters_by_time ON neuronx.dead_letters (tenant_id, recorded_at);

-- open -> retried -> resolved (admitted) | refused_again (its redrive is a dead letter of its own, which goes on); open -> dropped.
CREATE VIEW neuronx.dead_letter_states WITH (security_invoker = true) AS
SELECT d.*,
       CASE WHEN c.kind IS NULL THEN 'open' WHEN c.kind = 'dropped' THEN 'dropped' WHEN a.sequence IS NOT NULL THEN 'resolved'
            WHEN n.topic IS NOT NULL THEN 'refused_again' ELSE 'retried' END AS state,
       c.decided_at, coalesce(c.by, '') AS decided_by, coalesce(c.reason, '') AS decided_reason, coalesce(a.sequence, 0) AS admitted_sequence,
       coalesce(n.topic || '/' || n.partition || '/' || n."offset", '') AS next_ref
  FROM neuronx.dead_letters d
  LEFT JOIN LATERAL (SELECT * FROM neuronx.dead_letter_decisions x WHERE x.topic = d.topic AND x.partition = d.partition AND x."offset" = d."offset"
       AND (x.tenant_id = d.tenant_id OR x.tenant_id IS NULL) AND x.kind IN ('retried', 'dropped') ORDER BY x.sequence LIMIT 1) c ON true
  LEFT JOIN LATERAL (SELECT x.sequence FROM neuronx.dead_letter_decisions x WHERE x.tenant_id = d.tenant_id AND x.kind = 'admitted'
       AND x.redrive_id = c.redrive_id LIMIT 1) a ON c.kind = 'retried'
  LEFT JOIN LATERAL (SELECT x.topic, x.partition, x."offset" FROM neuronx.dead_letters x WHERE x.tenant_id = d.tenant_id AND x.event_id = c.redrive_id
       AND x.deriver = 'deadletter' LIMIT 1) n ON c.kind = 'retried';

ALTER TABLE neuronx.dead_letter_decisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.dead_letter_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY readers ON neuronx.dead_letter_decisions FOR SELECT TO neuronx_reader USING (tenant_id = nullif(current_setting('neuronx.tenant', true), ''));
CREATE POLICY operators ON neuronx.dead_letter_decisions FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY append ON neuronx.dead_letter_decisions FOR INSERT TO neuronx_archiver WITH CHECK (true);
CREATE POLICY own ON neuronx.dead_letter_decisions FOR SELECT TO neuronx_archiver USING (true);
GRANT SELECT ON neuronx.dead_letter_decisions, neuronx.dead_letter_states TO neuronx_reader, neuronx_ops, neuronx_archiver;
GRANT INSERT ON neuronx.dead_letter_decisions TO neuronx_archiver;

CREATE POLICY ask ON neuronx.dead_letter_requests FOR INSERT TO neuronx_ops WITH CHECK (state = 'new');
CREATE POLICY see ON neuronx.dead_letter_requests FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY decide ON neuronx.dead_letter_requests TO neuronx_archiver USING (true) WITH CHECK (true);
GRANT SELECT ON neuronx.dead_letter_requests TO neuronx_ops;
GRANT INSERT (id, tenant_id, topic, partition, "offset", action, origin, value, by, reason) ON neuronx.dead_letter_requests TO neuronx_ops;
GRANT SELECT, UPDATE (state, code, detail, decided_at, value), DELETE ON neuronx.dead_letter_requests TO neuronx_archiver;

-- +goose Down
DROP VIEW neuronx.dead_letter_states;
DROP TABLE neuronx.dead_letter_requests, neuronx.dead_letter_decisions;
DROP INDEX neuronx.dead_letters_by_time;
ALTER TABLE neuronx.dead_letters ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'dropped')),
    ADD COLUMN state_at timestamptz, ADD COLUMN state_by text NOT NULL DEFAULT '', ADD COLUMN state_reason text NOT NULL DEFAULT '';
CREATE INDEX dead_letters_by_tenant ON neuronx.dead_letters (tenant_id, state, recorded_at);
CREATE POLICY operators_decide ON neuronx.dead_letters FOR UPDATE TO neuronx_ops USING (true) WITH CHECK (true);
GRANT UPDATE (state, state_at, state_by, state_reason) ON neuronx.dead_letters TO neuronx_ops;
