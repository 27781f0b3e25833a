-- Which share of each limit each gateway process holds. One rule keeps limits exact: for a subject,
-- a meter and a period, the shares that count never add up to more than the limit, and no process
-- ever uses more than its share. docs/explanation/limits.md argues why that is enough.
--
-- Meters: requests_minute, tokens_minute (any 60 seconds), concurrent (now),
-- tokens_day, tokens_month (calendar, UTC; `period` is 2026-11-21 or 2026-11, else empty).

-- A gateway process, and until when it may use what it holds: seen_at + lease. One row is renewed
-- a second for all of its shares.
CREATE TABLE ledger.quota_holders (
    holder text COLLATE "C" PRIMARY KEY CHECK (length(holder) BETWEEN 1 AND 200),
    place text COLLATE "C" NOT NULL CHECK (length(place) BETWEEN 1 AND 100),
    seen_at timestamptz NOT NULL,
    lease interval NOT NULL CHECK (lease BETWEEN '0' AND '1 day'),
    request interval NOT NULL CHECK (request BETWEEN '0' AND '1 day')
);
COMMENT ON COLUMN ledger.quota_holders.place IS 'One process at a time runs here: node and worker.';
COMMENT ON COLUMN ledger.quota_holders.request IS 'The longest a request of this holder may run.';

-- One row a subject, meter and period: locked by whoever deals out shares of it.
CREATE TABLE ledger.quota_meters (
    subject text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL CHECK (length(period) <= 10),
    used bigint NOT NULL DEFAULT 0,
    short_at timestamptz,
    PRIMARY KEY (subject, meter, period)
);
COMMENT ON COLUMN ledger.quota_meters.used IS 'Calendar meters: what holders that ended in order used.';
COMMENT ON COLUMN ledger.quota_meters.short_at IS 'When somebody last asked for more than was there.';

CREATE TABLE ledger.quota_shares (
    subject text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    share bigint NOT NULL CHECK (share >= 0),
    used bigint NOT NULL CHECK (used >= 0),
    busy_until timestamptz NOT NULL,
    PRIMARY KEY (subject, meter, period, holder)
);
CREATE INDEX quota_shares_holder ON ledger.quota_shares (holder);
COMMENT ON COLUMN ledger.quota_shares.used IS 'How much of it was used, as its holder last said.';

CREATE FUNCTION ledger.limit_of(of_subject text, of_meter text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE of_meter
        WHEN 'requests_minute' THEN requests_per_minute
        WHEN 'tokens_minute' THEN tokens_per_minute
        WHEN 'concurrent' THEN concurrent_requests
        WHEN 'tokens_day' THEN tokens_per_day
        WHEN 'tokens_month' THEN tokens_per_month
    END
    FROM ledger.limits WHERE subject = of_subject
$$;

-- Until when a share counts after its holder was last seen: the lease, and then as long as what was
-- admitted in it counts. A calendar's share counts until its period is over.
CREATE FUNCTION ledger.share_counts_until(
    of_meter text, seen_at timestamptz, lease interval, request interval
) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN of_meter IN ('tokens_day', 'tokens_month') THEN 'infinity'
        WHEN of_meter = 'concurrent' THEN seen_at + lease + request
        ELSE seen_at + lease + interval '61 seconds'
    END
$$;

-- A holder's sign of life. True when its lease had run out (or it is new): what it held may belong
-- to others by now, and it must ask for every share again before using it.
CREATE FUNCTION ledger.keep_shares(
    holder_id text, holder_place text, holder_lease interval, holder_request interval
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at timestamptz := clock_timestamp();
    lapsed boolean;
BEGIN
    SELECT h.seen_at + h.lease <= at INTO lapsed
    FROM ledger.quota_holders AS h WHERE h.holder = holder_id FOR UPDATE;
    INSERT INTO ledger.quota_holders (holder, place, seen_at, lease, request)
    VALUES (holder_id, holder_place, at, holder_lease, holder_request)
    ON CONFLICT (holder) DO UPDATE
    SET seen_at = excluded.seen_at, lease = excluded.lease, request = excluded.request;
    -- Whoever ran here before and has been silent is dead, and its connections with it.
    DELETE FROM ledger.quota_shares AS s USING ledger.quota_holders AS h
    WHERE h.place = holder_place AND h.holder <> holder_id AND h.seen_at < at - interval '5 seconds'
      AND s.holder = h.holder AND s.meter = 'concurrent';
    RETURN coalesce(lapsed, true);
END
$$;

-- Deal out shares. `asks` is a list of {subject, meter, period, used, keep, need, want, busy_ms,
-- done}:
-- used: what of the window is used up; keep: what the holder may still use while this is asked (the
-- share never gets smaller than either, so a holder is never dealt less than it works with);
-- need: the smallest share that would help; want: the largest that would be welcome;
-- done: the holder forgets this meter; what it used is kept for it.
-- Rows are locked in one order, so that two gateways never wait for each other.
CREATE FUNCTION ledger.deal_shares(holder_id text, asks jsonb)
RETURNS TABLE (subject text, meter text, period text, limited_to bigint, share bigint,
               others_share bigint, others_used bigint, others_busy_ms bigint, short boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    ask record;
    at timestamptz;
    base bigint;
    short_at timestamptz;
    free bigint;
    busy timestamptz;
BEGIN
    PERFORM FROM ledger.quota_holders AS h
    WHERE h.holder = holder_id AND h.seen_at + h.lease > clock_timestamp();
    IF NOT FOUND THEN
        -- Others no longer count its shares: it may not be dealt any before it shows itself.
        RAISE EXCEPTION 'the lease of % has run out', holder_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    FOR ask IN
        SELECT * FROM jsonb_to_recordset(asks) AS a (
            subject text, meter text, period text, used bigint, keep bigint, need bigint,
            want bigint, busy_ms bigint, done boolean)
        ORDER BY a.subject COLLATE "C", a.meter COLLATE "C", a.period COLLATE "C"
    LOOP
        subject := ask.subject; meter := ask.meter; period := ask.period;
        others_share := 0; others_used := 0; others_busy_ms := 0; short := false;
        limited_to := ledger.limit_of(subject, meter);
        IF limited_to IS NULL THEN
            DELETE FROM ledger.quota_shares AS s
            WHERE (s.subject, s.meter, s.period, s.holder) = (subject, meter, period, holder_id);
            share := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        LOOP
            INSERT INTO ledger.quota_meters AS m (subject, meter, period)
            VALUES (subject, meter, period) ON CONFLICT DO NOTHING;
            SELECT m.used, m.short_at INTO base, short_at FROM ledger.quota_meters AS m
            WHERE (m.subject, m.meter, m.period) = (subject, meter, period) FOR UPDATE;
            -- Swept away between the two: without the lock nothing may be dealt.
            EXIT WHEN FOUND;
        END LOOP;
        -- Read again under the lock: the limit may have been changed while we waited.
        limited_to := coalesce(ledger.limit_of(subject, meter), 0);
        at := clock_timestamp();
        SELECT coalesce(sum(s.share), 0), coalesce(sum(s.used), 0), max(s.busy_until)
        INTO others_share, others_used, busy
        FROM ledger.quota_shares AS s JOIN ledger.quota_holders AS h ON h.holder = s.holder
        WHERE (s.subject, s.meter, s.period) = (subject, meter, period) AND s.holder <> holder_id
          AND ledger.share_counts_until(meter, h.seen_at, h.lease, h.request) > at;
        others_share := others_share + base;
        others_used := others_used + base;
        others_busy_ms := greatest(0, ceil(extract(epoch FROM busy - at) * 1000));
        others_busy_ms := coalesce(others_busy_ms, 0);
        free := greatest(0, limited_to - others_share);
        IF ask.done THEN
            share := ask.used;
        ELSIF ask.need <= free THEN
            -- Half of what is left over stays for the others.
            share := greatest(ask.used, ask.keep,
                              least(ask.want, ask.need + (free - ask.need) / 2));
        ELSE
            share := greatest(ask.used, ask.keep);
            IF ask.need <= limited_to AND (short_at IS NULL OR short_at < at - interval '1 second')
            THEN
                UPDATE ledger.quota_meters AS m SET short_at = at
                WHERE (m.subject, m.meter, m.period) = (subject, meter, period);
                PERFORM pg_notify('fed_quota', subject);
            END IF;
            short_at := at;
        END IF;
        short := coalesce(short_at > at - interval '60 seconds', false);
        IF ask.done AND meter IN ('tokens_day', 'tokens_month') THEN
            DELETE FROM ledger.quota_shares AS s
            WHERE (s.subject, s.meter, s.period, s.holder) = (subject, meter, period, holder_id);
            -- Said twice (an answer was lost), it is kept once.
            IF FOUND THEN
                UPDATE ledger.quota_meters AS m SET used = m.used + ask.used
                WHERE (m.subject, m.meter, m.period) = (subject, meter, period);
            END IF;
        ELSIF share = 0 THEN
            DELETE FROM ledger.quota_shares AS s
            WHERE (s.subject, s.meter, s.period, s.holder) = (subject, meter, period, holder_id);
        ELSE
            INSERT INTO ledger.quota_shares AS s
                (subject, meter, period, holder, share, used, busy_until)
            VALUES (subject, meter, period, holder_id, share, ask.used,
                    at + ask.busy_ms * interval '1 millisecond')
            ON CONFLICT ON CONSTRAINT quota_shares_pkey DO UPDATE
            SET share = excluded.share, used = excluded.used, busy_until = excluded.busy_until;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- A holder ends in order: its requests are over, and nothing may be used from its shares any more.
CREATE FUNCTION ledger.end_shares(holder_id text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ledger.quota_holders SET lease = '0', request = '0', seen_at = clock_timestamp()
    WHERE holder = holder_id
$$;

-- Remove what no longer counts: how many rows went. Any gateway calls it now and then.
CREATE FUNCTION ledger.sweep_shares() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at timestamptz := clock_timestamp();
    today text := to_char(at AT TIME ZONE 'UTC' - interval '2 days', 'YYYY-MM-DD');
    month text := to_char(at AT TIME ZONE 'UTC' - interval '2 days', 'YYYY-MM');
    gone bigint;
    total bigint := 0;
BEGIN
    DELETE FROM ledger.quota_shares AS s USING ledger.quota_holders AS h
    WHERE s.holder = h.holder AND (
        (s.period = '' AND ledger.share_counts_until(s.meter, h.seen_at, h.lease, h.request) < at)
        OR (s.meter = 'tokens_day' AND s.period < today)
        OR (s.meter = 'tokens_month' AND s.period < month));
    GET DIAGNOSTICS total = ROW_COUNT;
    DELETE FROM ledger.quota_holders AS h
    WHERE h.seen_at + h.lease + h.request < at - interval '1 hour'
      AND NOT EXISTS (SELECT FROM ledger.quota_shares AS s WHERE s.holder = h.holder);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    -- A row that nobody holds a share of says nothing, unless it is a budget of this period.
    DELETE FROM ledger.quota_meters AS m
    WHERE (m.period = '' OR (m.meter = 'tokens_day' AND m.period < today)
           OR (m.meter = 'tokens_month' AND m.period < month))
      AND coalesce(m.short_at, '-infinity') < at - interval '1 hour'
      AND NOT EXISTS (SELECT FROM ledger.quota_shares AS s
                      WHERE (s.subject, s.meter, s.period) = (m.subject, m.meter, m.period));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END
$$;

REVOKE ALL ON FUNCTION ledger.limit_of(text, text),
    ledger.share_counts_until(text, timestamptz, interval, interval),
    ledger.keep_shares(text, text, interval, interval), ledger.deal_shares(text, jsonb),
    ledger.end_shares(text), ledger.sweep_shares() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.keep_shares(text, text, interval, interval),
    ledger.deal_shares(text, jsonb), ledger.end_shares(text), ledger.sweep_shares() TO fed_gateway;
GRANT SELECT ON ledger.quota_holders, ledger.quota_meters, ledger.quota_shares TO fed_operator;
