-- How much keys usually do in an hour, and what is far outside of that: counted from the audit's
-- records, in the transaction that keeps them, so that the work of all gateways counts together and
-- no restart forgets it. trust/volume.py has the rules; a test compares the two.

-- One row a family (keys that replaced each other: rotation makes no history young). counts[1] are
-- the requests in `newest_hour` since 1970, counts[24] those 23 hours before; of the hours of work
-- before those there are how many were learned (at most 64), their mean and their variance.
CREATE TABLE ledger.key_volumes (
    family text COLLATE "C" PRIMARY KEY REFERENCES ledger.api_keys (id),
    newest_hour integer NOT NULL CHECK (newest_hour >= 0),
    counts bigint[] NOT NULL DEFAULT array_fill(0::bigint, ARRAY[24])
        CHECK (cardinality(counts) = 24),
    hours integer NOT NULL DEFAULT 0 CHECK (hours BETWEEN 0 AND 64),
    mean double precision NOT NULL DEFAULT 0 CHECK (mean >= 0),
    variance double precision NOT NULL DEFAULT 0 CHECK (variance >= 0)
) WITH (fillfactor = 70);

-- The most requests in an hour that are not far outside; null: too young for anything to be.
CREATE FUNCTION ledger.volume_most_usual(hours integer, mean double precision,
                                         variance double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN hours >= 24 THEN greatest(600, 4 * mean + 6 * sqrt(variance)) END
$$;

-- A history with so many more requests in an hour. Hours that leave the last 24 are learned, the
-- oldest first; what was dated ahead of the clock is brought back to it.
CREATE FUNCTION ledger.volume_counting(
    INOUT newest_hour integer, INOUT counts bigint[], INOUT hours integer,
    INOUT mean double precision, INOUT variance double precision,
    at_hour integer, requests bigint, this_hour integer
)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ahead integer;
    place integer;
    share double precision;
    apart double precision;
BEGIN
    IF at_hour < 0 OR at_hour > this_hour + 2 THEN
        RETURN;
    END IF;
    IF newest_hour > this_hour + 2 THEN
        newest_hour := this_hour;
    END IF;
    ahead := least(at_hour - newest_hour, 24);
    IF ahead > 0 THEN
        FOR place IN REVERSE 24 .. 25 - ahead LOOP
            CONTINUE WHEN counts[place] = 0;
            apart := counts[place] - mean;
            IF counts[place] > ledger.volume_most_usual(hours, mean, variance) THEN
                -- What is far outside teaches little.
                apart := mean + sqrt(variance);
            END IF;
            hours := least(hours + 1, 64);
            share := 1.0::double precision / hours;
            mean := mean + share * apart;
            variance := (1 - share) * (variance + share * apart * apart);
        END LOOP;
        counts := array_fill(0::bigint, ARRAY[ahead]) || counts[1:24 - ahead];
        newest_hour := at_hour;
    END IF;
    place := newest_hour - at_hour + 1;
    IF place <= 24 THEN
        counts[place] := counts[place] + requests;
    END IF;
END
$$;

-- Count requests of keys by the hour they began in; which of these keys have just gone far beyond
-- what is usual for their family in one. Families are taken in one order, so that two callers never
-- wait for each other in a circle.
CREATE FUNCTION ledger.count_requests(keys text[], at_hours integer[], requests bigint[])
RETURNS TABLE (key_id text, hour integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_hour integer := floor(extract(epoch FROM clock_timestamp()) / 3600);
    given record;
    now_known ledger.key_volumes;
BEGIN
    FOR given IN
        SELECT s.family, g.hour, sum(g.number)::bigint AS number, array_agg(g.key) AS keys
        FROM unnest(keys, at_hours, requests) AS g (key, hour, number)
        JOIN ledger.key_strength AS s ON s.key_id = g.key
        WHERE g.hour BETWEEN 0 AND this_hour + 2
        GROUP BY s.family, g.hour ORDER BY s.family, g.hour
    LOOP
        INSERT INTO ledger.key_volumes AS v (family, newest_hour, counts)
        VALUES (given.family, given.hour, given.number || array_fill(0::bigint, ARRAY[23]))
        ON CONFLICT (family) DO UPDATE
        SET (newest_hour, counts, hours, mean, variance) = (
            SELECT * FROM ledger.volume_counting(v.newest_hour, v.counts, v.hours, v.mean,
                v.variance, given.hour, given.number, this_hour))
        RETURNING v.* INTO now_known;
        IF now_known.newest_hour - given.hour < 24
            AND now_known.counts[now_known.newest_hour - given.hour + 1]
                > ledger.volume_most_usual(now_known.hours, now_known.mean, now_known.variance)
        THEN
            RETURN QUERY SELECT k, given.hour FROM unnest(given.keys) AS k;
        END IF;
    END LOOP;
END
$$;

-- As before, and: every request that an engine worked for counts, also when the client did not wait
-- for the end of it. What is far beyond the usual is misuse, once a day.
CREATE OR REPLACE FUNCTION ledger.requests_credit_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.note_key_uses(array_agg(u.key_id), array_agg(u.what), array_agg(u.hour))
    FROM (
        SELECT c.key_id, 'misuse:VOLUME', c.hour - c.hour % 24
        FROM (SELECT array_agg(r.key_id) AS keys, array_agg(r.hour) AS hours,
                     array_agg(r.number) AS numbers
              FROM (SELECT d.key_id, floor(extract(epoch FROM d.started_at) / 3600)::integer AS hour,
                           count(*) AS number
                    FROM done AS d WHERE d.outcome IN ('answered', 'client_gone')
                    GROUP BY 1, 2) AS r) AS g,
             LATERAL ledger.count_requests(g.keys, g.hours, g.numbers) AS c
        WHERE g.keys IS NOT NULL
        UNION ALL
        SELECT DISTINCT r.key_id,
               'scope:' || CASE r.route WHEN 'tokenize' THEN 'tokenize' ELSE 'inference' END,
               floor(extract(epoch FROM r.started_at) / 3600)::integer
        FROM done AS r WHERE r.outcome = 'answered'
    ) AS u (key_id, what, hour)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE INDEX key_traces_misuse ON ledger.key_traces (what, newest_hour)
    WHERE starts_with(what, 'misuse:');

REVOKE ALL ON FUNCTION
    ledger.volume_most_usual(integer, double precision, double precision),
    ledger.volume_counting(integer, bigint[], integer, double precision, double precision, integer,
                           bigint, integer),
    ledger.count_requests(text[], integer[], bigint[]) FROM PUBLIC;
GRANT SELECT ON ledger.key_volumes TO fed_gateway, fed_operator, fed_keys;
