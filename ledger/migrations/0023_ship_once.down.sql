ALTER FUNCTION ledger.requests_credit_keys() RESET enable_nestloop;
ALTER FUNCTION ledger.requests_credit_keys() RESET enable_seqscan;
DROP TRIGGER credit_keys_at_once ON ledger.requests;

-- Append events of the audit (any kind) and keep the rows of those that begin or end a request; how
-- many events are new. Repeated, it changes nothing: append_events vouches for the bytes, and a row
-- follows from them. Events and rows are both taken in the order of their ids (which is the order of
-- time), so that two callers never wait for each other in a circle.
CREATE OR REPLACE FUNCTION ledger.ship_requests(bodies bytea[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh integer := ledger.append_events(ARRAY(
        SELECT b FROM unnest(bodies) AS b ORDER BY convert_from(b, 'UTF8')::jsonb ->> 'id'));
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
DROP FUNCTION ledger.keep_requests(jsonb[]);
