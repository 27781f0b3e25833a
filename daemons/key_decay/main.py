"""One run: settle what is due, write the figures, tell the webhook."""

import logging
from collections.abc import Mapping

from daemons.backup.shell import put
from daemons.key_decay.settings import KeyDecaySettings
from daemons.key_decay.shell import Result, exposition, settle_due
from daemons.key_decay.webhook import tell
from inventory.config import resolve
from ledger.connect import Settings, connect

LOG = logging.getLogger(__name__)
DATABASE_ROLE = "fed_keys"
STATEMENT_SECONDS = 30.0


def ledger_settings(settings: KeyDecaySettings, environment: Mapping[str, str]) -> Settings:
    """How we connect: with the node's certificate, as the role that may settle keys."""
    return Settings(
        hosts=settings.hosts,
        addresses=settings.addresses,
        port=settings.port,
        user=DATABASE_ROLE,
        sslcert=resolve(settings.certificate_path, environment),
        sslkey=resolve(settings.key_path, environment),
        sslrootcert=resolve(settings.ca_path, environment),
        application_name=f"key-decay@{settings.node}",
        statement_timeout_seconds=STATEMENT_SECONDS,
    )


async def run(settings: KeyDecaySettings, environment: Mapping[str, str]) -> Result:
    """The run; raises LedgerError or OSError. A webhook that fails is no failure of it."""
    async with await connect(ledger_settings(settings, environment)) as connection:
        result = await settle_due(connection, settings.node, settings.batch_keys)
    if settings.webhook_url is not None and result.notices:
        result.untold = await tell(
            settings.webhook_url,
            settings.node,
            result.notices,
            attempts=settings.webhook_attempts,
            seconds=settings.webhook_seconds,
            address=None if settings.webhook_address is None else str(settings.webhook_address),
        )
    LOG.info(
        "looked at %d keys in %.2f s: %d notices",
        result.looked_at,
        result.seconds,
        len(result.notices),
    )
    put(settings.metrics_path, exposition(result), 0o644)
    return result
