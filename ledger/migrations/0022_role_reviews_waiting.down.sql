DROP FUNCTION ledger.role_reviews_waiting();
