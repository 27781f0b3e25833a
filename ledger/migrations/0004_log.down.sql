-- Back to plain events: every event is kept, in the log's order; the tree and its signatures go.

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

INSERT INTO ledger.events (id, time, node, actor, kind, subject, data, trace_id, body, recorded_at,
                           recorded_by)
SELECT a.id, a.time, a.node, a.actor, a.kind, a.subject,
       convert_from(a.body, 'UTF8')::jsonb -> 'data', a.trace_id, a.body, a.received_at,
       a.received_from
FROM (SELECT 0 AS stage, seq AS place, id, time, node, actor, kind, subject, trace_id, body,
             received_at, received_from FROM ledger.log
      UNION ALL
      SELECT 1, arrival, id, time, node, actor, kind, subject, trace_id, body,
             received_at, received_from FROM ledger.inbox) AS a
ORDER BY a.stage, a.place;

DROP FUNCTION ledger.add_cosignature(bigint, text, text);
DROP FUNCTION ledger.add_checkpoint(bigint, bytea, text);
DROP FUNCTION ledger.seal_batch(bigint, bytea, bytea, smallint[], bigint[], bytea[]);
DROP FUNCTION ledger.sequence_batch(bigint, integer);
DROP FUNCTION ledger.set_aside_repeated(bigint, integer);
DROP FUNCTION ledger.append_events(bytea[]);
DROP FUNCTION ledger.event_id(jsonb);
DROP FUNCTION ledger.make_partitions(timestamptz, integer);
DROP FUNCTION ledger.guard_partition(text);
DROP FUNCTION ledger.first_id(timestamptz);
DROP TABLE ledger.log_state;
DROP TABLE ledger.cosignatures;
DROP TABLE ledger.checkpoints;
DROP TABLE ledger.tiles;
DROP TABLE ledger.conflicts;
DROP TABLE ledger.log;
DROP TABLE ledger.inbox;
DROP FUNCTION ledger.log_state_sealed();
DROP FUNCTION ledger.log_state_only_grows();
DROP FUNCTION ledger.tiles_only_grow();
DROP FUNCTION ledger.inbox_only_to_log();
REVOKE USAGE ON SCHEMA ledger FROM fed_sequencer;
