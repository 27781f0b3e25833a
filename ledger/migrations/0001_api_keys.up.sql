-- API keys: what the gateway needs to recognise one, and the history of who gave and took it.
-- The secret is not here, only its HMAC under a pepper that no database ever sees.

GRANT USAGE ON SCHEMA ledger TO fed_gateway, fed_operator;

CREATE TABLE ledger.api_keys (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[0-9A-Za-z]{11}$'),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    pepper_version integer NOT NULL CHECK (pepper_version > 0),
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 32),
    models text[] CHECK (cardinality(models) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    expires_at timestamptz CHECK (expires_at > created_at),
    revoked_at timestamptz,
    revoked_by text CHECK (length(revoked_by) BETWEEN 1 AND 200),
    revoked_reason text CHECK (length(revoked_reason) BETWEEN 1 AND 500),
    CHECK (num_nulls(revoked_at, revoked_by, revoked_reason) IN (0, 3))
);

COMMENT ON COLUMN ledger.api_keys.models IS 'Models this key may use; null means every model.';

-- Raised by triggers below and in later migrations; the condition is insufficient_privilege, since
-- what they refuse is nobody's right.
CREATE FUNCTION ledger.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: its history is kept',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION ledger.api_keys_only_revoke() RETURNS trigger
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

CREATE FUNCTION ledger.api_keys_begin_unrevoked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.created_at := now();
    NEW.revoked_at := NULL;
    NEW.revoked_by := NULL;
    NEW.revoked_reason := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER begin_unrevoked BEFORE INSERT ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.api_keys_begin_unrevoked();
CREATE TRIGGER only_revoke BEFORE UPDATE ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.api_keys_only_revoke();
CREATE TRIGGER no_delete BEFORE DELETE ON ledger.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

REVOKE ALL ON FUNCTION ledger.refuse(), ledger.api_keys_only_revoke(),
    ledger.api_keys_begin_unrevoked() FROM PUBLIC;

GRANT SELECT (id, name, digest, pepper_version, scopes, models, expires_at, revoked_at)
    ON ledger.api_keys TO fed_gateway;
GRANT SELECT (id, name, pepper_version, scopes, models, created_at, created_by, expires_at,
              revoked_at, revoked_by, revoked_reason),
      INSERT (id, name, digest, pepper_version, scopes, models, created_by, expires_at),
      UPDATE (revoked_at, revoked_by, revoked_reason)
    ON ledger.api_keys TO fed_operator;
