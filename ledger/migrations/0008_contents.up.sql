-- Personal content: beside the log, never in it. The log holds a keyed commitment to each item; the
-- item and the key of its commitment are here, encrypted together, and can be erased. What is left
-- of an erased item is that it was, and when it went.

CREATE TABLE ledger.contents (
    id uuid PRIMARY KEY,
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
    key_id text NOT NULL CHECK (key_id ~ '^[a-z0-9][a-z0-9._/-]{0,127}$'),
    key_epoch bigint NOT NULL CHECK (key_epoch BETWEEN 1 AND 4294967295),
    envelope bytea CHECK (octet_length(envelope) BETWEEN 1 AND 16777216),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stored_by text NOT NULL DEFAULT session_user,
    erased_at timestamptz,
    erased_by uuid,
    CHECK ((envelope IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((erased_at IS NULL) = (erased_by IS NULL))
) WITH (
    -- An erased item is on its page until vacuum comes: have it come at once.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1
);
COMMENT ON COLUMN ledger.contents.commitment IS 'As the event holds it: HMAC-SHA256 under a key of its own.';
COMMENT ON COLUMN ledger.contents.envelope IS 'Key of the commitment and content, sealed (trust/envelope.py); null once erased.';
COMMENT ON COLUMN ledger.contents.erased_by IS 'The event that says so.';

-- How many envelopes each data key has sealed, counted before they are: a crash never counts too few.
CREATE TABLE ledger.content_keys (
    key_id text NOT NULL,
    key_epoch bigint NOT NULL,
    sealed bigint NOT NULL CHECK (sealed > 0),
    PRIMARY KEY (key_id, key_epoch)
);

CREATE FUNCTION ledger.contents_only_erased() RETURNS trigger
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
CREATE TRIGGER only_erased BEFORE UPDATE ON ledger.contents
    FOR EACH ROW EXECUTE FUNCTION ledger.contents_only_erased();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.contents
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Reserve `wanted` envelopes of a data key; how many it had sealed at most before these.
CREATE FUNCTION ledger.reserve_seals(of_key text, of_epoch bigint, wanted integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    total bigint;
BEGIN
    IF wanted NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION '1 to 1000000 envelopes at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO ledger.content_keys AS k (key_id, key_epoch, sealed)
    VALUES (of_key, of_epoch, wanted)
    ON CONFLICT (key_id, key_epoch) DO UPDATE SET sealed = k.sealed + excluded.sealed
    RETURNING sealed INTO total;
    RETURN total - wanted;
END
$$;

-- Keep an item; false when it was there already with the same commitment.
CREATE FUNCTION ledger.store_content(
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

-- Erase an item and write the event that says so, both or neither. False: it was erased before.
CREATE FUNCTION ledger.erase_content(content_id uuid, event_body bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event jsonb := convert_from(event_body, 'UTF8')::jsonb;
BEGIN
    IF event ->> 'kind' IS DISTINCT FROM 'content.erased'
        OR event -> 'data' ->> 'content' IS DISTINCT FROM content_id::text
    THEN
        RAISE EXCEPTION 'an erasure is written down as content.erased, of just this content'
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ledger.contents AS c
    SET envelope = NULL, erased_at = clock_timestamp(), erased_by = (event ->> 'id')::uuid
    WHERE c.id = content_id AND c.erased_at IS NULL;
    IF NOT FOUND THEN
        PERFORM FROM ledger.contents AS c WHERE c.id = content_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no content %', content_id USING ERRCODE = 'foreign_key_violation';
        END IF;
        PERFORM pg_logical_emit_message(true, 'ledger', '');
        RETURN false;
    END IF;
    PERFORM ledger.append_events(ARRAY[event_body]);
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION ledger.contents_only_erased(), ledger.reserve_seals(text, bigint, integer),
    ledger.store_content(uuid, bytea, text, bigint, bytea), ledger.erase_content(uuid, bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.reserve_seals(text, bigint, integer),
    ledger.store_content(uuid, bytea, text, bigint, bytea) TO fed_gateway, fed_operator;
GRANT EXECUTE ON FUNCTION ledger.erase_content(uuid, bytea) TO fed_operator;
GRANT SELECT ON ledger.contents, ledger.content_keys TO fed_operator;
