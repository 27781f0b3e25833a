-- Custody: data keys wrapped for each pair of three shares (trust/shares.py), their epochs, which one
-- is current, and how far a rotation is. Nothing here opens anything without two shares.
-- Every change is a function that appends its event in the same transaction.

CREATE TABLE ledger.custody_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL REFERENCES ledger.tenants (name),
    object_class text COLLATE "C" NOT NULL
        CHECK (object_class ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    current_epoch bigint NOT NULL DEFAULT 1 CHECK (current_epoch BETWEEN 1 AND 4294967295),
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL CHECK (length(made_by) BETWEEN 1 AND 200),
    CHECK (key_id = tenant || '/' || object_class)
);
COMMENT ON COLUMN ledger.custody_keys.current_epoch IS 'What is sealed now is sealed under this one; older ones only open.';

CREATE TABLE ledger.custody_epochs (
    key_id text COLLATE "C" NOT NULL REFERENCES ledger.custody_keys (key_id),
    epoch bigint NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),
    wrapped bytea CHECK (octet_length(wrapped) BETWEEN 1 AND 1024),
    stored_at timestamptz NOT NULL DEFAULT now(),
    dropped_at timestamptz,
    PRIMARY KEY (key_id, epoch),
    CHECK ((wrapped IS NULL) = (dropped_at IS NOT NULL))
);
COMMENT ON COLUMN ledger.custody_epochs.wrapped IS 'Three wraps and their binding (trust.shares.Wrapped); null once dropped.';

-- How far the rotation from one epoch to the next is (trust/rotation.py); a row stays for each.
CREATE TABLE ledger.custody_rotations (
    key_id text COLLATE "C" NOT NULL REFERENCES ledger.custody_keys (key_id),
    old_epoch bigint NOT NULL,
    new_epoch bigint NOT NULL,
    phase text NOT NULL
        CHECK (phase IN ('prepare', 'verify', 'commit', 'rewrap', 'retire', 'done')),
    attempts integer NOT NULL CHECK (attempts >= 0),
    began_at timestamptz NOT NULL DEFAULT now(),
    saved_at timestamptz NOT NULL DEFAULT now(),
    saved_by text NOT NULL CHECK (length(saved_by) BETWEEN 1 AND 200),
    rewrapped_at timestamptz,
    PRIMARY KEY (key_id, new_epoch),
    CHECK (new_epoch > old_epoch)
);
CREATE UNIQUE INDEX custody_rotations_one_at_a_time
    ON ledger.custody_rotations (key_id) WHERE phase <> 'done';
COMMENT ON COLUMN ledger.custody_rotations.rewrapped_at IS 'When no envelope of the old epoch was left: backups from before may hold some.';

-- Which share each holder has, by a mark that tells nothing else of it. A client's is its tenant's
-- own; the gateways' and the guardian's have no tenant ('').
CREATE TABLE ledger.custody_shares (
    holder text COLLATE "C" NOT NULL CHECK (holder IN ('client', 'gateway', 'guardian')),
    tenant text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    mark bytea NOT NULL CHECK (octet_length(mark) = 8),
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL CHECK (length(made_by) BETWEEN 1 AND 200),
    PRIMARY KEY (holder, tenant, version),
    CHECK ((tenant = '') = (holder <> 'client'))
);

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.custody_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.custody_epochs
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.custody_rotations
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.custody_shares
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- The event of a change, of the kind it must be and of just this subject; both or neither.
CREATE FUNCTION ledger.custody_event(event_body bytea, wanted text, of_subject text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event jsonb := convert_from(event_body, 'UTF8')::jsonb;
BEGIN
    IF event ->> 'kind' IS DISTINCT FROM wanted OR event ->> 'subject' IS DISTINCT FROM of_subject
    THEN
        RAISE EXCEPTION 'this change is written down as % of %', wanted, of_subject
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger.append_events(ARRAY[event_body]);
END
$$;

-- A key with its first epoch; a tenant's class has one.
CREATE FUNCTION ledger.custody_make(
    of_tenant text, of_class text, new_wrapped bytea, by_actor text, event_body bytea
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_key text := of_tenant || '/' || of_class;
BEGIN
    INSERT INTO ledger.custody_keys (key_id, tenant, object_class, made_by)
    VALUES (of_key, of_tenant, of_class, by_actor);
    INSERT INTO ledger.custody_epochs (key_id, epoch, wrapped) VALUES (of_key, 1, new_wrapped);
    PERFORM ledger.custody_event(event_body, 'custody.made', of_key);
END
$$;

-- Who has which share now; `replaces` is the mark of the one before, null for the first.
-- False when this very one is on record already.
CREATE FUNCTION ledger.custody_share(
    of_holder text, of_tenant text, new_mark bytea, replaces bytea, by_actor text, event_body bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest ledger.custody_shares;
BEGIN
    SELECT * INTO newest FROM ledger.custody_shares AS s
    WHERE s.holder = of_holder AND s.tenant = of_tenant ORDER BY s.version DESC LIMIT 1;
    IF newest.mark = new_mark THEN
        PERFORM pg_logical_emit_message(true, 'ledger', '');
        RETURN false;
    END IF;
    IF newest.mark IS DISTINCT FROM replaces THEN
        RAISE EXCEPTION 'the share of % was made or replaced by somebody else', of_holder
            USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger.custody_shares (holder, tenant, version, mark, made_by)
    VALUES (of_holder, of_tenant, coalesce(newest.version, 0) + 1, new_mark, by_actor);
    PERFORM ledger.custody_event(
        event_body, 'custody.share', of_holder || CASE of_tenant WHEN '' THEN '' ELSE ':' END || of_tenant
    );
    RETURN true;
END
$$;

-- The current epoch, with a lock that keeps it so until the transaction ends.
CREATE FUNCTION ledger.custody_hold(of_key text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    epoch bigint;
BEGIN
    SELECT k.current_epoch INTO epoch FROM ledger.custody_keys AS k
    WHERE k.key_id = of_key FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'custody has no key %', of_key USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN epoch;
END
$$;

-- Put a new epoch's wrapped key where nothing is sealed yet; one that lies there is replaced.
CREATE FUNCTION ledger.custody_store(
    of_key text, of_epoch bigint, new_wrapped bytea, event_body bytea
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_epoch <= ledger.custody_hold(of_key) THEN
        RAISE EXCEPTION 'epoch % of % is in use or was: its key is never replaced', of_epoch, of_key
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger.custody_epochs AS e (key_id, epoch, wrapped)
    VALUES (of_key, of_epoch, new_wrapped)
    ON CONFLICT (key_id, epoch) DO UPDATE SET wrapped = excluded.wrapped, stored_at = now();
    PERFORM ledger.custody_event(event_body, 'custody.stored', of_key);
END
$$;

-- Seal under the epoch `wanted` from now on, if `present` still is the current one. False: it was
-- done before.
CREATE FUNCTION ledger.custody_set_current(
    of_key text, present bigint, wanted bigint, event_body bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    epoch bigint := ledger.custody_hold(of_key);
BEGIN
    IF epoch = wanted THEN
        PERFORM pg_logical_emit_message(true, 'ledger', '');
        RETURN false;
    END IF;
    IF epoch <> present OR wanted <= present THEN
        RAISE EXCEPTION 'epoch % of % is current, not %', epoch, of_key, present
            USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM FROM ledger.custody_epochs AS e
    WHERE e.key_id = of_key AND e.epoch = wanted AND e.wrapped IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of % has no key', wanted, of_key USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ledger.custody_keys AS k SET current_epoch = wanted WHERE k.key_id = of_key;
    PERFORM ledger.custody_event(event_body, 'custody.current', of_key);
    RETURN true;
END
$$;

-- Wrap a stored key anew for a replaced share: only if it still is the one that was read.
CREATE FUNCTION ledger.custody_replace(
    of_key text, of_epoch bigint, old_sha256 bytea, new_wrapped bytea, event_body bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.custody_hold(of_key);
    UPDATE ledger.custody_epochs AS e SET wrapped = new_wrapped, stored_at = now()
    WHERE e.key_id = of_key AND e.epoch = of_epoch AND sha256(e.wrapped) = old_sha256;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM ledger.custody_event(event_body, 'custody.rewrapped', of_key);
    RETURN true;
END
$$;

-- Drop an old epoch's key, which nothing here needs any more. False: it was dropped before.
CREATE FUNCTION ledger.custody_drop(of_key text, of_epoch bigint, event_body bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_epoch >= ledger.custody_hold(of_key) THEN
        RAISE EXCEPTION 'epoch % of % is in use, or will be', of_epoch, of_key
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM ledger.contents AS c
    WHERE c.key_id = of_key AND c.key_epoch = of_epoch AND c.envelope IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'content is sealed under epoch % of %', of_epoch, of_key
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ledger.custody_epochs AS e SET wrapped = NULL, dropped_at = now()
    WHERE e.key_id = of_key AND e.epoch = of_epoch AND e.wrapped IS NOT NULL;
    IF NOT FOUND THEN
        PERFORM pg_logical_emit_message(true, 'ledger', '');
        RETURN false;
    END IF;
    PERFORM ledger.custody_event(event_body, 'custody.dropped', of_key);
    RETURN true;
END
$$;

-- Keep how far a rotation is. Only one of a key goes on at a time.
CREATE FUNCTION ledger.custody_save(
    of_key text, from_epoch bigint, to_epoch bigint, at_phase text, tries integer, by_actor text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.custody_rotations AS r
        (key_id, old_epoch, new_epoch, phase, attempts, saved_by)
    VALUES (of_key, from_epoch, to_epoch, at_phase, tries, by_actor)
    ON CONFLICT (key_id, new_epoch) DO UPDATE
    SET phase = excluded.phase, attempts = excluded.attempts, saved_at = now(),
        saved_by = excluded.saved_by,
        rewrapped_at = CASE WHEN excluded.phase IN ('retire', 'done')
            THEN coalesce(r.rewrapped_at, clock_timestamp()) END;
END
$$;

-- Forget a drill's key whole: nothing was ever stored under it.
CREATE FUNCTION ledger.custody_forget(of_key text, event_body bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.custody_hold(of_key);
    PERFORM FROM ledger.custody_keys AS k
    WHERE k.key_id = of_key AND k.object_class LIKE 'drill-%'
      AND NOT EXISTS (SELECT FROM ledger.contents AS c WHERE c.key_id = of_key);
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no key of a drill, or content lies under it', of_key
            USING ERRCODE = 'check_violation';
    END IF;
    DELETE FROM ledger.custody_rotations AS r WHERE r.key_id = of_key;
    DELETE FROM ledger.custody_epochs AS e WHERE e.key_id = of_key;
    DELETE FROM ledger.custody_keys AS k WHERE k.key_id = of_key;
    PERFORM ledger.custody_event(event_body, 'custody.forgotten', of_key);
END
$$;

-- When the guardian gave out which key's half, since a moment: what its rate limits remember.
CREATE FUNCTION ledger.custody_releases(since timestamptz)
RETURNS TABLE (at timestamptz, key_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.time, i.subject FROM ledger.inbox AS i
    WHERE i.kind = 'custody.released' AND i.received_from = 'fed_guardian'
      AND i.id >= ledger.first_id(since)
    UNION
    SELECT l.time, l.subject FROM ledger.log AS l
    WHERE l.kind = 'custody.released' AND l.received_from = 'fed_guardian'
      AND l.id >= ledger.first_id(since)
$$;

-- Personal content is sealed under the current epoch, or not stored: a writer that lags is told so.
CREATE OR REPLACE FUNCTION ledger.store_content(
    new_id uuid, new_commitment bytea, of_key text, of_epoch bigint, new_envelope bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.contents (id, commitment, key_id, key_epoch, envelope)
    VALUES (new_id, new_commitment, of_key, of_epoch, new_envelope)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        -- The lock holds a change of the epoch back until this row is there for all to see.
        PERFORM FROM ledger.custody_keys AS k
        WHERE k.key_id = of_key AND k.current_epoch <> of_epoch FOR SHARE;
        IF FOUND THEN
            RAISE EXCEPTION 'epoch % of % is not current any more: seal it anew', of_epoch, of_key
                USING ERRCODE = 'serialization_failure';
        END IF;
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

-- Content may move to a later epoch of its key; what it commits to stays.
CREATE OR REPLACE FUNCTION ledger.contents_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.commitment, NEW.key_id, NEW.stored_at, NEW.stored_by)
           IS DISTINCT FROM
       (OLD.id, OLD.commitment, OLD.key_id, OLD.stored_at, OLD.stored_by)
        OR OLD.erased_at IS NOT NULL
        OR (NEW.erased_at IS NULL AND NEW.key_epoch <= OLD.key_epoch)
        OR (NEW.erased_at IS NOT NULL AND NEW.key_epoch <> OLD.key_epoch)
    THEN
        RAISE EXCEPTION 'UPDATE on ledger.contents is refused: content is erased or stays as it is'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- Put an envelope of the current epoch in the place of an older one, if that is still the one read.
CREATE FUNCTION ledger.reseal_content(
    content_id uuid, of_key text, old_sha256 bytea, new_epoch bigint, new_envelope bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.custody_keys AS k
    WHERE k.key_id = of_key AND k.current_epoch = new_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of % is not current', new_epoch, of_key
            USING ERRCODE = 'serialization_failure';
    END IF;
    UPDATE ledger.contents AS c SET key_epoch = new_epoch, envelope = new_envelope
    WHERE c.id = content_id AND c.key_id = of_key AND c.key_epoch < new_epoch
      AND sha256(c.envelope) = old_sha256;
    RETURN FOUND;
END
$$;

CREATE INDEX contents_key ON ledger.contents (key_id, key_epoch) WHERE envelope IS NOT NULL;

REVOKE ALL ON FUNCTION ledger.custody_event(bytea, text, text),
    ledger.custody_make(text, text, bytea, text, bytea),
    ledger.custody_share(text, text, bytea, bytea, text, bytea),
    ledger.custody_hold(text), ledger.custody_store(text, bigint, bytea, bytea),
    ledger.custody_set_current(text, bigint, bigint, bytea),
    ledger.custody_replace(text, bigint, bytea, bytea, bytea),
    ledger.custody_drop(text, bigint, bytea),
    ledger.custody_save(text, bigint, bigint, text, integer, text),
    ledger.custody_forget(text, bytea), ledger.custody_releases(timestamptz),
    ledger.reseal_content(uuid, text, bytea, bigint, bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.custody_make(text, text, bytea, text, bytea),
    ledger.custody_share(text, text, bytea, bytea, text, bytea),
    ledger.custody_store(text, bigint, bytea, bytea),
    ledger.custody_set_current(text, bigint, bigint, bytea),
    ledger.custody_replace(text, bigint, bytea, bytea, bytea),
    ledger.custody_drop(text, bigint, bytea),
    ledger.custody_save(text, bigint, bigint, text, integer, text),
    ledger.custody_forget(text, bytea),
    ledger.reseal_content(uuid, text, bytea, bigint, bytea)
    TO fed_operator;
GRANT SELECT ON ledger.custody_keys, ledger.custody_epochs, ledger.custody_rotations,
    ledger.custody_shares TO fed_operator;
-- What a gateway needs to open and seal, once it has its half and another one.
GRANT SELECT (key_id, tenant, object_class, current_epoch) ON ledger.custody_keys TO fed_gateway;
GRANT SELECT (key_id, epoch, wrapped) ON ledger.custody_epochs TO fed_gateway;

GRANT USAGE ON SCHEMA ledger TO fed_guardian;
GRANT EXECUTE ON FUNCTION ledger.append_events(bytea[]), ledger.custody_releases(timestamptz)
    TO fed_guardian;
