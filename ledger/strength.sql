-- Statements of key strength, by name (see queries.sql).

-- name: strength_show
-- One key's state, rights and ends; no digest.
SELECT s.key_id, k.name, k.tenant, k.scopes, k.roles, k.created_at, k.expires_at, k.revoked_at,
       s.family, s.replaces, s.replaced_by, s.self_made, p.value AS parameters, s.issued_at,
       s.ends_at, s.overlap_ends_at, s.probation, s.tier, s.tier_since, s.strength, s.settled_at,
       s.unchanged_until, s.warned_dormant, s.warned_end,
       v.newest_hour AS volume_hour, v.counts, v.hours, v.mean, v.variance
FROM ledger.key_strength AS s
JOIN ledger.api_keys AS k ON k.id = s.key_id
JOIN ledger.key_parameters AS p ON p.version = s.parameters
LEFT JOIN ledger.key_volumes AS v ON v.family = s.family
WHERE s.key_id = %(id)s

-- name: strength_due
-- Keys that are due to be looked at, locked; what somebody else is looking at is passed over.
SELECT s.key_id, k.name, k.tenant, k.scopes, k.roles, k.created_at, k.expires_at, k.revoked_at,
       s.family, s.replaces, s.replaced_by, s.self_made, p.value AS parameters, s.issued_at,
       s.ends_at, s.overlap_ends_at, s.probation, s.tier, s.tier_since, s.strength, s.settled_at,
       s.unchanged_until, s.warned_dormant, s.warned_end
FROM ledger.key_strength AS s
JOIN ledger.api_keys AS k ON k.id = s.key_id
JOIN ledger.key_parameters AS p ON p.version = s.parameters
WHERE s.unchanged_until <= %(now)s
ORDER BY s.unchanged_until, s.key_id LIMIT %(limit)s
FOR UPDATE OF s SKIP LOCKED

-- name: strength_traces
-- What is noted of some keys: asked after they are locked, so that nothing is overlooked.
SELECT key_id, what, newest_hour, hours::text AS hours
FROM ledger.key_traces WHERE key_id = ANY (%(ids)s)

-- name: strength_misused
-- How many keys have each kind of misuse counted since an hour.
SELECT what, count(*) AS keys FROM ledger.key_traces
WHERE starts_with(what, 'misuse:') AND newest_hour >= %(since)s GROUP BY what

-- name: strength_save
-- Keep what was made of some keys' traces, and until when none of them need be looked at.
UPDATE ledger.key_strength AS s
SET tier = g.tier, tier_since = g.tier_since, strength = g.strength, usage = g.usage,
    misuse = g.misuse, settled_at = g.settled_at, unchanged_until = g.unchanged_until,
    warned_dormant = g.warned_dormant, warned_end = g.warned_end
FROM unnest(%(ids)s::text[], %(tiers)s::smallint[], %(since)s::timestamptz[],
            %(strengths)s::float8[], %(usages)s::float8[], %(misuses)s::float8[],
            %(settled)s::timestamptz[], %(until)s::timestamptz[], %(dormant)s::smallint[],
            %(ended)s::smallint[])
    AS g (key_id, tier, tier_since, strength, usage, misuse, settled_at, unchanged_until,
          warned_dormant, warned_end)
WHERE s.key_id = g.key_id

-- name: strength_mend
-- Bring traces of a wrong clock back to this hour.
SELECT ledger.mend_traces(%(ids)s, %(hour)s)

-- name: strength_note
-- Note hours of credited work and of misuse.
SELECT ledger.note_key_uses(%(ids)s, %(whats)s, %(hours)s) AS new

-- name: strength_rotate
-- Replace a key, and say in the log that it was.
SELECT ledger.rotate_key(%(old)s, %(new)s, %(digest)s, %(pepper_version)s,
    make_interval(secs => %(overlap_seconds)s), %(probation)s, %(strength)s, %(tier)s::smallint,
    %(actor)s, %(event)s) AS until
