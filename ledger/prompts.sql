-- Stored prompts: see ledger/migrations/0020_prompts.up.sql.

-- name: prompts_publish
-- Have an epoch's public half on record.
SELECT ledger.custody_publish(%(key)s, %(epoch)s, %(vouched)s, %(body)s) AS new

-- name: prompts_published
-- The public half of an epoch on record.
SELECT vouched FROM ledger.custody_sealing WHERE key_id = %(key)s AND epoch = %(epoch)s

-- name: prompts_switch
-- Turn a tenant's stored prompts on or off.
SELECT ledger.set_prompts(%(tenant)s, %(wanted)s, %(days)s, %(body)s)

-- name: prompts_keep
-- Keep what a gateway sealed.
SELECT ledger.keep_prompt(%(id)s, %(commitment)s, %(key)s, %(epoch)s, %(envelope)s) AS new

-- name: prompts_due
-- Prompts whose days are over.
SELECT id, tenant, stored_at FROM ledger.prompts_due(%(most)s)

-- name: prompts_erase_due
-- Erase one of them and write that down.
SELECT ledger.erase_due_prompt(%(id)s, %(body)s) AS new

-- name: prompts_standing
-- Every tenant's choice, and what is kept of it.
SELECT t.name AS tenant, t.prompts AS kept, t.prompts_days AS days, k.current_epoch AS epoch,
       s.vouched IS NOT NULL AS published, c.count, c.oldest
FROM ledger.tenants AS t
LEFT JOIN ledger.custody_keys AS k ON k.key_id = t.name || '/prompts'
LEFT JOIN ledger.custody_sealing AS s ON s.key_id = k.key_id AND s.epoch = k.current_epoch
CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(stored_at) AS oldest FROM ledger.contents
    WHERE key_id = t.name || '/prompts' AND envelope IS NOT NULL) AS c
ORDER BY t.name
