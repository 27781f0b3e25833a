-- Keys keep their rights and lose their history of use.
DROP TRIGGER tell_gateways ON ledger.key_strength;
DROP TRIGGER credit_keys ON ledger.requests;
DROP TRIGGER revoke_successors ON ledger.api_keys;
DROP TRIGGER begin_strong ON ledger.api_keys;

CREATE OR REPLACE FUNCTION ledger.keyring_changed() RETURNS trigger
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

CREATE OR REPLACE FUNCTION ledger.limit_of(of_subject text, of_meter text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE of_meter
        WHEN 'requests_minute' THEN requests_per_minute
        WHEN 'tokens_minute' THEN tokens_per_minute
        WHEN 'concurrent' THEN concurrent_requests
        WHEN 'tokens_day' THEN tokens_per_day
        WHEN 'tokens_month' THEN tokens_per_month
    END
    FROM ledger.limits WHERE subject = of_subject
$$;

DROP FUNCTION ledger.limits_now(text), ledger.part_of(bigint, numeric),
    ledger.limit_subject(text),
    ledger.rotate_key(text, text, bytea, integer, interval, double precision, double precision,
                      smallint, text, bytea),
    ledger.mend_traces(text[], integer), ledger.requests_credit_keys(),
    ledger.note_key_uses(text[], text[], integer[]),
    ledger.trace_has(integer, bit varying, integer),
    ledger.trace_noting(integer, bit varying, integer),
    ledger.api_keys_revoke_successors(), ledger.api_keys_begin_strong();
DROP TABLE ledger.key_traces, ledger.key_strength, ledger.key_parameters, ledger.tiers;
DROP FUNCTION ledger.key_strength_only_narrows();

REVOKE SELECT (created_at) ON ledger.api_keys FROM fed_gateway;
REVOKE SELECT (id, name, scopes, roles, tenant, created_at, expires_at, revoked_at)
    ON ledger.api_keys FROM fed_keys;
REVOKE EXECUTE ON FUNCTION ledger.append_events(bytea[]) FROM fed_keys;
REVOKE USAGE ON SCHEMA ledger FROM fed_keys;
