-- Taken back only while nothing is stored: content must not go without an event that says so.
DO $$
BEGIN
    PERFORM FROM ledger.contents;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger.contents holds content: erase it, and keep the table'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END
$$;
DROP FUNCTION ledger.erase_content(uuid, bytea);
DROP FUNCTION ledger.store_content(uuid, bytea, text, bigint, bytea);
DROP FUNCTION ledger.reserve_seals(text, bigint, integer);
DROP TABLE ledger.content_keys;
DROP TABLE ledger.contents;
DROP FUNCTION ledger.contents_only_erased();
