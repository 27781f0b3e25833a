-- Statements of proofs of possession, by name (see queries.sql).

-- name: proof_key
-- The public key that counts for a family of keys.
SELECT public_key FROM ledger.proof_keys WHERE family = %(family)s ORDER BY set_at DESC LIMIT 1

-- name: proof_key_set
-- Have another public key from now on, for the family of a key.
INSERT INTO ledger.proof_keys (family, public_key, set_by)
SELECT family, %(public_key)s, %(actor)s FROM ledger.key_strength WHERE key_id = %(id)s
RETURNING family

-- name: proof_first_use
-- Whether a nonce was never used before; it is remembered now.
SELECT ledger.first_use(%(family)s, %(nonce)s, %(until)s) AS first
