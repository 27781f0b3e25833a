-- Notices of keys that a webhook is to get: written in the transaction of their event, sent by whichever
-- data node takes them first, and kept until somebody took them or three days of trying are over.

CREATE TABLE ledger.key_notices (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    key_id text COLLATE "C" NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    kind text COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    body bytea NOT NULL CHECK (octet_length(body) BETWEEN 2 AND 65536),
    made_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    tried_by text CHECK (length(tried_by) BETWEEN 1 AND 63),
    last_error text CHECK (length(last_error) <= 200),
    outcome text CHECK (outcome IN ('delivered', 'given_up')),
    settled_at timestamptz,
    CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX key_notices_due ON ledger.key_notices (seq) WHERE outcome IS NULL;
CREATE INDEX key_notices_of_a_key ON ledger.key_notices (key_id, seq) WHERE outcome IS NULL;
CREATE INDEX key_notices_settled ON ledger.key_notices (settled_at) WHERE outcome IS NOT NULL;

COMMENT ON TABLE ledger.key_notices IS
    'Outbox of the key decay''s webhook. id: of the event, and webhook-id.';

-- What a notice says is never changed; who sends it notes how that went.
GRANT SELECT, INSERT (id, key_id, kind, body), DELETE ON ledger.key_notices TO fed_keys;
GRANT UPDATE (attempts, next_at, leased_until, tried_by, last_error, outcome, settled_at)
    ON ledger.key_notices TO fed_keys;
GRANT SELECT (id, seq, key_id, kind, made_at, attempts, next_at, leased_until, tried_by, last_error,
              outcome, settled_at), INSERT (id, key_id, kind, body) ON ledger.key_notices TO fed_operator;
