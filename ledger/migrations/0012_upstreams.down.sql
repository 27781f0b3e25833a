DROP TABLE ledger.upstreams;
DROP FUNCTION ledger.upstreams_dated();
