-- Statements of tenants, limits, shares and the gateways' view of keys, by name (see queries.sql).

-- name: tenant_create
-- Add a tenant.
INSERT INTO ledger.tenants (name, models, created_by) VALUES (%(name)s, %(models)s, %(actor)s)

-- name: tenant_list
-- Every tenant with its limits and how many of its keys work, by name.
SELECT t.name, t.models, t.created_at, t.created_by,
       l.requests_per_minute, l.tokens_per_minute, l.concurrent_requests, l.tokens_per_day,
       l.tokens_per_month,
       (SELECT count(*) FROM ledger.api_keys AS k WHERE k.tenant = t.name AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())) AS keys
FROM ledger.tenants AS t LEFT JOIN ledger.limits AS l ON l.subject = 'tenant:' || t.name
WHERE %(name)s::text IS NULL OR t.name = %(name)s
ORDER BY t.name

-- name: limits_set
-- Set all five limits of a key or a tenant; null is no limit.
INSERT INTO ledger.limits AS l
    (subject, requests_per_minute, tokens_per_minute, concurrent_requests, tokens_per_day,
     tokens_per_month, changed_by)
VALUES (ledger.limit_subject(%(subject)s), %(requests_per_minute)s, %(tokens_per_minute)s, %(concurrent_requests)s,
        %(tokens_per_day)s, %(tokens_per_month)s, %(actor)s)
ON CONFLICT (subject) DO UPDATE
SET requests_per_minute = excluded.requests_per_minute,
    tokens_per_minute = excluded.tokens_per_minute,
    concurrent_requests = excluded.concurrent_requests,
    tokens_per_day = excluded.tokens_per_day, tokens_per_month = excluded.tokens_per_month,
    changed_by = excluded.changed_by

-- name: limits_show
-- The limits of a key or a tenant; no row when it never had any.
SELECT requests_per_minute, tokens_per_minute, concurrent_requests, tokens_per_day, tokens_per_month
FROM ledger.limits WHERE subject = ledger.limit_subject(%(subject)s)

-- name: keys_find
-- What a gateway needs to judge some keys (or one row of nulls), and the version of this answer.
SELECT g.version, k.id, k.name, k.digest, k.pepper_version, k.scopes, k.roles, k.tenant, k.models,
       least(k.expires_at, s.ends_at, s.overlap_ends_at) AS expires_at, k.revoked_at, s.tier,
       s.family, t.models AS tenant_models, to_jsonb(l) AS limits, to_jsonb(tl) AS tenant_limits,
       CASE WHEN t.prompts THEN coalesce(v.vouched, '') END AS prompts
-- The planner takes a table never analyzed for 2,200 rows and a function for 1,000: told that each
-- is one, it finds the whole cheap, and no server compiles it.
FROM (SELECT version FROM ledger.keyring LIMIT 1) AS g
LEFT JOIN (ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id)
    ON k.id = ANY (%(ids)s)
LEFT JOIN ledger.tenants AS t ON t.name = k.tenant
LEFT JOIN ledger.custody_keys AS c ON t.prompts AND c.key_id = t.name || '/prompts'
LEFT JOIN ledger.custody_sealing AS v ON v.key_id = c.key_id AND v.epoch = c.current_epoch
LEFT JOIN LATERAL (SELECT * FROM ledger.limits_now('key:' || s.family) LIMIT 1) AS l ON true
LEFT JOIN ledger.limits AS tl ON tl.subject = 'tenant:' || k.tenant

-- name: upstreams_drained
-- Engines that are taken out of rotation.
SELECT name, reason, changed_at, changed_by FROM ledger.upstreams WHERE drained ORDER BY name

-- name: upstream_set
-- Take an engine out of rotation or put it back; the server sets the time.
INSERT INTO ledger.upstreams AS u (name, drained, reason, changed_by)
VALUES (%(name)s, %(drained)s, %(reason)s, %(actor)s)
ON CONFLICT (name) DO UPDATE
SET drained = excluded.drained, reason = excluded.reason, changed_by = excluded.changed_by

-- name: keyring_changes
-- What changed since a version: the version now, the oldest change kept, and each change (or null).
SELECT k.version AS current, (SELECT min(version) FROM ledger.keyring_changes) AS oldest,
       c.version, c.subject
FROM ledger.keyring AS k
LEFT JOIN ledger.keyring_changes AS c ON c.version > %(since)s
ORDER BY c.version

-- name: listen_keyring
-- Hear of changes of keys, tenants, limits and drained engines.
LISTEN fed_keyring

-- name: listen_quota
-- Hear of gateways that are short of a share.
LISTEN fed_quota

-- name: shares_keep
-- A holder's sign of life; true when its lease had run out.
SELECT ledger.keep_shares(%(holder)s, %(place)s, make_interval(secs => %(lease_seconds)s),
    make_interval(secs => %(request_seconds)s)) AS lapsed

-- name: shares_deal
-- Ask for shares, report use, give back.
SELECT subject, meter, period, limited_to, share, others_share, others_used, others_busy_ms, short
FROM ledger.deal_shares(%(holder)s, %(asks)s)

-- name: shares_end
-- A holder ends in order.
SELECT ledger.end_shares(%(holder)s)

-- name: shares_sweep
-- Remove shares that no longer count.
SELECT ledger.sweep_shares() AS gone

-- name: shares_used
-- What each limit of a subject's is used up to now, as holders last said.
SELECT m.meter, m.period, m.used + coalesce(sum(s.used), 0) AS used,
       coalesce(sum(s.share), 0) AS held
FROM ledger.quota_meters AS m
LEFT JOIN ledger.quota_shares AS s ON (s.subject, s.meter, s.period) = (m.subject, m.meter, m.period)
LEFT JOIN ledger.quota_holders AS h ON h.holder = s.holder
WHERE m.subject = ledger.limit_subject(%(subject)s)
  AND m.period IN ('', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                   to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'))
GROUP BY m.meter, m.period, m.used ORDER BY m.meter
