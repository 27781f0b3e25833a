DROP TABLE ledger.api_keys;
DROP FUNCTION ledger.api_keys_begin_unrevoked();
DROP FUNCTION ledger.api_keys_only_revoke();
DROP FUNCTION ledger.refuse();
REVOKE USAGE ON SCHEMA ledger FROM fed_gateway, fed_operator;
