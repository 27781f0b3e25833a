-- Repositories' nodes tell the log of backups and restore tests, and compare what they restored with
-- what the live log signed. They read no event.
GRANT USAGE ON SCHEMA ledger TO fed_backup;
GRANT EXECUTE ON FUNCTION ledger.append_events(bytea[]) TO fed_backup;
GRANT SELECT ON ledger.log_state, ledger.checkpoints TO fed_backup;
