-- +goose Up
-- Operators may make a stalled row go on, and pass over the one event that it is stalled at; nothing else. A row of the archiver may only
-- go on: an event that it passed over would be a hole in the archive. Rows are made by the services alone.
REVOKE INSERT, UPDATE ON neuronx.progress FROM neuronx_ops;
GRANT UPDATE (sequence, event_id, state, reason, missing_since, updated_at) ON neuronx.progress TO neuronx_ops;
DROP POLICY operators ON neuronx.progress;
CREATE POLICY operators ON neuronx.progress FOR SELECT TO neuronx_ops USING (true);
CREATE POLICY operators_go_on ON neuronx.progress FOR UPDATE TO neuronx_ops USING (state = 'stalled') WITH CHECK (state = 'catching-up');

-- A policy sees a row before or after a change, never both. It binds everybody but the services, who write their own rows, and the schema's
-- owner and superusers, who repair (a person may be a member of neuronx_ops under a name of their own).
-- +goose StatementBegin
CREATE FUNCTION neuronx.guard_progress() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    archive boolean := OLD.consumer = 'neuronx.archiver' OR starts_with(OLD.consumer, 'neuronx.archiver.');
BEGIN
    IF pg_has_role('neuronx_owner', 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF NEW.sequence <> OLD.sequence AND (archive OR NEW.sequence <> OLD.sequence + 1) OR archive AND NEW.event_id <> OLD.event_id THEN
        RAISE EXCEPTION 'an operator may retry %, not move it from sequence % to %', OLD.consumer, OLD.sequence, NEW.sequence
            USING ERRCODE = 'insufficient_privilege', HINT = 'neuronx doctor shows what the archive holds';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE ON neuronx.progress FOR EACH ROW
    WHEN (current_user NOT IN ('neuronx_rules', 'neuronx_projector', 'neuronx_archiver', 'neuronx_gohighlevel'))
    EXECUTE FUNCTION neuronx.guard_progress();

-- +goose Down
DROP TRIGGER guard ON neuronx.progress;
DROP FUNCTION neuronx.guard_progress();
DROP POLICY operators_go_on ON neuronx.progress;
DROP POLICY operators ON neuronx.progress;
CREATE POLICY operators ON neuronx.progress TO neuronx_ops USING (true) WITH CHECK (true);
GRANT INSERT, UPDATE ON neuronx.progress TO neuronx_ops;
