DROP FUNCTION ledger.complete_request(uuid, text, timestamptz, smallint, integer, integer, integer, integer);
DROP FUNCTION ledger.open_request(uuid, text, text, text, boolean, timestamptz);
DROP TABLE ledger.requests;
DROP FUNCTION ledger.requests_only_complete();
