-- Stored prompts: off by default, a tenant's own choice. Gateways seal what they keep to a public key
-- (trust/sealing.py) and cannot open it; it lies in ledger.contents like all personal content.

ALTER TABLE ledger.tenants
    ADD COLUMN prompts boolean NOT NULL DEFAULT false,
    ADD COLUMN prompts_days integer NOT NULL DEFAULT 30 CHECK (prompts_days BETWEEN 1 AND 3650);
COMMENT ON COLUMN ledger.tenants.prompts IS 'Whether gateways keep its prompts and answers, sealed.';
COMMENT ON COLUMN ledger.tenants.prompts_days IS 'After so many days what was kept is erased.';

-- The public half of an epoch's data key, with the word of the federation's authority for it.
CREATE TABLE ledger.custody_sealing (
    key_id text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    vouched bytea NOT NULL CHECK (octet_length(vouched) BETWEEN 1 AND 1024),
    PRIMARY KEY (key_id, epoch),
    FOREIGN KEY (key_id, epoch) REFERENCES ledger.custody_epochs (key_id, epoch) ON DELETE CASCADE
);
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.custody_sealing
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Gateways hear of another sealing key the way they hear of a changed tenant.
CREATE FUNCTION ledger.sealing_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ledger.tenants AS t SET prompts = t.prompts
    WHERE t.prompts AND NEW.key_id = t.name || '/prompts';
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_gateways AFTER UPDATE OF current_epoch ON ledger.custody_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.sealing_changed();
CREATE TRIGGER tell_gateways AFTER INSERT OR UPDATE ON ledger.custody_sealing
    FOR EACH ROW EXECUTE FUNCTION ledger.sealing_changed();

-- Have an epoch's public half on record; it may be signed anew (another authority), not replaced.
CREATE FUNCTION ledger.custody_publish(
    of_key text, of_epoch bigint, new_vouched bytea, event_body bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.custody_sealing AS s (key_id, epoch, vouched)
    VALUES (of_key, of_epoch, new_vouched)
    ON CONFLICT (key_id, epoch) DO UPDATE SET vouched = excluded.vouched;
    PERFORM ledger.custody_event(event_body, 'custody.published', of_key);
    RETURN true;
END
$$;

-- Turn a tenant's stored prompts on or off, with its event.
CREATE FUNCTION ledger.set_prompts(
    of_tenant text, wanted boolean, days integer, event_body bytea
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.custody_keys AS k JOIN ledger.custody_sealing AS s
        ON s.key_id = k.key_id AND s.epoch = k.current_epoch
    WHERE k.key_id = of_tenant || '/prompts';
    IF wanted AND NOT FOUND THEN
        RAISE EXCEPTION 'custody has no sealing key for the prompts of %', of_tenant
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ledger.tenants AS t SET prompts = wanted, prompts_days = days WHERE t.name = of_tenant;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no tenant %', of_tenant USING ERRCODE = 'foreign_key_violation';
    END IF;
    PERFORM ledger.custody_event(event_body, 'tenant.prompts', 'tenant:' || of_tenant);
END
$$;

-- Keep what a gateway sealed; false when it was there. It may be of an older epoch than the current
-- one (it lay in a spool meanwhile), as long as that epoch's key is there: a rotation seals it anew.
CREATE FUNCTION ledger.keep_prompt(
    new_id uuid, new_commitment bytea, of_key text, of_epoch bigint, new_envelope bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.contents AS c WHERE c.id = new_id AND c.commitment = new_commitment;
    IF FOUND THEN
        -- A commit that wrote nothing waits for nobody, and the first one's may not be durable yet.
        PERFORM pg_logical_emit_message(true, 'ledger', '');
        RETURN false;
    END IF;
    PERFORM FROM ledger.custody_keys AS k JOIN ledger.custody_epochs AS e USING (key_id)
    WHERE k.key_id = of_key AND k.object_class = 'prompts' AND e.epoch = of_epoch
      AND e.epoch <= k.current_epoch AND e.wrapped IS NOT NULL
    FOR SHARE OF k;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key of epoch % of % is gone, or is none for prompts', of_epoch, of_key
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger.contents (id, commitment, key_id, key_epoch, envelope)
    VALUES (new_id, new_commitment, of_key, of_epoch, new_envelope);
    RETURN true;
END
$$;

-- Prompts whose tenant's days are over, oldest first.
CREATE FUNCTION ledger.prompts_due(most integer)
RETURNS TABLE (id uuid, tenant text, stored_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.id, t.name, c.stored_at
    FROM ledger.tenants AS t JOIN ledger.contents AS c ON c.key_id = t.name || '/prompts'
    WHERE c.envelope IS NOT NULL AND c.stored_at < now() - make_interval(days => t.prompts_days)
    ORDER BY c.stored_at LIMIT most
$$;

-- Erase one of them; anything that is not due is refused.
CREATE FUNCTION ledger.erase_due_prompt(content_id uuid, event_body bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.tenants AS t JOIN ledger.contents AS c ON c.key_id = t.name || '/prompts'
    WHERE c.id = content_id AND c.stored_at < now() - make_interval(days => t.prompts_days);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'content % is no prompt whose days are over', content_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN ledger.erase_content(content_id, event_body);
END
$$;

REVOKE ALL ON FUNCTION ledger.sealing_changed(),
    ledger.custody_publish(text, bigint, bytea, bytea),
    ledger.set_prompts(text, boolean, integer, bytea),
    ledger.keep_prompt(uuid, bytea, text, bigint, bytea), ledger.prompts_due(integer),
    ledger.erase_due_prompt(uuid, bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.custody_publish(text, bigint, bytea, bytea),
    ledger.set_prompts(text, boolean, integer, bytea) TO fed_operator;
GRANT EXECUTE ON FUNCTION ledger.keep_prompt(uuid, bytea, text, bigint, bytea) TO fed_gateway;
GRANT EXECUTE ON FUNCTION ledger.prompts_due(integer), ledger.erase_due_prompt(uuid, bytea)
    TO fed_guardian;
GRANT SELECT (prompts) ON ledger.tenants TO fed_gateway;
GRANT SELECT ON ledger.custody_sealing TO fed_gateway, fed_operator;
