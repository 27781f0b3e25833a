"""How this node's processes reach the ledger: with its certificate, which is who they are there."""

from pathlib import Path

from gateway.settings import GatewaySettings
from ledger.connect import Settings


def ledger_settings(
    settings: GatewaySettings, certificate: Path, key: Path, authority: Path, application: str
) -> Settings:
    """The connection settings; `application` is what the server's own lists call it."""
    ledger = settings.ledger
    return Settings(
        hosts=ledger.hosts,
        addresses=tuple(str(address) for address in ledger.addresses),
        port=ledger.port,
        dbname=ledger.database,
        user=ledger.user,
        sslcert=certificate,
        sslkey=key,
        sslrootcert=authority,
        connect_timeout_seconds=min(60.0, ledger.connect_timeout_seconds),
        statement_timeout_seconds=min(3600.0, ledger.statement_timeout_seconds),
        application_name=application,
    )
