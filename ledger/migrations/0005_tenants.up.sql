-- Tenants, what keys and tenants may use, and how gateways hear of changes to either.
-- A tenant is a namespace: every key belongs to exactly one, for ever.

CREATE TABLE ledger.tenants (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    models text[] CHECK (cardinality(models) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200)
);

COMMENT ON COLUMN ledger.tenants.models IS 'Models its keys may use at most; null means every model.';

INSERT INTO ledger.tenants (name, created_by) VALUES ('default', 'migration');

CREATE TRIGGER no_delete BEFORE DELETE ON ledger.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Keys that are there already belong to the tenant `default`.
ALTER TABLE ledger.api_keys
    ADD COLUMN tenant text COLLATE "C" NOT NULL DEFAULT 'default' REFERENCES ledger.tenants (name),
    ADD COLUMN roles text[] NOT NULL DEFAULT '{}' CHECK (cardinality(roles) <= 8),
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check
        CHECK (cardinality(scopes) <= 32 AND cardinality(scopes) + cardinality(roles) >= 1);

CREATE INDEX api_keys_tenant ON ledger.api_keys (tenant, created_at);

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

-- What a key ('key:ID') or a tenant ('tenant:NAME') may use; null means no limit, 0 means nothing.
CREATE TABLE ledger.limits (
    subject text COLLATE "C" PRIMARY KEY
        CHECK (subject ~ '^(key:[0-9A-Za-z]{11}|tenant:[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)$'),
    requests_per_minute bigint CHECK (requests_per_minute BETWEEN 0 AND 1000000000000),
    tokens_per_minute bigint CHECK (tokens_per_minute BETWEEN 0 AND 1000000000000),
    concurrent_requests bigint CHECK (concurrent_requests BETWEEN 0 AND 1000000),
    tokens_per_day bigint CHECK (tokens_per_day BETWEEN 0 AND 1000000000000),
    tokens_per_month bigint CHECK (tokens_per_month BETWEEN 0 AND 1000000000000),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL CHECK (length(changed_by) BETWEEN 1 AND 200)
);

-- A limit of something that is not there would be a mistake that nobody notices.
CREATE FUNCTION ledger.limits_have_a_subject() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT (CASE split_part(NEW.subject, ':', 1)
        WHEN 'key' THEN
            EXISTS (SELECT FROM ledger.api_keys WHERE id = substr(NEW.subject, 5))
        ELSE
            EXISTS (SELECT FROM ledger.tenants WHERE name = substr(NEW.subject, 8))
        END)
    THEN
        RAISE EXCEPTION 'there is no %', NEW.subject USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.changed_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER have_a_subject BEFORE INSERT OR UPDATE ON ledger.limits
    FOR EACH ROW EXECUTE FUNCTION ledger.limits_have_a_subject();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.limits
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- The version every gateway's view of keys, tenants and limits is at. Its one row is locked by
-- whoever changes something, so that versions become visible in their order, without a gap: a
-- gateway that has seen version n has seen every change up to n.
CREATE TABLE ledger.keyring (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version bigint NOT NULL
);
INSERT INTO ledger.keyring (version) VALUES (0);

-- What changed at each version, for those that were away; the last 10,000 are kept.
CREATE TABLE ledger.keyring_changes (
    version bigint PRIMARY KEY,
    subject text COLLATE "C" NOT NULL
);

CREATE FUNCTION ledger.keyring_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text;
    at bigint;
BEGIN
    changed := CASE TG_TABLE_NAME
        WHEN 'api_keys' THEN 'key:' || (to_jsonb(NEW) ->> 'id')
        WHEN 'tenants' THEN 'tenant:' || (to_jsonb(NEW) ->> 'name')
        ELSE coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'subject'
    END;
    UPDATE ledger.keyring SET version = version + 1 RETURNING version INTO at;
    INSERT INTO ledger.keyring_changes (version, subject) VALUES (at, changed);
    DELETE FROM ledger.keyring_changes WHERE version <= at - 10000;
    PERFORM pg_notify('fed_keyring', at::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_gateways AFTER UPDATE ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.keyring_changed();
CREATE TRIGGER tell_gateways AFTER INSERT OR UPDATE ON ledger.tenants
    FOR EACH ROW EXECUTE FUNCTION ledger.keyring_changed();
CREATE TRIGGER tell_gateways AFTER INSERT OR UPDATE OR DELETE ON ledger.limits
    FOR EACH ROW EXECUTE FUNCTION ledger.keyring_changed();

REVOKE ALL ON FUNCTION ledger.limits_have_a_subject(), ledger.keyring_changed() FROM PUBLIC;

GRANT SELECT (tenant, roles) ON ledger.api_keys TO fed_gateway;
GRANT SELECT (name, models) ON ledger.tenants TO fed_gateway;
GRANT SELECT ON ledger.limits, ledger.keyring, ledger.keyring_changes TO fed_gateway;
GRANT SELECT (tenant, roles), INSERT (tenant, roles) ON ledger.api_keys TO fed_operator;
GRANT SELECT, INSERT (name, models, created_by), UPDATE (models) ON ledger.tenants TO fed_operator;
GRANT SELECT,
      INSERT (subject, requests_per_minute, tokens_per_minute, concurrent_requests,
              tokens_per_day, tokens_per_month, changed_by),
      UPDATE (requests_per_minute, tokens_per_minute, concurrent_requests,
              tokens_per_day, tokens_per_month, changed_by)
    ON ledger.limits TO fed_operator;
GRANT SELECT ON ledger.keyring, ledger.keyring_changes TO fed_operator;
