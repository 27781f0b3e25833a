-- The function of the log's first version.

-- The id of an event as parsed, once all of it has been found to be of the right shape.
CREATE FUNCTION ledger.event_id(event jsonb) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id uuid := event ->> 'id';
BEGIN
    IF jsonb_typeof(event -> 'data') IS DISTINCT FROM 'object'
        OR get_byte(uuid_send(id), 6) >> 4 IS DISTINCT FROM 7
    THEN
        RAISE EXCEPTION 'an event has data, an object, and an id of version 7'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN id;
END
$$;

REVOKE ALL ON FUNCTION ledger.event_id(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ledger.append_events(bodies bytea[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh uuid[];
    smallest uuid;
    largest uuid;
    repeated uuid[];
    clash uuid;
BEGIN
    PERFORM pg_current_xact_id();  -- before any arrival is drawn: see log_state
    WITH given AS MATERIALIZED (
        SELECT g.place, g.body, convert_from(g.body, 'UTF8')::jsonb AS event
        FROM unnest(bodies) WITH ORDINALITY AS g (body, place)
    ), added AS (
        INSERT INTO ledger.inbox (id, time, node, actor, kind, subject, trace_id, body, leaf_hash)
        SELECT ledger.event_id(event), (event ->> 'time')::timestamptz, event ->> 'node',
               event ->> 'actor', event ->> 'kind', event ->> 'subject', event ->> 'trace_id',
               body, sha256('\x00'::bytea || body)
        FROM given ORDER BY place
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    SELECT array_agg(a.id) INTO fresh FROM added AS a;
    SELECT f INTO smallest FROM unnest(fresh) AS f ORDER BY f LIMIT 1;
    SELECT f INTO largest FROM unnest(fresh) AS f ORDER BY f DESC LIMIT 1;
    -- Whatever left the inbox before our rows went in is in the log by now, for all to see.
    SELECT array_agg(l.id) INTO repeated FROM ledger.log AS l
    WHERE l.id = ANY (fresh) AND l.id >= smallest AND l.id <= largest;
    IF repeated IS NULL AND cardinality(fresh) = cardinality(bodies) THEN
        RETURN cardinality(fresh);
    END IF;
    SELECT g.id INTO clash
    FROM (SELECT (convert_from(body, 'UTF8')::jsonb ->> 'id')::uuid, body FROM unnest(bodies) AS body)
        AS g (id, body)
    WHERE NOT EXISTS (SELECT FROM ledger.log AS l WHERE l.id = g.id AND l.body = g.body)
      AND (NOT EXISTS (SELECT FROM ledger.inbox AS i WHERE i.id = g.id AND i.body = g.body)
           OR EXISTS (SELECT FROM ledger.log AS l WHERE l.id = g.id))
    LIMIT 1;
    IF clash IS NOT NULL THEN
        RAISE EXCEPTION 'event % was appended before with other content', clash
            USING ERRCODE = 'unique_violation';
    END IF;
    DELETE FROM ledger.inbox AS i WHERE i.id = ANY (repeated);
    -- A commit that wrote nothing waits for nobody: write something.
    PERFORM pg_logical_emit_message(true, 'ledger', '');
    RETURN coalesce(cardinality(fresh), 0) - coalesce(cardinality(repeated), 0);
END
$$;
