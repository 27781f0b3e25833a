-- Reviews and their history are lost with it; rights that were given by them stay.
DROP TRIGGER begin_narrow ON ledger.api_keys;
CREATE OR REPLACE FUNCTION ledger.api_keys_only_revoke() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'key % is revoked, and stays so', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.revoked_at IS NULL
        OR (NEW.id, NEW.name, NEW.digest, NEW.pepper_version, NEW.scopes, NEW.models,
            NEW.created_at, NEW.created_by, NEW.expires_at, NEW.tenant, NEW.roles)
        IS DISTINCT FROM
           (OLD.id, OLD.name, OLD.digest, OLD.pepper_version, OLD.scopes, OLD.models,
            OLD.created_at, OLD.created_by, OLD.expires_at, OLD.tenant, OLD.roles)
    THEN
        RAISE EXCEPTION 'key % can only be revoked, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.revoked_at := now();
    RETURN NEW;
END
$$;

-- Fails when a key was left without any right.
ALTER TABLE ledger.api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check
        CHECK (cardinality(scopes) <= 32 AND cardinality(scopes) + cardinality(roles) >= 1);

DROP FUNCTION ledger.role_decide(bigint, text, text, bytea),
    ledger.role_propose(uuid, text, text, text, text, text, interval, bytea),
    ledger.role_event(bytea, text, ledger.role_proposals),
    ledger.role_apply(text, text, boolean), ledger.api_keys_begin_narrow(),
    ledger.role_approvable(ledger.role_proposals, text);
DROP TABLE ledger.role_proposals, ledger.operators, ledger.rights;
DROP FUNCTION ledger.role_proposed(), ledger.role_moved(), ledger.operators_reviewed(),
    ledger.reviewed(text[], text[], text[]), ledger.alone_from(timestamptz),
    ledger.has_right(text, text), ledger.family_of(text), ledger.operator_here(boolean),
    ledger.rights_of(text[], text[]), ledger.role_rules();
