-- How strong each key is: hours of credited work and of misuse as bits, and what was last made of
-- them (trust/strength.py has the rules, docs/explanation/key-strength.md the reasons).
-- Noting an hour twice is noting it once, in any order, so that gateways may report late and twice.
-- A failed secret is noted nowhere: nothing here can be caused by somebody without the secret.

-- What a tier leaves of the limits that were set; trust/tiers.py has the same fractions.
CREATE TABLE ledger.tiers (
    tier smallint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    rate_fraction numeric NOT NULL CHECK (rate_fraction > 0 AND rate_fraction <= 1),
    assumed_requests_per_minute bigint CHECK (assumed_requests_per_minute > 0)
);
COMMENT ON COLUMN ledger.tiers.assumed_requests_per_minute IS
    'For a key of this tier that has no such limit; null means none.';
INSERT INTO ledger.tiers VALUES
    (0, 'dormant', 0.02, 12), (1, 'weak', 0.1, 60), (2, 'normal', 0.5, 300), (3, 'strong', 1, NULL);

-- Parameters never change: a new default is a new version, and old keys keep theirs.
CREATE TABLE ledger.key_parameters (
    version integer PRIMARY KEY CHECK (version > 0),
    value jsonb NOT NULL
);
INSERT INTO ledger.key_parameters VALUES (1, '{
    "version": 1, "initial_strength": 100.0, "min_strength": 1.0, "max_strength": 150.0,
    "decay_per_day": 0.034657359027997264, "usage_gain": 0.4, "usage_half_life_days": 7.0,
    "usage_saturation_credits": 10.0, "misuse_loss_per_point": 0.3, "misuse_half_life_days": 3.0,
    "misuse_max_points": 14.0, "falls_below": [20.0, 40.0, 70.0], "rises_at": 1.25,
    "climb_hours": 24.0, "clock_tolerance_hours": 2.0}');
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.key_parameters
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- One row a key. `tier`, `strength`, `usage` and `misuse` are as of `settled_at`; the key is looked
-- at again at `unchanged_until`, or as soon as something was noted that can change its tier.
CREATE TABLE ledger.key_strength (
    key_id text COLLATE "C" PRIMARY KEY
        REFERENCES ledger.api_keys (id) DEFERRABLE INITIALLY DEFERRED,
    family text COLLATE "C" NOT NULL,
    replaces text COLLATE "C" UNIQUE,
    replaced_by text COLLATE "C" UNIQUE,
    self_made boolean NOT NULL DEFAULT false,
    parameters integer NOT NULL DEFAULT 1 REFERENCES ledger.key_parameters (version),
    issued_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL DEFAULT now() + interval '365 days',
    overlap_ends_at timestamptz,
    probation double precision NOT NULL DEFAULT 0 CHECK (probation BETWEEN 0 AND 1000),
    tier smallint NOT NULL DEFAULT 3 REFERENCES ledger.tiers (tier),
    tier_since timestamptz NOT NULL DEFAULT now(),
    strength double precision NOT NULL DEFAULT 100 CHECK (strength > 0 AND strength <= 1000),
    usage double precision NOT NULL DEFAULT 0 CHECK (usage BETWEEN 0 AND 1),
    misuse double precision NOT NULL DEFAULT 0 CHECK (misuse BETWEEN 0 AND 1000),
    settled_at timestamptz NOT NULL DEFAULT now(),
    unchanged_until timestamptz NOT NULL DEFAULT now(),
    warned_dormant smallint CHECK (warned_dormant IN (1, 7)),
    warned_end smallint CHECK (warned_end IN (0, 1, 7)),
    CHECK (num_nulls(replaced_by, overlap_ends_at) IN (0, 2))
) WITH (fillfactor = 70);
CREATE INDEX key_strength_unchanged_until ON ledger.key_strength (unchanged_until);
CREATE INDEX key_strength_family ON ledger.key_strength (family);
COMMENT ON COLUMN ledger.key_strength.family IS 'The first of the keys that replaced each other: limits are shared.';
COMMENT ON COLUMN ledger.key_strength.self_made IS 'Made by the key it replaces: revoked with it.';
COMMENT ON COLUMN ledger.key_strength.ends_at IS 'The hard maximum age; nothing makes it later.';
COMMENT ON COLUMN ledger.key_strength.warned_dormant IS 'Days before it of the last warning given; null for none.';
COMMENT ON COLUMN ledger.key_strength.warned_end IS 'The same of the key''s end; 0: it has ended, and that was said.';

-- In which hours something happened: bit i of `hours` is the hour `newest_hour` - i since 1970.
CREATE TABLE ledger.key_traces (
    key_id text COLLATE "C" NOT NULL REFERENCES ledger.api_keys (id),
    what text COLLATE "C" NOT NULL CHECK (what ~ '^(scope|misuse):[A-Za-z0-9_:.-]{1,64}$'),
    newest_hour integer NOT NULL CHECK (newest_hour >= 0),
    hours bit varying NOT NULL CHECK (length(hours) BETWEEN 1 AND 350400),
    PRIMARY KEY (key_id, what)
) WITH (fillfactor = 70);

CREATE FUNCTION ledger.key_strength_only_narrows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.key_id, NEW.family, NEW.replaces, NEW.self_made, NEW.parameters, NEW.issued_at,
        NEW.probation)
        IS DISTINCT FROM
       (OLD.key_id, OLD.family, OLD.replaces, OLD.self_made, OLD.parameters, OLD.issued_at,
        OLD.probation)
        OR NEW.ends_at > OLD.ends_at
        OR (OLD.replaced_by IS NOT NULL AND (NEW.replaced_by IS DISTINCT FROM OLD.replaced_by
            OR NEW.overlap_ends_at > OLD.overlap_ends_at))
    THEN
        RAISE EXCEPTION 'key % lives no longer than it was given, and stays what it was', OLD.key_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_narrows BEFORE UPDATE ON ledger.key_strength
    FOR EACH ROW EXECUTE FUNCTION ledger.key_strength_only_narrows();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.key_strength
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Every key has a row from its first moment; keys from before begin as new ones, today.
CREATE FUNCTION ledger.api_keys_begin_strong() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.key_strength (key_id, family) VALUES (NEW.id, NEW.id)
    ON CONFLICT (key_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER begin_strong AFTER INSERT ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.api_keys_begin_strong();
INSERT INTO ledger.key_strength (key_id, family, unchanged_until)
SELECT id, id, CASE WHEN revoked_at IS NULL THEN now() ELSE '9999-12-31' END FROM ledger.api_keys;

-- A revoked key takes with it what it made of itself: whoever held it may hold that as well.
CREATE FUNCTION ledger.api_keys_revoke_successors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ledger.api_keys AS k
    SET revoked_at = NEW.revoked_at, revoked_by = NEW.revoked_by,
        revoked_reason = left('made by ' || NEW.id || ': ' || NEW.revoked_reason, 500)
    FROM ledger.key_strength AS s
    WHERE s.replaces = NEW.id AND s.self_made AND k.id = s.key_id AND k.revoked_at IS NULL;
    UPDATE ledger.key_strength SET unchanged_until = '9999-12-31' WHERE key_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER revoke_successors AFTER UPDATE OF revoked_at ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.api_keys_revoke_successors();

-- Noting.

CREATE FUNCTION ledger.trace_noting(newest integer, hours bit varying, hour integer)
RETURNS bit varying
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN hour > newest THEN set_bit(hours >> least(hour - newest, length(hours)), 0, 1)
        WHEN newest - hour < length(hours) THEN set_bit(hours, newest - hour, 1)
        ELSE hours
    END
$$;

CREATE FUNCTION ledger.trace_has(newest integer, hours bit varying, hour integer) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN newest - hour BETWEEN 0 AND length(hours) - 1
        THEN get_bit(hours, newest - hour) = 1 ELSE newest - hour > 0 END
$$;

-- Note uses of keys: 'scope:NAME' for an hour of credited work, 'misuse:KIND' for one of misuse that
-- proves possession of the secret; how many were new. Unknown and revoked keys, and hours that are
-- further ahead than a clock may be, or older than is remembered, are passed over. Rows are locked in
-- one order, traces before strengths, so that two callers never wait for each other in a circle.
CREATE FUNCTION ledger.note_key_uses(keys text[], whats text[], at_hours integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_hour integer := floor(extract(epoch FROM clock_timestamp()) / 3600);
    use record;
    fresh integer := 0;
    worked text[] := '{}';
    misused text[] := '{}';
BEGIN
    FOR use IN
        SELECT DISTINCT g.key COLLATE "C" AS key, g.what COLLATE "C" AS what, g.hour,
               ceil(4 * 24 * (p.value ->> CASE WHEN starts_with(g.what, 'misuse:')
                    THEN 'misuse_half_life_days' ELSE 'usage_half_life_days' END)::numeric)::integer
                    AS size
        FROM unnest(keys, whats, at_hours) AS g (key, what, hour)
        JOIN ledger.api_keys AS k ON k.id = g.key AND k.revoked_at IS NULL
        JOIN ledger.key_strength AS s ON s.key_id = g.key
        JOIN ledger.key_parameters AS p ON p.version = s.parameters
        LEFT JOIN ledger.key_traces AS t ON t.key_id = g.key AND t.what = g.what
        WHERE g.hour BETWEEN 0 AND this_hour + 2
          AND (t.key_id IS NULL OR NOT ledger.trace_has(t.newest_hour, t.hours, g.hour))
        ORDER BY 1, 2, 3
    LOOP
        CONTINUE WHEN use.hour <= this_hour - use.size;
        INSERT INTO ledger.key_traces AS t (key_id, what, newest_hour, hours)
        VALUES (use.key, use.what, use.hour, set_bit(repeat('0', use.size)::bit varying, 0, 1))
        ON CONFLICT (key_id, what) DO UPDATE
        SET newest_hour = greatest(t.newest_hour, use.hour),
            hours = ledger.trace_noting(t.newest_hour, t.hours, use.hour)
        WHERE NOT ledger.trace_has(t.newest_hour, t.hours, use.hour);
        IF FOUND THEN
            fresh := fresh + 1;
            IF starts_with(use.what, 'misuse:') THEN
                misused := misused || use.key;
            ELSE
                worked := worked || use.key;
            END IF;
        END IF;
    END LOOP;
    -- Work makes no strong key weaker and none rise; all else is looked at with the next turn.
    SELECT array_agg(h.key_id) INTO misused
    FROM (SELECT s.key_id FROM ledger.key_strength AS s
          WHERE (s.key_id = ANY (misused) OR (s.key_id = ANY (worked) AND s.tier < 3))
            AND s.unchanged_until BETWEEN clock_timestamp() AND '9999-01-01'
          ORDER BY s.key_id FOR UPDATE) AS h;
    UPDATE ledger.key_strength SET unchanged_until = clock_timestamp()
    WHERE key_id = ANY (misused);
    RETURN fresh;
END
$$;

-- An hour of work is an hour in which a request was answered whole, by the audit's own account: the
-- credit is kept by the transaction that keeps the record, once, whoever ships it how often.
CREATE FUNCTION ledger.requests_credit_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.note_key_uses(array_agg(u.key_id), array_agg(u.what), array_agg(u.hour))
    FROM (SELECT DISTINCT r.key_id,
                 'scope:' || CASE r.route WHEN 'tokenize' THEN 'tokenize' ELSE 'inference' END,
                 floor(extract(epoch FROM r.started_at) / 3600)::integer
          FROM done AS r WHERE r.outcome = 'answered') AS u (key_id, what, hour)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_keys AFTER UPDATE ON ledger.requests REFERENCING NEW TABLE AS done
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.requests_credit_keys();

-- What was dated ahead of the clock when the clock was wrong ages from now.
CREATE FUNCTION ledger.mend_traces(keys text[], this_hour integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ledger.key_traces
    SET newest_hour = this_hour, hours = set_bit(repeat('0', length(hours))::bit varying, 0, 1)
    WHERE key_id = ANY (keys) AND newest_hour > this_hour + 2
$$;

-- Rotation: a successor with the same name, rights and limits, and the end of the old key after
-- `overlap`. What the successor starts with was computed from the old key's state; it is never above
-- the old key's tier, and every misuse comes along. A key is replaced once.
CREATE FUNCTION ledger.rotate_key(
    old_id text, new_id text, new_digest bytea, new_pepper_version integer, overlap interval,
    new_probation double precision, new_strength double precision, new_tier smallint,
    by_actor text, event_body bytea
) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_itself boolean := session_user = 'fed_gateway';
    old ledger.api_keys;
    held ledger.key_strength;
    until timestamptz;
BEGIN
    SELECT * INTO old FROM ledger.api_keys WHERE id = old_id FOR NO KEY UPDATE;
    SELECT * INTO held FROM ledger.key_strength WHERE key_id = old_id FOR UPDATE;
    IF held.key_id IS NULL OR old.revoked_at IS NOT NULL
        OR least(old.expires_at, held.ends_at, held.overlap_ends_at) <= clock_timestamp()
    THEN
        RAISE EXCEPTION 'key % does not work', old_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF held.replaced_by IS NOT NULL THEN
        RAISE EXCEPTION 'key % was replaced before', old_id USING ERRCODE = 'unique_violation';
    END IF;
    IF by_itself AND held.self_made AND held.issued_at > clock_timestamp() - interval '1 hour' THEN
        RAISE EXCEPTION 'key % was made less than an hour ago', old_id
            USING ERRCODE = 'unique_violation';
    END IF;
    IF overlap < '0' OR overlap > '30 days' OR new_tier > held.tier THEN
        RAISE EXCEPTION 'a rotation that may not be' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger.key_strength (key_id, family, replaces, self_made, parameters, probation,
                                     tier, strength, ends_at)
    VALUES (new_id, held.family, old_id, by_itself, held.parameters, new_probation, new_tier,
            new_strength,
            CASE WHEN by_itself THEN held.ends_at ELSE now() + interval '365 days' END);
    INSERT INTO ledger.api_keys (id, name, digest, pepper_version, scopes, models, created_by,
                                 expires_at, tenant, roles)
    VALUES (new_id, old.name, new_digest, new_pepper_version, old.scopes, old.models,
            CASE WHEN by_itself THEN 'key:' || old_id ELSE by_actor END,
            old.expires_at, old.tenant, old.roles);
    INSERT INTO ledger.key_traces (key_id, what, newest_hour, hours)
    SELECT new_id, what, newest_hour, hours FROM ledger.key_traces
    WHERE key_id = old_id AND starts_with(what, 'misuse:');
    until := least(old.expires_at, held.ends_at, clock_timestamp() + overlap);
    UPDATE ledger.key_strength
    SET replaced_by = new_id, overlap_ends_at = until, unchanged_until = clock_timestamp(),
        warned_end = NULL
    WHERE key_id = old_id;
    PERFORM ledger.append_events(ARRAY[event_body]);
    RETURN until;
END
$$;

-- Limits as they hold now: what was set, and what the tier leaves of it. A family shares them, and
-- its strongest working key decides, so that rotating a key wins no second budget.
CREATE FUNCTION ledger.limit_subject(of_subject text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN starts_with(of_subject, 'key:')
        THEN 'key:' || coalesce((SELECT family FROM ledger.key_strength
                                 WHERE key_id = substr(of_subject, 5)), substr(of_subject, 5))
        ELSE of_subject END
$$;

-- What a fraction leaves of a limit: something of one that is something, nothing of 0 or of none.
CREATE FUNCTION ledger.part_of(whole bigint, fraction numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN whole > 0 THEN greatest(1, floor(whole * fraction))::bigint ELSE whole END
$$;

CREATE FUNCTION ledger.limits_now(of_subject text)
RETURNS TABLE (requests_per_minute bigint, tokens_per_minute bigint, concurrent_requests bigint,
               tokens_per_day bigint, tokens_per_month bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(ledger.part_of(l.requests_per_minute, t.rate_fraction),
                    t.assumed_requests_per_minute),
           ledger.part_of(l.tokens_per_minute, t.rate_fraction),
           ledger.part_of(l.concurrent_requests, t.rate_fraction),
           l.tokens_per_day, l.tokens_per_month
    FROM ledger.tiers AS t
    LEFT JOIN ledger.limits AS l ON l.subject = of_subject
    WHERE t.tier = coalesce(
        (SELECT max(s.tier) FROM ledger.key_strength AS s
         JOIN ledger.api_keys AS k ON k.id = s.key_id
         WHERE s.family = substr(of_subject, 5) AND starts_with(of_subject, 'key:')
           AND k.revoked_at IS NULL
           AND least(k.expires_at, s.ends_at, s.overlap_ends_at) > now()), 3)
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
    FROM ledger.limits_now(of_subject)
$$;

-- Whoever shares limits with a key that changed is read again as well.
CREATE OR REPLACE FUNCTION ledger.keyring_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text;
    shared text;
    told text;
    at bigint;
BEGIN
    changed := CASE TG_TABLE_NAME
        WHEN 'api_keys' THEN 'key:' || (to_jsonb(NEW) ->> 'id')
        WHEN 'key_strength' THEN 'key:' || (to_jsonb(NEW) ->> 'key_id')
        WHEN 'tenants' THEN 'tenant:' || (to_jsonb(NEW) ->> 'name')
        ELSE coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'subject'
    END;
    IF starts_with(changed, 'key:') THEN
        shared := substr(ledger.limit_subject(changed), 5);
    END IF;
    FOR told IN
        SELECT changed UNION SELECT 'key:' || s.key_id FROM ledger.key_strength AS s
        WHERE s.family = shared
    LOOP
        UPDATE ledger.keyring SET version = version + 1 RETURNING version INTO at;
        INSERT INTO ledger.keyring_changes (version, subject) VALUES (at, told);
    END LOOP;
    DELETE FROM ledger.keyring_changes WHERE version <= at - 10000;
    PERFORM pg_notify('fed_keyring', at::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_gateways AFTER UPDATE OF tier, ends_at, overlap_ends_at ON ledger.key_strength
    FOR EACH ROW
    WHEN ((OLD.tier, OLD.ends_at, OLD.overlap_ends_at)
          IS DISTINCT FROM (NEW.tier, NEW.ends_at, NEW.overlap_ends_at))
    EXECUTE FUNCTION ledger.keyring_changed();

REVOKE ALL ON FUNCTION ledger.key_strength_only_narrows(), ledger.api_keys_begin_strong(),
    ledger.api_keys_revoke_successors(), ledger.trace_noting(integer, bit varying, integer),
    ledger.trace_has(integer, bit varying, integer),
    ledger.note_key_uses(text[], text[], integer[]), ledger.requests_credit_keys(),
    ledger.mend_traces(text[], integer),
    ledger.rotate_key(text, text, bytea, integer, interval, double precision, double precision,
                      smallint, text, bytea),
    ledger.limit_subject(text), ledger.part_of(bigint, numeric), ledger.limits_now(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.note_key_uses(text[], text[], integer[]) TO fed_gateway;
GRANT EXECUTE ON FUNCTION ledger.limits_now(text), ledger.part_of(bigint, numeric) TO fed_gateway;
GRANT EXECUTE ON FUNCTION ledger.limit_subject(text) TO fed_operator;
GRANT EXECUTE ON FUNCTION ledger.rotate_key(text, text, bytea, integer, interval, double precision,
    double precision, smallint, text, bytea) TO fed_gateway, fed_operator;
GRANT SELECT ON ledger.key_strength, ledger.key_traces, ledger.tiers, ledger.key_parameters
    TO fed_gateway, fed_operator, fed_keys;
GRANT USAGE ON SCHEMA ledger TO fed_keys;
GRANT SELECT (id, name, scopes, roles, tenant, created_at, expires_at, revoked_at)
    ON ledger.api_keys TO fed_keys;
GRANT SELECT (created_at) ON ledger.api_keys TO fed_gateway;
GRANT UPDATE (tier, tier_since, strength, usage, misuse, settled_at, unchanged_until,
              warned_dormant, warned_end)
    ON ledger.key_strength TO fed_keys;
GRANT EXECUTE ON FUNCTION ledger.mend_traces(text[], integer), ledger.append_events(bytea[])
    TO fed_keys;
