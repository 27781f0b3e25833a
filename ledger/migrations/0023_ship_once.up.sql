-- Shipping the audit read each event's JSON a dozen times, compared every end with every beginning of
-- its call, and wrote the row of a request twice when both came together, as they mostly do: once
-- each now.

-- Append events of the audit (any kind) and keep the rows of those that begin or end a request; how
-- many events are new. Repeated, it changes nothing: append_events vouches for the bytes, and a row
-- follows from them. Events and rows are both taken in the order of their ids (which is the order of
-- time), so that two callers never wait for each other in a circle.
CREATE OR REPLACE FUNCTION ledger.ship_requests(bodies bytea[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events jsonb[] := ARRAY(
        SELECT convert_from(b, 'UTF8')::jsonb
        FROM unnest(bodies) WITH ORDINALITY AS g (b, place) ORDER BY place);
    fresh integer := ledger.append_events(ARRAY(
        SELECT b FROM unnest(bodies, events) AS g (b, e) ORDER BY e ->> 'id'));
BEGIN
    PERFORM ledger.keep_requests(events);
    RETURN fresh;
END
$$;

-- The rows of requests that these events begin or end. What is planned once for few events is used
-- for many: so no join may compare all with all, and the table is never walked through. It has the
-- rights of whoever calls it, and nobody but the functions above may.
CREATE FUNCTION ledger.keep_requests(events jsonb[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off SET enable_seqscan = off AS $$
    WITH given AS MATERIALIZED (
        SELECT e, e -> 'data' AS data, e ->> 'kind' AS kind FROM unnest(events) AS e
    ), started AS MATERIALIZED (
        SELECT (e ->> 'id')::uuid AS id, (e ->> 'time')::timestamptz AS at, e ->> 'node' AS node,
               e ->> 'trace_id' AS trace_id, data
        FROM given WHERE kind = 'request.started'
    ), ended AS MATERIALIZED (
        SELECT (e ->> 'subject')::uuid AS request, (e ->> 'time')::timestamptz AS at,
               data ->> 'outcome' AS outcome, (data ->> 'status')::smallint AS status,
               (data ->> 'prompt_tokens')::integer AS prompt_tokens,
               (data ->> 'completion_tokens')::integer AS completion_tokens,
               (data ->> 'first_byte_ms')::integer AS first_byte_ms,
               (data ->> 'duration_ms')::integer AS duration_ms, data ->> 'upstream' AS upstream
        FROM given WHERE kind = 'request.finished'
    ), begun AS (
        INSERT INTO ledger.requests (
            id, key_id, tenant, node, model, route, stream, started_at, trace_id, completed_at,
            outcome, status, prompt_tokens, completion_tokens, first_byte_ms, duration_ms, upstream)
        SELECT s.id, s.data ->> 'key_id', s.data ->> 'tenant', s.node, s.data ->> 'model',
               s.data ->> 'route', (s.data -> 'stream')::boolean, s.at, s.trace_id, x.at, x.outcome,
               x.status, x.prompt_tokens, x.completion_tokens, x.first_byte_ms, x.duration_ms,
               x.upstream
        FROM started AS s LEFT JOIN ended AS x ON x.request = s.id
        ORDER BY s.id
        ON CONFLICT (id) DO NOTHING
    ), held AS MATERIALIZED (
        -- Of requests whose beginning came in an earlier call: this one's rows are not seen here.
        SELECT r.id FROM ledger.requests AS r
        WHERE r.id = ANY (ARRAY(SELECT request FROM ended)) AND r.completed_at IS NULL
        ORDER BY r.id FOR UPDATE
    )
    UPDATE ledger.requests AS r
    SET completed_at = x.at, outcome = x.outcome, status = x.status,
        prompt_tokens = x.prompt_tokens, completion_tokens = x.completion_tokens,
        first_byte_ms = x.first_byte_ms, duration_ms = x.duration_ms, upstream = x.upstream
    FROM ended AS x
    WHERE r.id = ANY (ARRAY(SELECT id FROM held)) AND x.request = r.id
$$;
REVOKE ALL ON FUNCTION ledger.keep_requests(jsonb[]) FROM PUBLIC;

-- A row that is whole from the beginning counts as one that was completed.
CREATE TRIGGER credit_keys_at_once AFTER INSERT ON ledger.requests REFERENCING NEW TABLE AS done
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.requests_credit_keys();
ALTER FUNCTION ledger.requests_credit_keys() SET enable_nestloop = on;
ALTER FUNCTION ledger.requests_credit_keys() SET enable_seqscan = on;
