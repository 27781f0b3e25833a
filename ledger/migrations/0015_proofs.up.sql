-- Proofs of possession: the public keys with which holders of API keys sign requests, and the nonces
-- of signed requests, remembered on every gateway and over restarts for as long as they could count.

CREATE TABLE ledger.proof_keys (
    family text COLLATE "C" NOT NULL REFERENCES ledger.api_keys (id),
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    set_by text NOT NULL CHECK (length(set_by) BETWEEN 1 AND 200),
    PRIMARY KEY (family, set_at)
);

COMMENT ON TABLE ledger.proof_keys IS
    'Ed25519 public keys by a key''s family (its first key''s id); the newest counts, none is lost.';

CREATE FUNCTION ledger.proof_keys_dated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.set_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER dated BEFORE INSERT ON ledger.proof_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.proof_keys_dated();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.proof_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

CREATE TABLE ledger.proof_nonces (
    family text COLLATE "C" NOT NULL CHECK (length(family) BETWEEN 1 AND 64),
    nonce text COLLATE "C" NOT NULL CHECK (length(nonce) BETWEEN 16 AND 64),
    remember_until timestamptz NOT NULL,
    PRIMARY KEY (family, nonce)
);
CREATE INDEX proof_nonces_old ON ledger.proof_nonces (remember_until);

-- Whether this nonce was never used before, remembering it. True once, whoever asks and how often.
-- Nonces are kept ten minutes longer than asked, for gateways whose clocks are behind; one that is
-- older than that is not the first use of anything, and one of a far future would stay for ever.
CREATE FUNCTION ledger.first_use(wanted_family text, wanted_nonce text, until timestamptz)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF until < now() - interval '10 minutes' OR until > now() + interval '10 minutes' THEN
        RETURN false;
    END IF;
    DELETE FROM ledger.proof_nonces WHERE (family, nonce) IN (
        SELECT family, nonce FROM ledger.proof_nonces
        WHERE remember_until < now() - interval '10 minutes'
        ORDER BY remember_until LIMIT 100 FOR UPDATE SKIP LOCKED
    );
    INSERT INTO ledger.proof_nonces (family, nonce, remember_until)
    VALUES (wanted_family, wanted_nonce, until) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

REVOKE ALL ON FUNCTION ledger.proof_keys_dated(), ledger.first_use(text, text, timestamptz)
    FROM PUBLIC;
GRANT SELECT ON ledger.proof_keys TO fed_gateway, fed_operator;
GRANT INSERT (family, public_key, set_by) ON ledger.proof_keys TO fed_operator;
GRANT EXECUTE ON FUNCTION ledger.first_use(text, text, timestamptz) TO fed_gateway;
