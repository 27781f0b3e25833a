-- Custody: see ledger/migrations/0014_custody.up.sql.

-- name: custody_make
-- A tenant's key of one class, with its first epoch.
SELECT ledger.custody_make(%(tenant)s, %(object_class)s, %(wrapped)s, %(actor)s, %(body)s)

-- name: custody_keys
-- Keys with the epochs that are kept and how many envelopes lie under each, by name.
SELECT k.key_id, k.tenant, k.object_class, k.current_epoch, k.made_at, k.made_by,
       (SELECT coalesce(jsonb_object_agg(e.epoch::text, (
            SELECT count(*) FROM ledger.contents AS c
            WHERE c.key_id = k.key_id AND c.key_epoch = e.epoch AND c.envelope IS NOT NULL)), '{}')
        FROM ledger.custody_epochs AS e
        WHERE e.key_id = k.key_id AND e.wrapped IS NOT NULL) AS epochs
FROM ledger.custody_keys AS k
WHERE %(tenant)s::text IS NULL OR k.tenant = %(tenant)s
ORDER BY k.key_id

-- name: custody_current
-- Which epoch of a key is current.
SELECT current_epoch FROM ledger.custody_keys WHERE key_id = %(key)s

-- name: custody_epochs
-- Every wrapped key that is kept of a key's epochs, oldest first.
SELECT epoch, wrapped FROM ledger.custody_epochs
WHERE key_id = %(key)s AND wrapped IS NOT NULL ORDER BY epoch

-- name: custody_replace
-- Put a key wrapped anew in the place of the one that was read.
SELECT ledger.custody_replace(%(key)s, %(epoch)s, sha256(%(old)s::bytea), %(wrapped)s, %(body)s)
    AS done

-- name: custody_share
-- Note whose share has which mark.
SELECT ledger.custody_share(%(holder)s, %(tenant)s, %(mark)s, %(replaces)s, %(actor)s, %(body)s)
    AS new

-- name: custody_shares
-- The newest share of each holder and tenant.
SELECT DISTINCT ON (holder, tenant) holder, tenant, version, mark, made_at, made_by
FROM ledger.custody_shares ORDER BY holder, tenant, version DESC

-- name: custody_forget
-- Forget a drill's key.
SELECT ledger.custody_forget(%(key)s, %(body)s)

-- name: custody_rotation
-- The newest rotation of a key.
SELECT old_epoch, new_epoch, phase, attempts, began_at, saved_at, rewrapped_at
FROM ledger.custody_rotations WHERE key_id = %(key)s ORDER BY new_epoch DESC LIMIT 1

-- name: custody_save
-- Keep how far a rotation is.
SELECT ledger.custody_save(%(key)s, %(old)s, %(new)s, %(phase)s, %(attempts)s, %(actor)s)

-- name: custody_store
-- Put a new epoch's wrapped key where nothing is sealed yet.
SELECT ledger.custody_store(%(key)s, %(epoch)s, %(wrapped)s, %(body)s)

-- name: custody_set_current
-- Seal under the new epoch from now on.
SELECT ledger.custody_set_current(%(key)s, %(old)s, %(new)s, %(body)s) AS new

-- name: custody_count
-- How many envelopes lie under epochs up to this one.
SELECT count(*) AS envelopes FROM ledger.contents
WHERE key_id = %(key)s AND key_epoch <= %(epoch)s AND envelope IS NOT NULL

-- name: custody_batch
-- Some envelopes of epochs up to this one.
SELECT id, key_epoch, envelope FROM ledger.contents
WHERE key_id = %(key)s AND key_epoch <= %(epoch)s AND envelope IS NOT NULL
ORDER BY key_epoch, id LIMIT %(limit)s

-- name: custody_reseal
-- Put an envelope sealed anew in the place of the one that was read.
SELECT ledger.reseal_content(%(id)s, %(key)s, sha256(%(old)s::bytea), %(epoch)s, %(envelope)s)
    AS done

-- name: custody_drop
-- Drop an old epoch's key.
SELECT ledger.custody_drop(%(key)s, %(epoch)s, %(body)s) AS done

-- name: custody_releases
-- When the guardian gave out which key's half.
SELECT at, key_id FROM ledger.custody_releases(%(since)s) ORDER BY at
