-- Taken back only while there is no key: what is sealed under one would be lost with it.
DO $$
BEGIN
    PERFORM FROM ledger.custody_keys;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger.custody_keys holds keys: what they open would be lost'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END
$$;
DROP INDEX ledger.contents_key;
CREATE OR REPLACE FUNCTION ledger.contents_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.commitment, NEW.key_id, NEW.key_epoch, NEW.stored_at, NEW.stored_by)
           IS DISTINCT FROM
       (OLD.id, OLD.commitment, OLD.key_id, OLD.key_epoch, OLD.stored_at, OLD.stored_by)
        OR OLD.erased_at IS NOT NULL OR NEW.erased_at IS NULL
    THEN
        RAISE EXCEPTION 'UPDATE on ledger.contents is refused: content is erased or stays as it is'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ledger.store_content(
    new_id uuid, new_commitment bytea, of_key text, of_epoch bigint, new_envelope bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.contents (id, commitment, key_id, key_epoch, envelope)
    VALUES (new_id, new_commitment, of_key, of_epoch, new_envelope)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM ledger.contents AS c WHERE c.id = new_id AND c.commitment = new_commitment;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'content % was stored before with another commitment', new_id
            USING ERRCODE = 'unique_violation';
    END IF;
    -- A commit that wrote nothing waits for nobody, and the first writer's may not be durable yet.
    PERFORM pg_logical_emit_message(true, 'ledger', '');
    RETURN false;
END
$$;

REVOKE EXECUTE ON FUNCTION ledger.append_events(bytea[]) FROM fed_guardian;
REVOKE USAGE ON SCHEMA ledger FROM fed_guardian;
DROP FUNCTION ledger.reseal_content(uuid, text, bytea, bigint, bytea),
    ledger.custody_releases(timestamptz), ledger.custody_forget(text, bytea),
    ledger.custody_save(text, bigint, bigint, text, integer, text),
    ledger.custody_drop(text, bigint, bytea),
    ledger.custody_replace(text, bigint, bytea, bytea, bytea),
    ledger.custody_set_current(text, bigint, bigint, bytea),
    ledger.custody_store(text, bigint, bytea, bytea), ledger.custody_hold(text),
    ledger.custody_share(text, text, bytea, bytea, text, bytea),
    ledger.custody_make(text, text, bytea, text, bytea),
    ledger.custody_event(bytea, text, text);
DROP TABLE ledger.custody_shares, ledger.custody_rotations, ledger.custody_epochs,
    ledger.custody_keys;
