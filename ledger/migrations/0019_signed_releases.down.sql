REVOKE EXECUTE ON FUNCTION ledger.first_use(text, text, timestamptz) FROM fed_guardian;
