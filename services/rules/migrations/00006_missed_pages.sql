-- +goose Up
-- One row an event and rule was several hundred times the event for a tenant with hundreds of rules that are off. Now a row has
-- 1,024 sequences of a rule, one bit each.
ALTER TABLE neuronx.rule_missed NO FORCE ROW LEVEL SECURITY;
CREATE TABLE neuronx.rule_missed_pages (
    tenant_id text      NOT NULL,
    rule      text      NOT NULL,
    page      bigint    NOT NULL,
    bits      bit(1024) NOT NULL,
    PRIMARY KEY (tenant_id, rule, page)
) WITH (fillfactor = 50);
COMMENT ON TABLE neuronx.rule_missed_pages IS 'events that rules were not evaluated on because they were off, until they are run over';
COMMENT ON COLUMN neuronx.rule_missed_pages.page IS 'sequence divided by 1024';
COMMENT ON COLUMN neuronx.rule_missed_pages.bits IS 'bit n, counted from the left: sequence page * 1024 + n was missed';
INSERT INTO neuronx.rule_missed_pages (tenant_id, rule, page, bits)
    SELECT tenant_id, rule, sequence / 1024, bit_or(set_bit(0::bit(1024), (sequence % 1024)::int, 1)) FROM neuronx.rule_missed GROUP BY 1, 2, 3;
DROP TABLE neuronx.rule_missed;

ALTER TABLE neuronx.rule_missed_pages ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_missed_pages FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON neuronx.rule_missed_pages TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY operators ON neuronx.rule_missed_pages FOR SELECT TO neuronx_ops USING (true);

CREATE VIEW neuronx.rule_missed WITH (security_invoker = true) AS
    SELECT tenant_id, rule, page * 1024 + n AS sequence FROM neuronx.rule_missed_pages, generate_series(0, 1023) AS n WHERE get_bit(bits, n) = 1;
GRANT SELECT, INSERT, UPDATE, DELETE ON neuronx.rule_missed_pages TO neuronx_rules;
GRANT SELECT ON neuronx.rule_missed TO neuronx_rules;
GRANT SELECT ON neuronx.rule_missed_pages, neuronx.rule_missed TO neuronx_ops;

-- +goose Down
ALTER TABLE neuronx.rule_missed_pages NO FORCE ROW LEVEL SECURITY;
CREATE TEMPORARY TABLE missed_before AS SELECT * FROM neuronx.rule_missed;
DROP VIEW neuronx.rule_missed;
DROP TABLE neuronx.rule_missed_pages;
CREATE TABLE neuronx.rule_missed (
    tenant_id text   NOT NULL,
    rule      text   NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (tenant_id, rule, sequence)
);
INSERT INTO neuronx.rule_missed SELECT * FROM missed_before;
DROP TABLE missed_before;
ALTER TABLE neuronx.rule_missed ENABLE ROW LEVEL SECURITY;
ALTER TABLE neuronx.rule_missed FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON neuronx.rule_missed TO neuronx_rules USING (true) WITH CHECK (true);
CREATE POLICY operators ON neuronx.rule_missed FOR SELECT TO neuronx_ops USING (true);
GRANT SELECT, INSERT, DELETE ON neuronx.rule_missed TO neuronx_rules;
GRANT SELECT ON neuronx.rule_missed TO neuronx_ops;
