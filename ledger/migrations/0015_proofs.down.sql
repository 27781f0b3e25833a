DROP FUNCTION ledger.first_use(text, text, timestamptz);
DROP TABLE ledger.proof_nonces;
DROP TABLE ledger.proof_keys;
DROP FUNCTION ledger.proof_keys_dated();
