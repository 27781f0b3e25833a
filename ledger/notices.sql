-- Statements of keys' notices, the webhook's outbox, by name (see queries.sql).

-- name: notice_put
-- Have notices delivered, in their order, in the caller's transaction.
INSERT INTO ledger.key_notices (id, key_id, kind, body)
SELECT g.id, g.key_id, g.kind, g.body
FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(kinds)s::text[], %(bodies)s::bytea[])
    WITH ORDINALITY AS g (id, key_id, kind, body, place)
ORDER BY g.place

-- name: notice_take
-- Take some that are due, the oldest first: for that long nobody else does. Of a key (- is none) one at a time.
UPDATE ledger.key_notices AS n
SET attempts = n.attempts + 1, tried_by = %(node)s,
    leased_until = now() + make_interval(secs => %(lease_seconds)s)
FROM (
    SELECT k.id FROM ledger.key_notices AS k
    WHERE k.outcome IS NULL AND k.next_at <= now()
      AND (k.leased_until IS NULL OR k.leased_until <= now())
      AND (k.key_id = '-' OR NOT EXISTS (
          SELECT FROM ledger.key_notices AS earlier
          WHERE earlier.outcome IS NULL AND earlier.key_id = k.key_id AND earlier.seq < k.seq
      ))
    ORDER BY k.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS due
WHERE n.id = due.id
RETURNING n.id, n.seq, n.key_id, n.kind, n.body, n.attempts

-- name: notice_delivered
-- Somebody took it; true whoever else tries it meanwhile.
UPDATE ledger.key_notices SET outcome = 'delivered', settled_at = now(), last_error = NULL,
    leased_until = NULL
WHERE id = %(id)s AND outcome IS NULL

-- name: notice_later
-- It was not taken: try again then, unless somebody else took it over meanwhile.
UPDATE ledger.key_notices
SET next_at = now() + make_interval(secs => %(pause_seconds)s), last_error = %(error)s,
    leased_until = NULL
WHERE id = %(id)s AND outcome IS NULL AND attempts = %(attempts)s

-- name: notice_give_up
-- Give up those that are too old and that nobody is sending now.
UPDATE ledger.key_notices AS n
SET outcome = 'given_up', settled_at = now(), leased_until = NULL
FROM (
    SELECT id FROM ledger.key_notices
    WHERE outcome IS NULL AND made_at < now() - make_interval(secs => %(oldest_seconds)s)
      AND (leased_until IS NULL OR leased_until <= now())
    ORDER BY seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS old
WHERE n.id = old.id
RETURNING n.id, n.seq, n.key_id, n.kind, n.attempts, n.last_error

-- name: notice_forget
-- Forget what was settled long ago; the events stay in the log.
DELETE FROM ledger.key_notices
WHERE outcome IS NOT NULL AND settled_at < now() - make_interval(secs => %(kept_seconds)s)

-- name: notice_figures
-- How the outbox stands; `wait_seconds` until the next is due, null when none is pending.
SELECT count(*) FILTER (WHERE outcome IS NULL) AS pending,
       count(*) FILTER (WHERE outcome = 'given_up' AND settled_at > now() - interval '1 day')
           AS given_up,
       coalesce(extract(epoch FROM now() - min(made_at) FILTER (WHERE outcome IS NULL)), 0)::float8
           AS oldest_seconds,
       extract(epoch FROM
           min(greatest(next_at, leased_until)) FILTER (WHERE outcome IS NULL) - now())::float8
           AS wait_seconds
FROM ledger.key_notices

-- name: notice_list
-- The newest notices in some of the states.
SELECT id, key_id, kind, made_at, attempts, next_at, tried_by, last_error, settled_at,
       coalesce(outcome, 'pending') AS state
FROM ledger.key_notices
WHERE coalesce(outcome, 'pending') = ANY (%(states)s)
  AND (%(only)s::uuid IS NULL OR id = %(only)s)
ORDER BY seq DESC LIMIT %(limit)s
