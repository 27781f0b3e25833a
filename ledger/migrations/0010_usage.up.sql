-- The audit's rows come from events: gateways write both locally first, and a shipper brings them
-- here in batches. One call appends the events to the log and keeps the rows by which usage is
-- asked: both or neither.

-- A row is never lacking because a key is: keys restored from an older backup may be.
ALTER TABLE ledger.requests
    DROP CONSTRAINT requests_key_id_fkey,
    ADD COLUMN tenant text COLLATE "C" NOT NULL DEFAULT 'default'
        CHECK (length(tenant) BETWEEN 1 AND 63),
    ADD COLUMN route text NOT NULL DEFAULT 'chat_completions'
        CHECK (length(route) BETWEEN 1 AND 63),
    ADD COLUMN upstream text CHECK (length(upstream) BETWEEN 1 AND 63),
    ADD COLUMN trace_id text CHECK (trace_id ~ '^[0-9a-f]{32}$');

CREATE INDEX requests_tenant ON ledger.requests (tenant, started_at);
CREATE INDEX requests_key ON ledger.requests (key_id, started_at);

CREATE OR REPLACE FUNCTION ledger.requests_only_complete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.completed_at IS NOT NULL THEN
        RAISE EXCEPTION 'request % is complete, and stays so', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.completed_at IS NULL
        OR (NEW.id, NEW.key_id, NEW.node, NEW.model, NEW.stream, NEW.started_at, NEW.recorded_by,
            NEW.tenant, NEW.route, NEW.trace_id)
        IS DISTINCT FROM
           (OLD.id, OLD.key_id, OLD.node, OLD.model, OLD.stream, OLD.started_at, OLD.recorded_by,
            OLD.tenant, OLD.route, OLD.trace_id)
    THEN
        RAISE EXCEPTION 'request % can only be completed, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

DROP FUNCTION ledger.open_request(uuid, text, text, text, boolean, timestamptz);
DROP FUNCTION ledger.complete_request(
    uuid, text, timestamptz, smallint, integer, integer, integer, integer);

-- Append events of the audit (any kind) and keep the rows of those that begin or end a request; how
-- many events are new. Repeated, it changes nothing: append_events vouches for the bytes, and a row
-- follows from them. Rows are taken in the order of their ids, so that two callers never wait for
-- each other in a circle.
CREATE FUNCTION ledger.ship_requests(bodies bytea[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh integer := ledger.append_events(bodies);
BEGIN
    INSERT INTO ledger.requests (id, key_id, tenant, node, model, route, stream, started_at, trace_id)
    SELECT (e ->> 'id')::uuid, e -> 'data' ->> 'key_id', e -> 'data' ->> 'tenant', e ->> 'node',
           e -> 'data' ->> 'model', e -> 'data' ->> 'route', (e -> 'data' -> 'stream')::boolean,
           (e ->> 'time')::timestamptz, e ->> 'trace_id'
    FROM (SELECT convert_from(b, 'UTF8')::jsonb AS e FROM unnest(bodies) AS b) AS given
    WHERE e ->> 'kind' = 'request.started'
    ORDER BY 1
    ON CONFLICT (id) DO NOTHING;
    WITH ended AS MATERIALIZED (
        SELECT (e ->> 'subject')::uuid AS request, (e ->> 'time')::timestamptz AS at,
               e -> 'data' AS data
        FROM (SELECT convert_from(b, 'UTF8')::jsonb AS e FROM unnest(bodies) AS b) AS given
        WHERE e ->> 'kind' = 'request.finished'
    ), held AS MATERIALIZED (
        SELECT r.id FROM ledger.requests AS r
        WHERE r.id IN (SELECT request FROM ended) AND r.completed_at IS NULL
        ORDER BY r.id FOR UPDATE
    )
    UPDATE ledger.requests AS r
    SET completed_at = x.at, outcome = x.data ->> 'outcome',
        status = (x.data ->> 'status')::smallint,
        prompt_tokens = (x.data ->> 'prompt_tokens')::integer,
        completion_tokens = (x.data ->> 'completion_tokens')::integer,
        first_byte_ms = (x.data ->> 'first_byte_ms')::integer,
        duration_ms = (x.data ->> 'duration_ms')::integer,
        upstream = x.data ->> 'upstream'
    FROM ended AS x, held AS h
    WHERE r.id = h.id AND x.request = h.id;
    RETURN fresh;
END
$$;

REVOKE ALL ON FUNCTION ledger.ship_requests(bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.ship_requests(bytea[]) TO fed_gateway;
