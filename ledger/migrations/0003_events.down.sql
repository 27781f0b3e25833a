DROP FUNCTION ledger.append_event(bytea);
DROP TABLE ledger.events;
