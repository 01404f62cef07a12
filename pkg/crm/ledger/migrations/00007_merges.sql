-- +goose Up
-- Folded from subject.merged and subject.unmerged: a subject that is another one by now. A merge moves no link: commands about a lead go by the link
-- of the lead that it is by now, and where that has none by that of another lead that is the same person.
CREATE TABLE neuronx.crm_aliases (
    tenant_id   text   NOT NULL,
    adapter     text   NOT NULL,
    subject     text   NOT NULL, -- such as lead/7
    merged_into text   NOT NULL,
    sequence    bigint NOT NULL, -- of the subject.merged
    PRIMARY KEY (tenant_id, adapter, subject)
);
CREATE INDEX crm_aliases_into ON neuronx.crm_aliases (tenant_id, adapter, merged_into);
ALTER TABLE neuronx.crm_aliases ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.crm_aliases FORCE ROW LEVEL SECURITY;
CREATE POLICY adapter ON neuronx.crm_aliases TO neuronx_gohighlevel USING (adapter = 'gohighlevel') WITH CHECK (adapter = 'gohighlevel');
CREATE POLICY operators ON neuronx.crm_aliases FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, DELETE ON neuronx.crm_aliases TO neuronx_gohighlevel;
GRANT SELECT ON neuronx.crm_aliases TO neuronx_ops;

-- used_by lists other leads, merged with this one, whose commands were written to its contact: by an unmerge the contact stays with them.
ALTER TABLE neuronx.crm_ids ADD COLUMN used_by text[] NOT NULL DEFAULT '{}';

-- Effects of one lane are sent one after the other. It is the subject that the effect's own is by now; null: the subject was not merged.
ALTER TABLE neuronx.effects ADD COLUMN lane text;
CREATE INDEX effects_lane ON neuronx.effects (tenant_id, coalesce(lane, subject), command_sequence) WHERE status IN ('pending', 'sending');
DROP INDEX neuronx.effects_order;

-- +goose Down
CREATE INDEX effects_order ON neuronx.effects (tenant_id, subject, command_sequence) WHERE status IN ('pending', 'sending');
DROP INDEX neuronx.effects_lane;
ALTER TABLE neuronx.effects DROP COLUMN lane;
ALTER TABLE neuronx.crm_ids DROP COLUMN used_by;
DROP TABLE neuronx.crm_aliases;
