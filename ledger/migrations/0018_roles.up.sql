-- Who has which rights, and how that changes: proposed, approved by somebody else, reverted
-- (docs/decisions/0031). What a role grants is code (trust/permissions.py); here is only who has it.
-- The rules are in triggers, so that they hold for the owner and the superuser too.

-- Every right there is; a test compares it with the code. A new key may have some at once.
CREATE TABLE ledger.rights (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^(role|scope):[a-z]+(:[a-z]+)?$'),
    at_once boolean NOT NULL
);
INSERT INTO ledger.rights VALUES
    ('scope:inference', true), ('scope:tokenize', true), ('role:user', true),
    ('scope:usage:read', false), ('scope:keys:read', false),
    ('role:developer', false), ('role:auditor', false), ('role:manager', false);
CREATE TRIGGER no_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger.rights
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Who may propose and approve, by the common name of the certificate they log in with: `operator`,
-- and `operator.NAME` for anybody else.
CREATE TABLE ledger.operators (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$'),
    since timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz
);
INSERT INTO ledger.operators (name) VALUES ('operator');
COMMENT ON TABLE ledger.operators IS 'Two or more: a widening needs two of them. One: it needs time.';

CREATE TABLE ledger.role_proposals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    subject text COLLATE "C" NOT NULL
        CHECK (subject ~ '^(key:[0-9A-Za-z]{11}|operator:[a-z]([a-z0-9-]{0,30}[a-z0-9])?)$'),
    action text NOT NULL CHECK (action IN ('give', 'take')),
    what text COLLATE "C" NOT NULL CHECK (length(what) BETWEEN 1 AND 100),
    why text NOT NULL CHECK (length(why) BETWEEN 1 AND 500),
    effects text CHECK (length(effects) BETWEEN 20 AND 2000),
    reversible_until timestamptz,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    lapses_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'in_effect', 'rejected', 'reverted')),
    decided_by text,
    decided_at timestamptz,
    decided_why text CHECK (length(decided_why) BETWEEN 1 AND 500),
    reverted_by text,
    reverted_at timestamptz,
    reverted_why text CHECK (length(reverted_why) BETWEEN 1 AND 500),
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (num_nulls(effects, reversible_until) = CASE action WHEN 'take' THEN 2 ELSE 0 END),
    CHECK (num_nulls(decided_by, decided_at) = CASE state WHEN 'waiting' THEN 2 ELSE 0 END),
    CHECK (num_nulls(reverted_by, reverted_at, reverted_why)
           = CASE state WHEN 'reverted' THEN 0 ELSE 3 END)
);
CREATE INDEX role_proposals_subject ON ledger.role_proposals (subject, what);
CREATE INDEX role_proposals_changed_in ON ledger.role_proposals (changed_in);
COMMENT ON COLUMN ledger.role_proposals.effects IS 'What is expected of it over the long horizon; a take has none.';
COMMENT ON COLUMN ledger.role_proposals.changed_in IS 'The transaction that may change rights by this row.';

-- How long the only operator waits, how long a proposal can be decided, how long it may be reversible.
CREATE FUNCTION ledger.role_rules(
    OUT alone_waits interval, OUT lapses_after interval, OUT reversible_at_most interval
) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT interval '3 days', interval '14 days', interval '400 days'
$$;

CREATE FUNCTION ledger.rights_of(scopes text[], roles text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(r.name ORDER BY r.name COLLATE "C"), '{}')
    FROM (SELECT 'scope:' || s AS name FROM unnest(scopes) AS s
          UNION SELECT 'role:' || o FROM unnest(roles) AS o) AS r
$$;

-- The name of the operator whose certificate this session showed; refuses everybody else, the owner
-- on the local socket included. Whoever can log in as an operator may narrow, as they may revoke;
-- to widen, or to take somebody off, they must be on the list.
CREATE FUNCTION ledger.operator_here(listed boolean) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown text := public.ssl_client_dn_field('commonName');
    called text := CASE WHEN shown = 'operator' THEN shown
                        WHEN shown LIKE 'operator.%' AND shown <> 'operator.operator'
                        THEN substr(shown, 10) END;
BEGIN
    IF called IS NULL OR session_user <> 'fed_operator' OR (listed AND NOT EXISTS (
        SELECT FROM ledger.operators AS o WHERE o.name = called AND o.removed_at IS NULL))
    THEN
        RAISE EXCEPTION '% is no operator who may do that', coalesce(called, session_user)
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN called;
END
$$;

-- The keys that a change of this key's rights concerns: all that replaced each other.
CREATE FUNCTION ledger.family_of(of_key text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.key_id FROM ledger.key_strength AS s JOIN ledger.key_strength AS m USING (family)
    WHERE s.key_id = of_key
$$;

-- Whether a subject has a right now; null when nothing like it is at work.
CREATE FUNCTION ledger.has_right(of_subject text, wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE split_part(of_subject, ':', 1)
        WHEN 'operator' THEN
            (SELECT count(*) > 0 FROM ledger.operators AS o
             WHERE o.name = substr(of_subject, 10) AND o.removed_at IS NULL)
        ELSE
            (SELECT bool_or(wanted = ANY (ledger.rights_of(k.scopes, k.roles)))
             FROM ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id
             WHERE k.id IN (SELECT ledger.family_of(substr(of_subject, 5))) AND k.revoked_at IS NULL
               AND least(k.expires_at, s.ends_at, s.overlap_ends_at) > now())
        END
$$;

-- From when on the only operator may approve: time for whoever else is there to see it, counted anew
-- when somebody who could have approved was taken off.
CREATE FUNCTION ledger.alone_from(proposed_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(proposed_at, (SELECT max(o.removed_at) FROM ledger.operators AS o))
           + (ledger.role_rules()).alone_waits
$$;

CREATE FUNCTION ledger.role_proposed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rules record := ledger.role_rules();
    has boolean;
BEGIN
    LOCK TABLE ledger.operators IN SHARE ROW EXCLUSIVE MODE;
    NEW.proposed_by := ledger.operator_here(
        NEW.action = 'give' OR starts_with(NEW.subject, 'operator:'));
    NEW.proposed_at := now();
    NEW.lapses_at := now() + rules.lapses_after;
    NEW.changed_in := pg_current_xact_id();
    NEW.state := CASE NEW.action WHEN 'take' THEN 'in_effect' ELSE 'waiting' END;
    NEW.decided_by := CASE NEW.action WHEN 'take' THEN NEW.proposed_by END;
    NEW.decided_at := CASE NEW.action WHEN 'take' THEN now() END;
    NEW.decided_why := NULL;
    IF starts_with(NEW.subject, 'operator:') THEN
        IF NEW.what <> 'review' THEN
            RAISE EXCEPTION 'an operator has the right ''review'' and no other'
                USING ERRCODE = 'check_violation';
        END IF;
    -- A right that this release does not know can still be taken: older keys may have one.
    ELSIF NEW.action = 'give'
        AND NOT EXISTS (SELECT FROM ledger.rights AS r WHERE r.name = NEW.what)
    THEN
        RAISE EXCEPTION 'there is no right %', NEW.what USING ERRCODE = 'check_violation';
    END IF;
    has := ledger.has_right(NEW.subject, NEW.what);
    IF has IS NULL THEN
        RAISE EXCEPTION '% is no key that works', NEW.subject USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF has = (NEW.action = 'give') THEN
        RAISE EXCEPTION '% has % %', NEW.subject, NEW.what,
            CASE WHEN has THEN 'already' ELSE 'not' END USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.reversible_until NOT BETWEEN now() AND now() + rules.reversible_at_most THEN
        RAISE EXCEPTION 'it may be reversible until %, and later than now',
            to_char((now() + rules.reversible_at_most) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER proposed BEFORE INSERT ON ledger.role_proposals
    FOR EACH ROW EXECUTE FUNCTION ledger.role_proposed();

CREATE FUNCTION ledger.role_approvable(p ledger.role_proposals, by_operator text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF now() >= least(p.lapses_at, p.reversible_until) THEN
        RAISE EXCEPTION 'proposal % has lapsed: propose it again', p.number
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM ledger.operators AS o
    WHERE o.name = p.proposed_by AND o.removed_at IS NULL AND o.since <= p.proposed_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%, who proposed it, was taken off since: propose it again', p.proposed_by
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p.proposed_by = by_operator THEN
        IF (SELECT count(*) > 1 FROM ledger.operators AS o WHERE o.removed_at IS NULL) THEN
            RAISE EXCEPTION 'proposal % is %''s own: somebody else approves it', p.number, by_operator
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF now() < ledger.alone_from(p.proposed_at) THEN
            RAISE EXCEPTION 'the only operator can approve proposal % from % on', p.number,
                to_char(ledger.alone_from(p.proposed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    -- What was taken since is not given back by a proposal from before.
    PERFORM FROM ledger.role_proposals AS o
    WHERE o.what = p.what AND (o.subject = p.subject OR substr(o.subject, 5) IN (
              SELECT ledger.family_of(substr(p.subject, 5))))
      AND greatest(o.reverted_at, CASE o.action WHEN 'take' THEN o.decided_at END) >= p.proposed_at;
    IF FOUND THEN
        RAISE EXCEPTION '% was taken of % since: propose it again', p.what, p.subject
            USING ERRCODE = 'check_violation';
    END IF;
    IF ledger.has_right(p.subject, p.what) IS DISTINCT FROM false THEN
        RAISE EXCEPTION '% works no more, or has % already', p.subject, p.what
            USING ERRCODE = 'check_violation';
    END IF;
END
$$;

CREATE FUNCTION ledger.role_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_operator text;
BEGIN
    LOCK TABLE ledger.operators IN SHARE ROW EXCLUSIVE MODE;
    by_operator := ledger.operator_here(NEW.state = 'in_effect'
        OR (NEW.state = 'reverted' AND starts_with(NEW.subject, 'operator:')));
    IF (NEW.number, NEW.id, NEW.subject, NEW.action, NEW.what, NEW.why, NEW.effects,
        NEW.reversible_until, NEW.proposed_by, NEW.proposed_at, NEW.lapses_at)
        IS DISTINCT FROM
       (OLD.number, OLD.id, OLD.subject, OLD.action, OLD.what, OLD.why, OLD.effects,
        OLD.reversible_until, OLD.proposed_by, OLD.proposed_at, OLD.lapses_at)
    THEN
        RAISE EXCEPTION 'proposal % stays as it was made', OLD.number
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.changed_in := pg_current_xact_id();
    CASE OLD.state || ' ' || NEW.state
    WHEN 'waiting in_effect', 'waiting rejected' THEN
        IF NEW.state = 'in_effect' THEN
            PERFORM ledger.role_approvable(OLD, by_operator);
        END IF;
        NEW.decided_by := by_operator;
        NEW.decided_at := now();
    WHEN 'in_effect reverted' THEN
        IF OLD.action = 'take' THEN
            RAISE EXCEPTION 'what was taken is given back by a new proposal only'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF now() > OLD.reversible_until THEN
            RAISE EXCEPTION 'proposal % was reversible until %: propose to take %, which needs no approval',
                OLD.number, to_char(OLD.reversible_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
                OLD.what USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF ledger.has_right(OLD.subject, OLD.what) IS DISTINCT FROM true THEN
            RAISE EXCEPTION '% has % no more', OLD.subject, OLD.what
                USING ERRCODE = 'check_violation';
        END IF;
        NEW.decided_by := OLD.decided_by;
        NEW.decided_at := OLD.decided_at;
        NEW.decided_why := OLD.decided_why;
        NEW.reverted_by := by_operator;
        NEW.reverted_at := now();
    ELSE
        RAISE EXCEPTION 'proposal % is %', OLD.number, replace(OLD.state, '_', ' ')
            USING ERRCODE = 'check_violation';
    END CASE;
    RETURN NEW;
END
$$;
CREATE TRIGGER moved BEFORE UPDATE ON ledger.role_proposals
    FOR EACH ROW EXECUTE FUNCTION ledger.role_moved();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.role_proposals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- Whether a step of this very transaction takes the subject from one set of rights to the other.
CREATE FUNCTION ledger.reviewed(subjects text[], before text[], after text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM ledger.role_proposals AS p
        WHERE p.changed_in = pg_current_xact_id() AND p.subject = ANY (subjects)
          AND CASE WHEN p.state = 'in_effect' AND p.action = 'give'
                   THEN after @> (before || p.what) AND after <@ (before || p.what)
                   WHEN p.state IN ('in_effect', 'reverted')
                   THEN after @> array_remove(before, p.what)
                        AND after <@ array_remove(before, p.what)
              END)
$$;

CREATE FUNCTION ledger.operators_reviewed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT ledger.reviewed(
        ARRAY['operator:' || NEW.name],
        CASE WHEN TG_OP = 'UPDATE' AND OLD.removed_at IS NULL THEN ARRAY['review'] ELSE '{}' END,
        CASE WHEN NEW.removed_at IS NULL THEN ARRAY['review'] ELSE '{}' END)
        OR (TG_OP = 'UPDATE' AND NEW.name <> OLD.name)
    THEN
        RAISE EXCEPTION 'operators come and go by a proposal only'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.removed_at IS NULL THEN
        NEW.since := now();
    ELSE
        NEW.since := OLD.since;
        NEW.removed_at := now();
        IF NOT EXISTS (SELECT FROM ledger.operators AS o
                       WHERE o.name <> NEW.name AND o.removed_at IS NULL)
        THEN
            RAISE EXCEPTION 'the last operator stays: nobody could decide anything any more'
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER reviewed BEFORE INSERT OR UPDATE ON ledger.operators
    FOR EACH ROW EXECUTE FUNCTION ledger.operators_reviewed();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.operators
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- A key begins with what needs no review, or with what the key has that it replaces.
ALTER TABLE ledger.api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) <= 32);

CREATE FUNCTION ledger.api_keys_begin_narrow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted text[] := ledger.rights_of(NEW.scopes, NEW.roles);
    held text[];
    more text;
BEGIN
    SELECT ledger.rights_of(k.scopes, k.roles) INTO held
    FROM ledger.key_strength AS s JOIN ledger.api_keys AS k ON k.id = s.replaces
    WHERE s.key_id = NEW.id;
    IF held IS NULL AND wanted = '{}' THEN
        RAISE EXCEPTION 'a key needs a scope or a role' USING ERRCODE = 'check_violation';
    END IF;
    SELECT string_agg(w, ', ') INTO more FROM unnest(wanted) AS w
    WHERE NOT w = ANY (coalesce(held, '{}'))
      AND NOT EXISTS (SELECT FROM ledger.rights AS r WHERE r.name = w AND r.at_once);
    IF more IS NOT NULL THEN
        RAISE EXCEPTION 'no new key has % before it was proposed and approved', more
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER begin_narrow BEFORE INSERT ON ledger.api_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.api_keys_begin_narrow();

CREATE OR REPLACE FUNCTION ledger.api_keys_only_revoke() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'key % is revoked, and stays so', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.id, NEW.name, NEW.digest, NEW.pepper_version, NEW.models,
        NEW.created_at, NEW.created_by, NEW.expires_at, NEW.tenant)
        IS DISTINCT FROM
       (OLD.id, OLD.name, OLD.digest, OLD.pepper_version, OLD.models,
        OLD.created_at, OLD.created_by, OLD.expires_at, OLD.tenant)
    THEN
        RAISE EXCEPTION 'key % can only be revoked, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.scopes, NEW.roles) IS DISTINCT FROM (OLD.scopes, OLD.roles) THEN
        IF NEW.revoked_at IS NOT NULL OR NOT ledger.reviewed(
            ARRAY(SELECT 'key:' || f FROM ledger.family_of(OLD.id) AS f),
            ledger.rights_of(OLD.scopes, OLD.roles), ledger.rights_of(NEW.scopes, NEW.roles))
        THEN
            RAISE EXCEPTION 'rights of key % change by a proposal only', OLD.id
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.revoked_at IS NULL THEN
        RAISE EXCEPTION 'key % can only be revoked, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.revoked_at := now();
    RETURN NEW;
END
$$;

-- Make rights what a step says. A successor that is being made while this waits is not missed: the
-- family is locked again until it has not grown.
CREATE FUNCTION ledger.role_apply(of_subject text, wanted text, giving boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named text := CASE WHEN starts_with(wanted, 'scope:') THEN substr(wanted, 7)
                       ELSE substr(wanted, 6) END;
    is_scope boolean := starts_with(wanted, 'scope:');
    seen integer := -1;
    there integer := 0;
BEGIN
    IF starts_with(of_subject, 'operator:') THEN
        UPDATE ledger.operators AS o SET removed_at = CASE WHEN NOT giving THEN now() END
        WHERE o.name = substr(of_subject, 10);
        IF NOT FOUND THEN
            INSERT INTO ledger.operators (name) VALUES (substr(of_subject, 10));
        END IF;
        RETURN;
    END IF;
    WHILE there <> seen LOOP
        seen := there;
        SELECT count(*) INTO there FROM (
            SELECT FROM ledger.api_keys AS k
            WHERE k.id IN (SELECT ledger.family_of(substr(of_subject, 5)))
            ORDER BY k.created_at, k.id FOR NO KEY UPDATE) AS locked;
    END LOOP;
    UPDATE ledger.api_keys AS k
    SET scopes = CASE WHEN NOT is_scope THEN k.scopes
                      WHEN giving THEN k.scopes || named ELSE array_remove(k.scopes, named) END,
        roles = CASE WHEN is_scope THEN k.roles
                     WHEN giving THEN k.roles || named ELSE array_remove(k.roles, named) END
    WHERE k.id IN (SELECT ledger.family_of(substr(of_subject, 5))) AND k.revoked_at IS NULL
      AND (wanted = ANY (ledger.rights_of(k.scopes, k.roles))) <> giving;
END
$$;

-- The event of a step, of the kind it must be and saying what it does; both or neither.
CREATE FUNCTION ledger.role_event(event_body bytea, wanted text, p ledger.role_proposals)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event jsonb := convert_from(event_body, 'UTF8')::jsonb;
BEGIN
    IF event ->> 'kind' IS DISTINCT FROM wanted OR event ->> 'subject' IS DISTINCT FROM p.subject
        OR NOT coalesce(event -> 'data' @> jsonb_build_object(
            'proposal', p.id, 'operator', ledger.operator_here(false), 'action', p.action,
            'right', p.what), false)
    THEN
        RAISE EXCEPTION 'this step is written down as % of %', wanted, p.subject
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM ledger.append_events(ARRAY[event_body]);
END
$$;

-- Propose to give a right, or take one: that is in effect when this returns. The proposal's number.
CREATE FUNCTION ledger.role_propose(
    new_id uuid, of_subject text, new_action text, wanted text, new_why text, new_effects text,
    reversible_for interval, event_body bytea
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made ledger.role_proposals;
BEGIN
    INSERT INTO ledger.role_proposals
        (id, subject, action, what, why, effects, reversible_until,
         proposed_by, proposed_at, lapses_at, state)
    VALUES (new_id, of_subject, new_action, wanted, new_why, new_effects, now() + reversible_for,
            '', now(), now(), 'waiting')
    RETURNING * INTO made;
    IF new_action = 'take' THEN
        PERFORM ledger.role_apply(of_subject, wanted, false);
    END IF;
    PERFORM ledger.role_event(
        event_body, CASE new_action WHEN 'take' THEN 'role.taken' ELSE 'role.proposed' END, made);
    RETURN made.number;
END
$$;

-- Approve, reject or revert a proposal.
CREATE FUNCTION ledger.role_decide(
    of_number bigint, decision text, new_why text, event_body bytea
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved ledger.role_proposals;
BEGIN
    UPDATE ledger.role_proposals AS p
    SET state = CASE decision WHEN 'approve' THEN 'in_effect' WHEN 'reject' THEN 'rejected'
                              WHEN 'revert' THEN 'reverted' END,
        decided_why = CASE decision WHEN 'revert' THEN p.decided_why ELSE new_why END,
        reverted_why = CASE decision WHEN 'revert' THEN new_why END
    WHERE p.number = of_number RETURNING * INTO moved;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no proposal %', of_number USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF decision <> 'reject' THEN
        PERFORM ledger.role_apply(moved.subject, moved.what, decision = 'approve');
    END IF;
    PERFORM ledger.role_event(event_body, CASE decision WHEN 'approve' THEN 'role.approved'
        WHEN 'reject' THEN 'role.rejected' ELSE 'role.reverted' END, moved);
END
$$;

REVOKE ALL ON FUNCTION ledger.role_rules(), ledger.rights_of(text[], text[]),
    ledger.operator_here(boolean), ledger.family_of(text), ledger.has_right(text, text),
    ledger.alone_from(timestamptz), ledger.role_proposed(),
    ledger.role_approvable(ledger.role_proposals, text), ledger.role_moved(),
    ledger.reviewed(text[], text[], text[]), ledger.operators_reviewed(),
    ledger.api_keys_begin_narrow(), ledger.role_apply(text, text, boolean),
    ledger.role_event(bytea, text, ledger.role_proposals),
    ledger.role_propose(uuid, text, text, text, text, text, interval, bytea),
    ledger.role_decide(bigint, text, text, bytea) FROM PUBLIC;
GRANT SELECT ON ledger.rights, ledger.operators, ledger.role_proposals TO fed_operator;
GRANT EXECUTE ON FUNCTION ledger.role_rules(), ledger.operator_here(boolean),
    ledger.alone_from(timestamptz),
    ledger.role_propose(uuid, text, text, text, text, text, interval, bytea),
    ledger.role_decide(bigint, text, text, bytea) TO fed_operator;
