REVOKE SELECT ON ledger.log_state, ledger.checkpoints FROM fed_backup;
REVOKE EXECUTE ON FUNCTION ledger.append_events(bytea[]) FROM fed_backup;
REVOKE USAGE ON SCHEMA ledger FROM fed_backup;
