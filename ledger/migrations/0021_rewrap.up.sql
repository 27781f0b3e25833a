-- The guardian seals content anew in the background, under a warrant that an operator gave it. It may
-- read envelopes and put back what is of the current epoch; it can neither make, publish nor drop keys.
GRANT SELECT ON ledger.custody_keys, ledger.custody_epochs, ledger.custody_rotations,
    ledger.custody_sealing TO fed_guardian;
GRANT SELECT (id, key_id, key_epoch, envelope) ON ledger.contents TO fed_guardian;
GRANT EXECUTE ON FUNCTION ledger.custody_save(text, bigint, bigint, text, integer, text),
    ledger.reserve_seals(text, bigint, integer),
    ledger.reseal_content(uuid, text, bytea, bigint, bytea)
    TO fed_guardian;
