DROP FUNCTION ledger.sweep_shares();
DROP FUNCTION ledger.end_shares(text);
DROP FUNCTION ledger.deal_shares(text, jsonb);
DROP FUNCTION ledger.keep_shares(text, text, interval, interval);
DROP FUNCTION ledger.share_counts_until(text, timestamptz, interval, interval);
DROP FUNCTION ledger.limit_of(text, text);
DROP TABLE ledger.quota_shares;
DROP TABLE ledger.quota_meters;
DROP TABLE ledger.quota_holders;
