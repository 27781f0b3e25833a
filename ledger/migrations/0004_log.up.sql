-- The event log: an inbox that writers fill, and the log that the sequencer moves its rows to, with
-- gap-free numbers and an RFC 6962 Merkle tree over the events' exact bytes.
-- Nobody has a right to change any of it: appending, sequencing and signing are functions.

-- Where writers' events wait. `arrival` orders them: it is drawn after the transaction has its id,
-- so an event whose append had returned before another's began is numbered before it.
CREATE TABLE ledger.inbox (
    arrival bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    node text NOT NULL,
    actor text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    trace_id text,
    body bytea NOT NULL CHECK (octet_length(body) <= 262144),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    received_from text NOT NULL DEFAULT session_user
) WITH (
    -- Rows come and go by the thousand a second: reclaim early, at full speed, without truncating.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 1000000000,
    vacuum_truncate = false
);

-- The log. Its partitions are months of the time inside the version 7 id, so that the primary key
-- is one over all of them; an id whose month has no partition goes to log_other.
CREATE TABLE ledger.log (
    seq bigint NOT NULL,
    id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    node text NOT NULL,
    actor text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    trace_id text,
    body bytea NOT NULL,
    leaf_hash bytea NOT NULL,
    received_at timestamptz NOT NULL,
    received_from text NOT NULL,
    sequenced_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);

CREATE INDEX log_kind ON ledger.log (kind, seq);

COMMENT ON COLUMN ledger.log.seq IS 'Place in the log, from 0, without a gap: the leaf''s index in the tree.';
COMMENT ON COLUMN ledger.log.body IS 'The event as RFC 8785 canonical JSON, byte for byte.';
COMMENT ON COLUMN ledger.log.leaf_hash IS 'RFC 6962 leaf hash: SHA-256 of 0x00 and the body.';

-- Events that could not be numbered because the log has another one of their id. The append function
-- refuses those, so a row here means that somebody wrote past it; it is kept and raises an alarm.
CREATE TABLE ledger.conflicts (
    arrival bigint PRIMARY KEY,
    id uuid NOT NULL,
    body bytea NOT NULL,
    leaf_hash bytea NOT NULL,
    received_at timestamptz NOT NULL,
    received_from text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- C2SP tlog-tiles of height 8: up to 256 hashes; the rightmost of each level grows until it is full.
CREATE TABLE ledger.tiles (
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    index bigint NOT NULL CHECK (index >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192
                                 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, index)
) WITH (autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_cost_delay = 0);
ALTER TABLE ledger.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Signed tree heads, as C2SP tlog-checkpoint notes, and what witnesses added to them.
CREATE TABLE ledger.checkpoints (
    size bigint PRIMARY KEY CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL CHECK (octet_length(note) BETWEEN 1 AND 65536),
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE ledger.cosignatures (
    size bigint NOT NULL REFERENCES ledger.checkpoints (size),
    witness text NOT NULL CHECK (length(witness) BETWEEN 1 AND 255),
    line text NOT NULL CHECK (octet_length(line) BETWEEN 1 AND 8192),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness)
);
CREATE INDEX cosignatures_witness ON ledger.cosignatures (witness, size);

-- Where the log ends: one row, locked by whoever sequences. `size` rows are numbered, `tree_size`
-- of them are in the tree; a transaction in which the two part cannot commit.
-- Every row with an arrival below `inbox_floor` has left the inbox. The floor follows the last
-- arrival taken once every transaction that could still bring a lower one (those below `floor_xid`)
-- has ended, so that a scan need not walk over what was deleted.
CREATE TABLE ledger.log_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL,
    tree_size bigint NOT NULL,
    frontier bytea NOT NULL CHECK (octet_length(frontier) % 32 = 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    inbox_floor bigint NOT NULL DEFAULT 0,
    floor_next bigint NOT NULL DEFAULT 0,
    floor_xid xid8 NOT NULL DEFAULT '0'
) WITH (fillfactor = 10);
INSERT INTO ledger.log_state (size, tree_size, frontier, root) VALUES (0, 0, '', sha256(''));

-- Triggers: what not even the owner's functions may do.

CREATE FUNCTION ledger.inbox_only_to_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM gone AS g
    WHERE NOT EXISTS (SELECT FROM ledger.log AS l WHERE l.id = g.id AND l.leaf_hash = g.leaf_hash)
      AND NOT EXISTS (SELECT FROM ledger.conflicts AS c
                      WHERE c.arrival = g.arrival AND c.leaf_hash = g.leaf_hash);
    IF FOUND THEN
        RAISE EXCEPTION 'DELETE on ledger.inbox is refused: its events are not in the log'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION ledger.tiles_only_grow() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.level, NEW.index) IS DISTINCT FROM (OLD.level, OLD.index)
        OR substr(NEW.hashes, 1, octet_length(OLD.hashes)) <> OLD.hashes
    THEN
        RAISE EXCEPTION 'UPDATE on ledger.tiles is refused: tile %/% only grows',
            OLD.level, OLD.index USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ledger.log_state_only_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.size < OLD.size OR NEW.tree_size < OLD.tree_size
        OR (NEW.tree_size = OLD.tree_size
            AND (NEW.frontier, NEW.root) IS DISTINCT FROM (OLD.frontier, OLD.root))
    THEN
        RAISE EXCEPTION 'UPDATE on ledger.log_state is refused: the log only grows'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ledger.log_state_sealed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.log_state AS s WHERE s.size <> s.tree_size;
    IF FOUND THEN
        RAISE EXCEPTION 'events were numbered and not put into the tree'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER no_change BEFORE UPDATE OR TRUNCATE ON ledger.inbox
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER only_to_log AFTER DELETE ON ledger.inbox REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.inbox_only_to_log();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.log
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.conflicts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER only_grow BEFORE UPDATE ON ledger.tiles
    FOR EACH ROW EXECUTE FUNCTION ledger.tiles_only_grow();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.tiles
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER only_grows BEFORE UPDATE ON ledger.log_state
    FOR EACH ROW EXECUTE FUNCTION ledger.log_state_only_grows();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger.log_state
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE CONSTRAINT TRIGGER sealed AFTER UPDATE ON ledger.log_state DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.size <> NEW.size) EXECUTE FUNCTION ledger.log_state_sealed();

-- Partitions.

-- The smallest version 7 id of a moment.
CREATE FUNCTION ledger.first_id(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;

-- A table of the log needs what partitioning does not hand down: unique numbers and its guard.
CREATE FUNCTION ledger.guard_partition(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE UNIQUE INDEX %I ON ledger.%I (seq)', partition || '_seq', partition);
    EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse()', partition);
    EXECUTE format('GRANT SELECT ON ledger.%I TO fed_operator, fed_sequencer', partition);
END
$$;

-- Make the partitions of `first`'s month and of those up to `months` after now; returns those made.
-- A month of which log_other holds events already stays there.
CREATE FUNCTION ledger.make_partitions(first timestamptz, months integer) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s' SET timezone = 'UTC' AS $$
DECLARE
    made text[] := '{}';
    month timestamptz := date_trunc('month', first);
    wanted text;
BEGIN
    IF months NOT BETWEEN 0 AND 120 OR first < now() - interval '50 years' THEN
        RAISE EXCEPTION 'no more than 120 months ahead and 50 years back'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE month <= now() + make_interval(months => months) LOOP
        wanted := 'log_' || to_char(month, 'YYYY_MM');
        IF to_regclass('ledger.' || wanted) IS NULL AND NOT EXISTS (
            SELECT FROM ledger.log_other AS o
            WHERE o.id >= ledger.first_id(month)
              AND o.id < ledger.first_id(month + interval '1 month'))
        THEN
            EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.log '
                           'FOR VALUES FROM (%L) TO (%L)', wanted, ledger.first_id(month),
                           ledger.first_id(month + interval '1 month'));
            PERFORM ledger.guard_partition(wanted);
            made := made || wanted;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END
$$;

CREATE TABLE ledger.log_other PARTITION OF ledger.log DEFAULT;
SELECT ledger.guard_partition('log_other');

-- Appending.

-- Store events, given as their canonical bytes; returns how many are new. An event that is there
-- already, byte for byte, is left as it is; another one of its id refuses the whole call.
-- When it has returned, everything given is durable, the events that were there before included:
-- their first writer may have gone before its commit had reached the standbys.
CREATE FUNCTION ledger.append_events(bodies bytea[]) RETURNS integer
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

-- Sequencing: one transaction calls sequence_batch, hashes, and calls seal_batch.

-- Number up to `most` waiting events, in order of arrival; their leaf hashes, in order, come back.
-- Only for the caller who knows how large the log is: of two, one waits and is then refused.
CREATE FUNCTION ledger.sequence_batch(
    expected_size bigint, most integer,
    OUT leaves bytea, OUT dropped integer, OUT conflicting integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state ledger.log_state;
    numbered integer;
    highest bigint;
    here pg_snapshot;
BEGIN
    SELECT * INTO STRICT state FROM ledger.log_state FOR UPDATE;
    IF state.size <> expected_size THEN
        RAISE EXCEPTION 'the log has % events, not %: another sequencer is at work',
            state.size, expected_size USING ERRCODE = 'serialization_failure';
    END IF;
    dropped := 0;
    conflicting := 0;
    BEGIN
        WITH taken AS (
            DELETE FROM ledger.inbox AS i WHERE i.ctid = ANY (ARRAY(
                SELECT w.ctid FROM ledger.inbox AS w
                WHERE w.arrival >= state.inbox_floor ORDER BY w.arrival LIMIT most))
            RETURNING i.*
        ), moved AS (
            INSERT INTO ledger.log (seq, id, time, node, actor, kind, subject, trace_id, body,
                                    leaf_hash, received_at, received_from)
            SELECT state.size - 1 + row_number() OVER (ORDER BY t.arrival), t.id, t.time, t.node,
                   t.actor, t.kind, t.subject, t.trace_id, t.body, t.leaf_hash, t.received_at,
                   t.received_from
            FROM taken AS t ORDER BY t.arrival
            RETURNING seq, leaf_hash
        )
        SELECT string_agg(m.leaf_hash, '' ORDER BY m.seq), count(*),
               (SELECT max(t.arrival) FROM taken AS t), pg_current_snapshot()
        INTO leaves, numbered, highest, here FROM moved AS m;
    EXCEPTION WHEN unique_violation THEN
        SELECT s.dropped, s.conflicting INTO dropped, conflicting
        FROM ledger.set_aside_repeated(state.inbox_floor, most) AS s;
        RETURN;
    END;
    UPDATE ledger.log_state AS s SET size = state.size + numbered,
        inbox_floor = CASE WHEN may.rise THEN state.floor_next ELSE state.inbox_floor END,
        floor_next = CASE WHEN may.rise THEN greatest(state.floor_next, highest + 1)
                     ELSE state.floor_next END,
        floor_xid = CASE WHEN may.rise THEN pg_snapshot_xmax(here) ELSE state.floor_xid END
    FROM (SELECT state.floor_xid <= pg_snapshot_xmin(here)
                 AND (numbered < most OR highest >= state.floor_next)) AS may (rise)
    WHERE numbered > 0;
END
$$;

-- The rare way: somebody put rows into the inbox past the append function. Those that the log has
-- already are dropped, those that contradict it are kept aside; the rest stays for the next call.
CREATE FUNCTION ledger.set_aside_repeated(
    from_arrival bigint, most integer, OUT dropped integer, OUT conflicting integer
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH waiting AS (
        SELECT w.* FROM ledger.inbox AS w WHERE w.arrival >= from_arrival ORDER BY w.arrival LIMIT most
    )
    INSERT INTO ledger.conflicts (arrival, id, body, leaf_hash, received_at, received_from)
    SELECT w.arrival, w.id, w.body, w.leaf_hash, w.received_at, w.received_from
    FROM waiting AS w JOIN ledger.log AS l ON l.id = w.id
    WHERE l.body <> w.body OR l.leaf_hash <> w.leaf_hash;
    GET DIAGNOSTICS conflicting = ROW_COUNT;
    WITH waiting AS (
        SELECT w.* FROM ledger.inbox AS w WHERE w.arrival >= from_arrival ORDER BY w.arrival LIMIT most
    )
    DELETE FROM ledger.inbox AS i USING waiting AS w, ledger.log AS l
    WHERE i.arrival = w.arrival AND l.id = w.id;
    GET DIAGNOSTICS dropped = ROW_COUNT;
    dropped := dropped - conflicting;
END
$$;

-- Put what sequence_batch numbered into the tree; tiles come as three arrays of equal length.
CREATE FUNCTION ledger.seal_batch(
    new_size bigint, new_frontier bytea, new_root bytea,
    tile_levels smallint[], tile_indexes bigint[], tile_hashes bytea[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ledger.log_state AS s
    SET tree_size = new_size, frontier = new_frontier, root = new_root
    WHERE s.size = new_size AND s.tree_size < new_size;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no batch was numbered up to %', new_size
            USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger.tiles AS present (level, index, hashes)
    SELECT t.level, t.index, t.hashes
    FROM unnest(tile_levels, tile_indexes, tile_hashes) AS t (level, index, hashes)
    ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes;
END
$$;

-- Publish a signed tree head: only of the tree as it is, and never a second one of its size.
CREATE FUNCTION ledger.add_checkpoint(new_size bigint, new_root bytea, new_note text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.log_state AS s WHERE s.tree_size = new_size AND s.root = new_root FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log has another size or root than this checkpoint'
            USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO ledger.checkpoints (size, root, note) VALUES (new_size, new_root, new_note)
    ON CONFLICT (size) DO NOTHING;
    RETURN FOUND;
END
$$;

CREATE FUNCTION ledger.add_cosignature(of_size bigint, by_witness text, new_line text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.cosignatures (size, witness, line) VALUES (of_size, by_witness, new_line)
    ON CONFLICT (size, witness) DO NOTHING;
    RETURN FOUND;
END
$$;

-- Who may what.

REVOKE ALL ON FUNCTION ledger.inbox_only_to_log(), ledger.tiles_only_grow(),
    ledger.log_state_only_grows(), ledger.log_state_sealed(), ledger.first_id(timestamptz),
    ledger.guard_partition(text), ledger.make_partitions(timestamptz, integer),
    ledger.append_events(bytea[]), ledger.event_id(jsonb),
    ledger.sequence_batch(bigint, integer), ledger.set_aside_repeated(bigint, integer),
    ledger.seal_batch(bigint, bytea, bytea, smallint[], bigint[], bytea[]),
    ledger.add_checkpoint(bigint, bytea, text), ledger.add_cosignature(bigint, text, text)
    FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO fed_sequencer;
GRANT EXECUTE ON FUNCTION ledger.append_events(bytea[])
    TO fed_gateway, fed_operator, fed_sequencer;
GRANT EXECUTE ON FUNCTION ledger.sequence_batch(bigint, integer),
    ledger.seal_batch(bigint, bytea, bytea, smallint[], bigint[], bytea[]),
    ledger.add_checkpoint(bigint, bytea, text), ledger.add_cosignature(bigint, text, text),
    ledger.make_partitions(timestamptz, integer), ledger.first_id(timestamptz)
    TO fed_sequencer;
GRANT SELECT ON ledger.inbox, ledger.log, ledger.conflicts, ledger.tiles, ledger.checkpoints,
    ledger.cosignatures, ledger.log_state
    TO fed_operator, fed_sequencer;

-- What was written before there was a log: into the inbox, in its order, to be sequenced.

SELECT ledger.make_partitions(
    greatest(least(now(), (SELECT min(time) FROM ledger.events)), now() - interval '24 months'), 3);

INSERT INTO ledger.inbox (id, time, node, actor, kind, subject, trace_id, body, leaf_hash,
                          received_at, received_from)
SELECT e.id, e.time, e.node, e.actor, e.kind, e.subject, e.trace_id, e.body,
       sha256('\x00'::bytea || e.body), e.recorded_at, e.recorded_by
FROM ledger.events AS e ORDER BY e.arrival;

DROP FUNCTION ledger.append_event(bytea);
DROP TABLE ledger.events;
