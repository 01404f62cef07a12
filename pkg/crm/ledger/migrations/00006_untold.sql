-- +goose Up
-- The log is told of effects that are not sent, or of which it is not known whether they were: something waits for what becomes of a command.
-- Of what the ledger held before this, it is told nothing: nothing waited.
ALTER TABLE neuronx.effects ADD COLUMN untold boolean NOT NULL DEFAULT false;
CREATE INDEX effects_untold ON neuronx.effects (tenant_id, command_sequence) WHERE untold;
-- An effect gets to these statuses at many places: when its command is read, before it is sent, after an answer was lost, with its worker, when
-- a restored database is seen. So the table notes it. An effect that was set aside with the lost tail of a log has no command any more.
-- Row security hides the rows from the owner, who runs this, while it is forced.
ALTER TABLE neuronx.effects NO FORCE ROW LEVEL SECURITY;
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($f$
        CREATE FUNCTION neuronx.note_untold_effect() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            NEW.untold := NEW.status IN ('recorded', 'off', 'unknown') AND NEW.code <> 'command_lost' AND NEW.position > %s;
            RETURN NEW;
        END
        $$ $f$, (SELECT coalesce(max(position), 0) FROM neuronx.effects));
END
$do$;
-- +goose StatementEnd
ALTER TABLE neuronx.effects FORCE ROW LEVEL SECURITY;
CREATE TRIGGER untold_new BEFORE INSERT ON neuronx.effects FOR EACH ROW EXECUTE FUNCTION neuronx.note_untold_effect();
CREATE TRIGGER untold BEFORE UPDATE OF status ON neuronx.effects FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION neuronx.note_untold_effect();

-- +goose Down
DROP TRIGGER untold ON neuronx.effects;
DROP TRIGGER untold_new ON neuronx.effects;
DROP FUNCTION neuronx.note_untold_effect();
DROP INDEX neuronx.effects_untold;
ALTER TABLE neuronx.effects DROP COLUMN untold;
