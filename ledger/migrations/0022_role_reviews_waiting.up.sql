-- What monitoring may know of reviews of rights: how many proposals wait, and since when.

CREATE FUNCTION ledger.role_reviews_waiting(OUT waiting bigint, OUT oldest_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM now() - min(p.proposed_at)), 0)
    FROM ledger.role_proposals AS p
    WHERE p.state = 'waiting' AND now() < least(p.lapses_at, p.reversible_until)
$$;
REVOKE ALL ON FUNCTION ledger.role_reviews_waiting() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.role_reviews_waiting() TO fed_keys;
