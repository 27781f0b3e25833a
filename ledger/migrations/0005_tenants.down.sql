-- Takes tenants, roles and limits back. A key that had only roles is left without any right.
DROP TRIGGER tell_gateways ON ledger.api_keys;
DROP TABLE ledger.limits;
DROP FUNCTION ledger.limits_have_a_subject();
CREATE OR REPLACE FUNCTION ledger.api_keys_only_revoke() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'key % is revoked, and stays so', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.revoked_at IS NULL
        OR (NEW.id, NEW.name, NEW.digest, NEW.pepper_version, NEW.scopes, NEW.models,
            NEW.created_at, NEW.created_by, NEW.expires_at)
        IS DISTINCT FROM
           (OLD.id, OLD.name, OLD.digest, OLD.pepper_version, OLD.scopes, OLD.models,
            OLD.created_at, OLD.created_by, OLD.expires_at)
    THEN
        RAISE EXCEPTION 'key % can only be revoked, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.revoked_at := now();
    RETURN NEW;
END
$$;
ALTER TABLE ledger.api_keys DISABLE TRIGGER only_revoke;
UPDATE ledger.api_keys SET scopes = '{none}' WHERE cardinality(scopes) = 0;
ALTER TABLE ledger.api_keys ENABLE TRIGGER only_revoke;
ALTER TABLE ledger.api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) BETWEEN 1 AND 32),
    DROP COLUMN tenant,
    DROP COLUMN roles;
DROP TABLE ledger.tenants;
DROP FUNCTION ledger.keyring_changed();
DROP TABLE ledger.keyring_changes;
DROP TABLE ledger.keyring;
