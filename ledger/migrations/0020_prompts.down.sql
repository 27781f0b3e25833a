-- Taken back only while nobody's prompts are kept: without this nothing erases them in time.
DO $$
BEGIN
    PERFORM FROM ledger.contents AS c WHERE c.key_id LIKE '%/prompts' AND c.envelope IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger.contents holds prompts: erase them first'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END
$$;
DROP TRIGGER tell_gateways ON ledger.custody_keys;
DROP TABLE ledger.custody_sealing;
DROP FUNCTION ledger.erase_due_prompt(uuid, bytea), ledger.prompts_due(integer),
    ledger.keep_prompt(uuid, bytea, text, bigint, bytea),
    ledger.set_prompts(text, boolean, integer, bytea),
    ledger.custody_publish(text, bigint, bytea, bytea), ledger.sealing_changed();
ALTER TABLE ledger.tenants DROP COLUMN prompts, DROP COLUMN prompts_days;
