-- +goose Up
-- Which subjects are another one by now, by generation: what comes about them is folded into the row of that one. A generation of before has no
-- merges here; the projector builds it again, because a subject's rows are declared otherwise now. Until then it goes by the merges that come.
CREATE TABLE projection.merged_subjects (
    tenant_id    text   NOT NULL,
    feed         text   NOT NULL CHECK (feed IN ('main', 'control')),
    generation   bigint NOT NULL CHECK (generation > 0),
    subject      text   NOT NULL,
    into_subject text   NOT NULL,
    sequence     bigint NOT NULL, -- of the subject.merged
    PRIMARY KEY (tenant_id, feed, generation, subject)
);
CREATE INDEX merged_subjects_into ON projection.merged_subjects (tenant_id, feed, generation, into_subject);
ALTER TABLE projection.merged_subjects ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection.merged_subjects FORCE ROW LEVEL SECURITY;
CREATE POLICY writer ON projection.merged_subjects TO neuronx_projector USING (true) WITH CHECK (true);
CREATE POLICY operators ON projection.merged_subjects FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON projection.merged_subjects TO neuronx_projector;
GRANT SELECT ON projection.merged_subjects TO neuronx_ops;

ALTER TABLE projection.leads ADD COLUMN merged_into text;
ALTER TABLE projection.opportunities ADD COLUMN merged_into text;
CREATE OR REPLACE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence,
        t.contacted_at, t.qualified_at, t.converted_at, t.lost_at, t.merged_into
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE OR REPLACE VIEW read.opportunities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.opportunity_id, t.lead_id, t.name, t.status, t.stage, t.value, t.currency, t.segment, t.owner_id, t.created_at, t.closed_at, t.updated_at, t.sequence,
        t.merged_into
    FROM projection.opportunities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;

-- +goose Down
DROP VIEW read.leads, read.opportunities;
ALTER TABLE projection.leads DROP COLUMN merged_into;
ALTER TABLE projection.opportunities DROP COLUMN merged_into;
CREATE VIEW read.leads WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.lead_id, t.status, t.score, t.owner_id, t.channel, t.source, t.email, t.phone, t.created_at, t.updated_at, t.sequence,
        t.contacted_at, t.qualified_at, t.converted_at, t.lost_at
    FROM projection.leads t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
CREATE VIEW read.opportunities WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.opportunity_id, t.lead_id, t.name, t.status, t.stage, t.value, t.currency, t.segment, t.owner_id, t.created_at, t.closed_at, t.updated_at, t.sequence
    FROM projection.opportunities t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.feed = 'main' AND a.generation = t.generation;
GRANT SELECT ON read.leads, read.opportunities TO neuronx_reader, neuronx_ops;
DROP TABLE projection.merged_subjects;
