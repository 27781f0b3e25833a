-- Events: everything an operator's runs changed, append-only, each kept as its exact bytes.
-- The columns are read out of the bytes by the server, so the two cannot disagree.

CREATE TABLE ledger.events (
    arrival bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    node text NOT NULL,
    actor text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    data jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    trace_id text,
    body bytea NOT NULL CHECK (octet_length(body) <= 262144),
    sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL DEFAULT session_user
);

CREATE INDEX events_kind ON ledger.events (kind, arrival);

COMMENT ON COLUMN ledger.events.arrival IS 'Order of arrival; it may have gaps.';
COMMENT ON COLUMN ledger.events.body IS 'The event as RFC 8785 canonical JSON, byte for byte.';

CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

-- True when the event is new, false when the very same bytes were there already.
CREATE FUNCTION ledger.append_event(event_body bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event jsonb := convert_from(event_body, 'UTF8')::jsonb;
BEGIN
    INSERT INTO ledger.events (id, time, node, actor, kind, subject, data, trace_id, body)
    VALUES ((event ->> 'id')::uuid, (event ->> 'time')::timestamptz, event ->> 'node',
            event ->> 'actor', event ->> 'kind', event ->> 'subject', event -> 'data',
            event ->> 'trace_id', event_body)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM ledger.events AS e
    WHERE e.id = (event ->> 'id')::uuid AND e.body = event_body;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event % was appended before with other content', event ->> 'id'
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN false;
END
$$;

REVOKE ALL ON FUNCTION ledger.append_event(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.append_event(bytea) TO fed_operator;
GRANT SELECT ON ledger.events TO fed_operator;
