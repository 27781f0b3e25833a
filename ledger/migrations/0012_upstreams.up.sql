-- Engines that are taken out of rotation, on every gateway ("drained"); a row for each that ever
-- was. Gateways hear of a change the way they hear of changed keys: by the keyring's version.
CREATE TABLE ledger.upstreams (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
    subject text COLLATE "C" NOT NULL GENERATED ALWAYS AS ('upstream:' || name) STORED,
    drained boolean NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL CHECK (length(changed_by) BETWEEN 1 AND 200)
);

CREATE FUNCTION ledger.upstreams_dated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.changed_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER dated BEFORE INSERT OR UPDATE ON ledger.upstreams
    FOR EACH ROW EXECUTE FUNCTION ledger.upstreams_dated();
CREATE TRIGGER no_delete BEFORE DELETE ON ledger.upstreams
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger.upstreams
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();
CREATE TRIGGER tell_gateways AFTER INSERT OR UPDATE ON ledger.upstreams
    FOR EACH ROW EXECUTE FUNCTION ledger.keyring_changed();

REVOKE ALL ON FUNCTION ledger.upstreams_dated() FROM PUBLIC;

GRANT SELECT ON ledger.upstreams TO fed_gateway, fed_operator;
GRANT INSERT (name, drained, reason, changed_by), UPDATE (drained, reason, changed_by)
    ON ledger.upstreams TO fed_operator;
