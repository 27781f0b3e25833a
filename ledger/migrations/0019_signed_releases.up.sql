-- The guardian remembers the nonces of signed requests where it writes releases down: in the ledger.

GRANT EXECUTE ON FUNCTION ledger.first_use(text, text, timestamptz) TO fed_guardian;
