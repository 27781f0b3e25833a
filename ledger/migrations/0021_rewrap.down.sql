REVOKE EXECUTE ON FUNCTION ledger.custody_save(text, bigint, bigint, text, integer, text),
    ledger.reserve_seals(text, bigint, integer),
    ledger.reseal_content(uuid, text, bytea, bigint, bytea)
    FROM fed_guardian;
REVOKE SELECT (id, key_id, key_epoch, envelope) ON ledger.contents FROM fed_guardian;
REVOKE SELECT ON ledger.custody_keys, ledger.custody_epochs, ledger.custody_rotations,
    ledger.custody_sealing FROM fed_guardian;
