-- Every statement our Python sends, by name. `-- name: x` starts one; the line after says what for.

-- name: migrations_lock
-- Wait for the one lock all migration runs share; released with the session.
SELECT pg_advisory_lock(7310579601823044)

-- name: migrations_exist
-- Whether this database was ever migrated.
SELECT to_regclass('ledger.migrations') IS NOT NULL AS there

-- name: migrations_create
-- The record of what was applied; it stays when everything is taken back.
CREATE SCHEMA IF NOT EXISTS ledger;
CREATE TABLE IF NOT EXISTS ledger.migrations (
    version integer PRIMARY KEY CHECK (version > 0),
    name text NOT NULL,
    up_sha256 text NOT NULL,
    down_sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: migrations_applied
-- What was applied, in order.
SELECT version, name, up_sha256, down_sha256, applied_at FROM ledger.migrations ORDER BY version

-- name: migrations_record
-- Note one as applied, in its own transaction.
INSERT INTO ledger.migrations (version, name, up_sha256, down_sha256)
VALUES (%(version)s, %(name)s, %(up_sha256)s, %(down_sha256)s)

-- name: migrations_forget
-- Note one as taken back, in its own transaction.
DELETE FROM ledger.migrations WHERE version = %(version)s

-- name: set_lock_timeout
-- How long this session waits for locks.
SELECT set_config('lock_timeout', %(lock_timeout)s, false)

-- name: ping
-- Whether the server answers.
SELECT 1 AS answer

-- name: key_issue
-- Add a key; the server sets the time.
INSERT INTO ledger.api_keys
    (id, name, digest, pepper_version, scopes, models, created_by, expires_at, tenant, roles)
VALUES (%(id)s, %(name)s, %(digest)s, %(pepper_version)s, %(scopes)s, %(models)s, %(actor)s,
        %(expires_at)s, %(tenant)s, %(roles)s)
RETURNING id

-- name: key_list
-- Every key there ever was, of one tenant or (null) of all, oldest first; no digest.
SELECT k.id, k.name, k.tenant, k.roles, k.scopes, k.models, k.created_at, k.created_by,
       least(k.expires_at, s.ends_at, s.overlap_ends_at) AS expires_at,
       k.revoked_at, k.revoked_by, k.revoked_reason, s.tier, s.strength, s.replaced_by
FROM ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id
WHERE %(tenant)s::text IS NULL OR k.tenant = %(tenant)s ORDER BY k.created_at, k.id

-- name: key_show
-- One key as people see it; no digest.
SELECT k.id, k.name, k.tenant, k.roles, k.scopes, k.models, k.created_at, k.created_by,
       least(k.expires_at, s.ends_at, s.overlap_ends_at) AS expires_at,
       k.revoked_at, k.revoked_by, k.revoked_reason, s.tier, s.strength, s.replaced_by
FROM ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id
WHERE k.id = %(id)s

-- name: key_revoke
-- Revoke a key that is not yet; the first one's reason stays.
UPDATE ledger.api_keys
SET revoked_at = now(), revoked_by = %(actor)s, revoked_reason = %(reason)s
WHERE id = %(id)s AND revoked_at IS NULL

-- name: key_peppers
-- How many keys ever had each version of the pepper, and how many of those work now.
WITH judged AS (
    SELECT k.id, k.pepper_version, least(k.expires_at, s.ends_at, s.overlap_ends_at) AS ends,
           k.revoked_at IS NULL
           AND coalesce(least(k.expires_at, s.ends_at, s.overlap_ends_at) > clock_timestamp(), true)
               AS works
    FROM ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id
)
SELECT pepper_version AS version, count(*) FILTER (WHERE works) AS live,
       max(ends) FILTER (WHERE works) AS last_end,
       coalesce((array_agg(id ORDER BY id) FILTER (WHERE works))[1:20], '{}') AS examples
FROM judged GROUP BY pepper_version ORDER BY pepper_version

-- name: key_find
-- What a gateway needs to judge one key: a single look at the primary key.
SELECT k.id, k.name, k.digest, k.pepper_version, k.scopes, k.models, k.revoked_at, k.tenant,
       k.roles, least(k.expires_at, s.ends_at, s.overlap_ends_at) AS expires_at, s.tier, s.family
FROM ledger.api_keys AS k JOIN ledger.key_strength AS s ON s.key_id = k.id WHERE k.id = %(id)s

-- name: requests_ship
-- Append events of the audit, and keep the rows they make.
SELECT ledger.ship_requests(%(bodies)b) AS new

-- name: request_show
-- One audit row.
SELECT id, key_id, node, model, stream, started_at, completed_at, outcome, status, prompt_tokens,
       completion_tokens, first_byte_ms, duration_ms, tenant, route, upstream
FROM ledger.requests WHERE id = %(id)s

-- name: request_list
-- The latest audit rows, newest first.
SELECT id, key_id, node, model, stream, started_at, completed_at, outcome, status, prompt_tokens,
       completion_tokens, first_byte_ms, duration_ms, tenant, route, upstream
FROM ledger.requests ORDER BY started_at DESC, id DESC LIMIT %(limit)s

-- name: usage_report
-- Requests, failures and tokens since a time, by tenant, key and model; null: no such condition.
SELECT r.tenant, r.key_id, k.name AS key_name, r.model, count(*) AS requests,
       count(*) FILTER (WHERE r.outcome = 'answered') AS answered,
       count(*) FILTER (WHERE r.outcome IS NULL) AS open,
       coalesce(sum(r.prompt_tokens), 0)::bigint AS prompt_tokens,
       coalesce(sum(r.completion_tokens), 0)::bigint AS completion_tokens,
       max(r.started_at) AS last_at
FROM ledger.requests AS r LEFT JOIN ledger.api_keys AS k ON k.id = r.key_id
WHERE (%(since)s::timestamptz IS NULL OR r.started_at >= %(since)s)
  AND (%(tenant)s::text IS NULL OR r.tenant = %(tenant)s)
  AND (%(key)s::text IS NULL OR r.key_id = %(key)s)
GROUP BY r.tenant, r.key_id, k.name, r.model
ORDER BY r.tenant, r.key_id, r.model

-- name: events_append
-- Add events by their bytes, sent as bytes (b) and not as text; how many are new.
SELECT ledger.append_events(%(bodies)b) AS new

-- name: event_show
-- One event's bytes, numbered or still waiting.
SELECT body FROM ledger.log WHERE id = %(id)s
UNION ALL
SELECT body FROM ledger.inbox WHERE id = %(id)s

-- name: event_list
-- The latest events' bytes, newest first, of one kind or (null) of all.
(SELECT body, 1 AS stage, arrival AS place FROM ledger.inbox
 WHERE %(kind)s::text IS NULL OR kind = %(kind)s ORDER BY arrival DESC LIMIT %(limit)s)
UNION ALL
(SELECT body, 0, seq FROM ledger.log
 WHERE %(kind)s::text IS NULL OR kind = %(kind)s ORDER BY seq DESC LIMIT %(limit)s)
ORDER BY stage DESC, place DESC LIMIT %(limit)s

-- name: log_state
-- Where the log ends.
SELECT size, frontier, root FROM ledger.log_state

-- name: tiles_read
-- Tiles by level and index.
SELECT t.level, t.index, t.hashes
FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[]) AS w (level, index)
JOIN ledger.tiles AS t ON t.level = w.level AND t.index = w.index

-- name: checkpoint_latest
-- The signed head of the largest tree, of all or of those up to a size.
SELECT size, root, note, signed_at FROM ledger.checkpoints
WHERE %(at_most)s::bigint IS NULL OR size <= %(at_most)s
ORDER BY size DESC LIMIT 1

-- name: cosignatures_of
-- What witnesses signed of one checkpoint.
SELECT line FROM ledger.cosignatures WHERE size = %(size)s ORDER BY witness

-- name: log_tail
-- The events from a number on: those of the last tile.
SELECT seq, body FROM ledger.log WHERE seq >= %(first)s ORDER BY seq LIMIT 257

-- name: snapshot_begin
-- Let the transaction that begins see one moment of the database, and write nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: sequencer_claim
-- The lock of the one active sequencer; released with the session.
SELECT pg_try_advisory_lock(7310579601823045) AS claimed

-- name: replicated
-- Write something of no meaning: its commit waits for a standby, and so for all that came before.
SELECT pg_logical_emit_message(true, 'ledger', '')

-- name: sequence_batch
-- Number waiting events.
SELECT leaves, dropped, conflicting FROM ledger.sequence_batch(%(size)s, %(most)s)

-- name: seal_batch
-- Put them into the tree, in the same transaction.
SELECT ledger.seal_batch(%(size)s, %(frontier)s, %(root)s, %(levels)s::smallint[],
    %(indexes)s::bigint[], %(hashes)b::bytea[])

-- name: checkpoint_add
-- Store a signed head.
SELECT ledger.add_checkpoint(%(size)s, %(root)s, %(note)s) AS new

-- name: cosignature_add
-- Store a witness's signature.
SELECT ledger.add_cosignature(%(size)s, %(witness)s, %(line)s) AS new

-- name: inbox_waiting
-- When the oldest waiting event came, and how many wait (counted up to 100,000).
SELECT min(received_at) AS oldest, count(*) AS count FROM (
    SELECT received_at FROM ledger.inbox
    WHERE arrival >= (SELECT inbox_floor FROM ledger.log_state)
    ORDER BY arrival LIMIT 100000) AS w

-- name: inbox_any
-- Whether any event waits to be numbered.
SELECT EXISTS (SELECT FROM ledger.inbox
               WHERE arrival >= (SELECT inbox_floor FROM ledger.log_state)) AS waits

-- name: cosigned_size
-- The largest size a witness has cosigned.
SELECT max(size) AS size FROM ledger.cosignatures WHERE witness = %(witness)s

-- name: partitions_make
-- Have the partitions of this month and of those ahead.
SELECT ledger.make_partitions(now(), %(months)s) AS made

-- name: verify_heads
-- How far the log, its tree and its newest checkpoint are, and the highest number there is.
SELECT s.size, s.tree_size, s.root,
       (SELECT max(l.seq) FROM ledger.log AS l) AS highest,
       (SELECT max(c.size) FROM ledger.checkpoints AS c) AS signed
FROM ledger.log_state AS s

-- name: verify_rows
-- Events from a number on: at most so many, and no more after so many bytes (one at least).
SELECT w.seq, w.body, w.leaf_hash,
       concat_ws(E'\n', w.id, to_char(w.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                 w.node, w.actor, w.kind, w.subject, coalesce(w.trace_id, '')) AS columns
FROM (
    SELECT l.*, sum(octet_length(l.body)) OVER (ORDER BY l.seq) - octet_length(l.body) AS before
    FROM (
        SELECT * FROM ledger.log
        WHERE seq >= %(start)s AND seq < %(stop)s ORDER BY seq LIMIT %(most)s
    ) AS l
) AS w
WHERE w.before < %(bytes)s ORDER BY w.seq

-- name: verify_checkpoints
-- Checkpoints above one size up to another, in order.
SELECT size, root, note FROM ledger.checkpoints
WHERE size > %(above)s AND size <= %(upto)s ORDER BY size LIMIT %(most)s

-- name: verify_next_checkpoint
-- The smallest checkpoint above a size.
SELECT size, root, note FROM ledger.checkpoints WHERE size > %(above)s ORDER BY size LIMIT 1

-- name: verify_cosigned
-- The largest checkpoint a witness cosigned, as the log has it.
SELECT c.size, c.line, k.note
FROM ledger.cosignatures AS c JOIN ledger.checkpoints AS k USING (size)
WHERE c.witness = %(witness)s ORDER BY c.size DESC LIMIT 1

-- name: verify_partitions
-- The log's partitions.
SELECT c.relname::text AS name
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'ledger.log'::regclass ORDER BY c.relname

-- name: verify_next_row
-- The first event there is at or after a number.
SELECT seq, id FROM ledger.log WHERE seq >= %(start)s ORDER BY seq LIMIT 1

-- name: verify_leaf_elsewhere
-- Where the tree has a leaf of this hash: its tile, and the byte it begins at (from 1).
SELECT index, position(%(leaf)s::bytea IN hashes) AS at FROM ledger.tiles
WHERE level = 0 AND position(%(leaf)s::bytea IN hashes) > 0 ORDER BY index LIMIT 1

-- name: verify_row_before
-- The last event there is before a number.
SELECT seq, id FROM ledger.log WHERE seq < %(start)s ORDER BY seq DESC LIMIT 1

-- name: log_matching
-- The newest events above a number that match, newest first.
SELECT seq, sequenced_at, body FROM ledger.log
WHERE seq > %(above)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s OR starts_with(kind, %(kind)s || '.'))
  AND (%(subject)s::text IS NULL OR position(%(subject)s IN subject) > 0)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(node)s::text IS NULL OR node = %(node)s)
  AND (%(since)s::timestamptz IS NULL OR time >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR time < %(until)s)
ORDER BY seq DESC LIMIT %(limit)s

-- name: log_following
-- The next events above a number that match, oldest first.
SELECT seq, sequenced_at, body FROM ledger.log
WHERE seq > %(above)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s OR starts_with(kind, %(kind)s || '.'))
  AND (%(subject)s::text IS NULL OR position(%(subject)s IN subject) > 0)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(node)s::text IS NULL OR node = %(node)s)
  AND (%(since)s::timestamptz IS NULL OR time >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR time < %(until)s)
ORDER BY seq LIMIT %(limit)s

-- name: log_by_number
-- One event by its number.
SELECT seq, sequenced_at, body FROM ledger.log WHERE seq = %(seq)s

-- name: log_by_id
-- One event by its id.
SELECT seq, sequenced_at, body FROM ledger.log WHERE id = %(id)s

-- name: checkpoints_with_cosignatures
-- The newest checkpoints above a size, with what witnesses signed of them.
SELECT c.size, c.note, array_agg(s.line) FILTER (WHERE s.line IS NOT NULL) AS lines
FROM (SELECT size, note FROM ledger.checkpoints WHERE size > %(above)s
      ORDER BY size DESC LIMIT %(limit)s) AS c
LEFT JOIN ledger.cosignatures AS s USING (size)
GROUP BY c.size, c.note ORDER BY c.size DESC

-- name: content_reserve
-- Count envelopes of a data key before they are sealed.
SELECT ledger.reserve_seals(%(key)s, %(epoch)s, %(wanted)s) AS before

-- name: content_store
-- Keep an item of personal content.
SELECT ledger.store_content(%(id)s, %(commitment)s, %(key)s, %(epoch)s, %(envelope)s) AS new

-- name: content_show
-- One item, erased or not.
SELECT commitment, key_id, key_epoch, envelope, erased_at, erased_by
FROM ledger.contents WHERE id = %(id)s

-- name: content_erase
-- Erase an item and write that down.
SELECT ledger.erase_content(%(id)s, %(body)s) AS new

-- name: recovery_point
-- A named point in the WAL to which a restore can go (superuser).
SELECT pg_create_restore_point(%(name)s)::text AS lsn, clock_timestamp() AS time

-- name: recovery_locate
-- The transaction that first signed a log with this event: where a restore "to this event" ends.
-- (The one that numbered it cannot be aimed at: its rows are a subtransaction's.)
SELECT size, xmin::text AS xid, signed_at FROM ledger.checkpoints
WHERE size > %(seq)s ORDER BY size LIMIT 1

-- name: recovery_switch
-- End the current WAL segment, so that it is archived now (superuser).
SELECT pg_walfile_name(pg_switch_wal()) AS segment

-- name: recovery_archived
-- The last WAL segment that is in every repository, by the archiver's own account.
SELECT last_archived_wal AS segment FROM pg_stat_archiver

-- name: recovery_rows
-- How many events there are, counted one by one.
SELECT count(*) AS rows FROM ledger.log

-- name: recovery_leads
-- Whether this server takes writes.
SELECT NOT pg_is_in_recovery() AS leads
