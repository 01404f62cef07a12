-- +goose Up
-- Which log was built from which by `neuronx log reseed`. Consumers take an event of the later one for the next of the earlier.
CREATE TABLE neuronx.log_lineage (
    log_id      text        NOT NULL PRIMARY KEY,
    predecessor text        NOT NULL,
    partition   integer     NOT NULL CHECK (partition >= 0),
    topic_id    uuid        NOT NULL, -- of the new neuronx.events
    made_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (log_id <> predecessor)
);

-- Reseeds, by the new topic: how far each is, so that one that was interrupted goes on.
CREATE TABLE neuronx.reseeds (
    topic_id   uuid        NOT NULL PRIMARY KEY,
    state      text        NOT NULL CHECK (state IN ('writing', 'rows', 'done')),
    tenants    text[]      NOT NULL, -- the chosen ones; empty: all
    logs       text[]      NOT NULL, -- the new log id of each partition
    detail     text        NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);

ALTER TABLE neuronx.log_lineage ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.log_lineage FORCE ROW LEVEL SECURITY;
ALTER TABLE neuronx.reseeds ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.reseeds FORCE ROW LEVEL SECURITY;
-- Only a superuser writes them, by `neuronx log reseed`.
CREATE POLICY readers ON neuronx.log_lineage FOR SELECT TO neuronx_reader, neuronx_ops USING (true);
CREATE POLICY operators ON neuronx.reseeds FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT ON neuronx.log_lineage TO neuronx_reader, neuronx_ops;
GRANT SELECT ON neuronx.reseeds TO neuronx_ops;

-- +goose Down
DROP TABLE neuronx.reseeds, neuronx.log_lineage;
