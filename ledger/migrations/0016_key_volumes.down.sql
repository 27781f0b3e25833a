DROP INDEX ledger.key_traces_misuse;
CREATE OR REPLACE FUNCTION ledger.requests_credit_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.note_key_uses(array_agg(u.key_id), array_agg(u.what), array_agg(u.hour))
    FROM (SELECT DISTINCT r.key_id,
                 'scope:' || CASE r.route WHEN 'tokenize' THEN 'tokenize' ELSE 'inference' END,
                 floor(extract(epoch FROM r.started_at) / 3600)::integer
          FROM done AS r WHERE r.outcome = 'answered') AS u (key_id, what, hour)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
DROP FUNCTION ledger.count_requests(text[], integer[], bigint[]);
DROP FUNCTION ledger.volume_counting(integer, bigint[], integer, double precision,
                                     double precision, integer, bigint, integer);
DROP FUNCTION ledger.volume_most_usual(integer, double precision, double precision);
DROP TABLE ledger.key_volumes;
