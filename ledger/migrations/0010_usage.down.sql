-- Rows whose key is not there keep the constraint from coming back: nothing is taken back then.
DROP FUNCTION ledger.ship_requests(bytea[]);

CREATE OR REPLACE FUNCTION ledger.requests_only_complete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.completed_at IS NOT NULL THEN
        RAISE EXCEPTION 'request % is complete, and stays so', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.completed_at IS NULL
        OR (NEW.id, NEW.key_id, NEW.node, NEW.model, NEW.stream, NEW.started_at, NEW.recorded_by)
        IS DISTINCT FROM
           (OLD.id, OLD.key_id, OLD.node, OLD.model, OLD.stream, OLD.started_at, OLD.recorded_by)
    THEN
        RAISE EXCEPTION 'request % can only be completed, not changed', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

ALTER TABLE ledger.requests
    DROP COLUMN tenant, DROP COLUMN route, DROP COLUMN upstream, DROP COLUMN trace_id,
    ADD CONSTRAINT requests_key_id_fkey FOREIGN KEY (key_id) REFERENCES ledger.api_keys (id);
DROP INDEX IF EXISTS ledger.requests_key;

-- True when the row is new, false when exactly this one was there already.
CREATE FUNCTION ledger.open_request(
    request_id uuid, request_key text, request_node text, request_model text,
    request_stream boolean, request_started_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.requests (id, key_id, node, model, stream, started_at)
    VALUES (request_id, request_key, request_node, request_model, request_stream,
            request_started_at)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM ledger.requests AS r
    WHERE r.id = request_id
      AND (r.key_id, r.node, r.model, r.stream, r.started_at)
        = (request_key, request_node, request_model, request_stream, request_started_at);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % was opened before with other content', request_id
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN false;
END
$$;

-- True when the row was open, false when it was completed before in exactly this way.
CREATE FUNCTION ledger.complete_request(
    request_id uuid, request_outcome text, request_completed_at timestamptz,
    request_status smallint, request_prompt_tokens integer, request_completion_tokens integer,
    request_first_byte_ms integer, request_duration_ms integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present ledger.requests;
BEGIN
    UPDATE ledger.requests AS r
    SET outcome = request_outcome, completed_at = request_completed_at, status = request_status,
        prompt_tokens = request_prompt_tokens, completion_tokens = request_completion_tokens,
        first_byte_ms = request_first_byte_ms, duration_ms = request_duration_ms
    WHERE r.id = request_id AND r.completed_at IS NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT * INTO present FROM ledger.requests AS r WHERE r.id = request_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % was never opened', request_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF (present.outcome, present.completed_at, present.status, present.prompt_tokens,
        present.completion_tokens, present.first_byte_ms, present.duration_ms)
        IS DISTINCT FROM
       (request_outcome, request_completed_at, request_status, request_prompt_tokens,
        request_completion_tokens, request_first_byte_ms, request_duration_ms)
    THEN
        RAISE EXCEPTION 'request % was completed before in another way', request_id
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN false;
END
$$;

REVOKE ALL ON FUNCTION ledger.open_request(uuid, text, text, text, boolean, timestamptz),
    ledger.complete_request(uuid, text, timestamptz, smallint, integer, integer, integer, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.open_request(uuid, text, text, text, boolean, timestamptz),
    ledger.complete_request(uuid, text, timestamptz, smallint, integer, integer, integer, integer)
    TO fed_gateway;
