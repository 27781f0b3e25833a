DROP TABLE ledger.key_notices;
