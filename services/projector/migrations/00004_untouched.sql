-- +goose Up
-- How many events a projection left out, as a whole (reasons key_*) or by a value that a column can't hold, since a generation began.
CREATE TABLE projection.untouched (
    tenant_id     text   NOT NULL,
    feed          text   NOT NULL,
    generation    bigint NOT NULL,
    projection    text   NOT NULL,
    reason        text   NOT NULL,
    events        bigint NOT NULL CHECK (events > 0),
    last_sequence bigint NOT NULL, -- the newest such event
    PRIMARY KEY (tenant_id, feed, generation, projection, reason)
);
ALTER TABLE projection.untouched ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.untouched FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.untouched TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.untouched FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.untouched TO neuronx_projector;
GRANT SELECT ON projection.untouched TO neuronx_ops;

-- +goose Down
DROP TABLE projection.untouched;
