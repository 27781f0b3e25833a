"""One run: settle what is due, send what waits for the webhook, write the figures."""

import logging
from collections.abc import Mapping

from daemons.backup.shell import put
from daemons.key_decay.outbox import Outbox, Sent
from daemons.key_decay.settings import KeyDecaySettings
from daemons.key_decay.shell import Result, exposition, settle_due
from daemons.key_decay.webhook import endpoint
from inventory.config import resolve
from ledger.connect import Connection, Settings, connect
from trust.hidden import Hidden
from trust.webhooks import parse

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
    """The run; raises LedgerError, OSError, or InvalidWebhookSecret before anything is done.

    A webhook that takes nothing is no failure of it: what it was to get waits.
    """
    secrets = webhook_secrets(settings, environment)
    async with await connect(ledger_settings(settings, environment)) as connection:
        tell = settings.webhook_url is not None
        result = await settle_due(connection, settings.node, settings.batch_keys, tell=tell)
        LOG.info(
            "looked at %d keys in %.2f s: %d notices",
            result.looked_at,
            result.seconds,
            len(result.notices),
        )
        result.sent = await _deliver(connection, settings, secrets)
    put(settings.metrics_path, exposition(result), 0o644)
    return result


def webhook_secrets(
    settings: KeyDecaySettings, environment: Mapping[str, str]
) -> tuple[Hidden, ...]:
    """What messages are signed with; none without a webhook. Raises as `run` does."""
    if settings.webhook_url is None:
        return ()
    return parse(resolve(settings.webhook_secret_path, environment).read_text(encoding="ascii"))


async def _deliver(
    connection: Connection, settings: KeyDecaySettings, secrets: tuple[Hidden, ...]
) -> Sent:
    if settings.webhook_url is None:
        return Sent()
    async with endpoint(
        settings.webhook_url,
        secrets,
        seconds=settings.webhook_seconds,
        address=None if settings.webhook_address is None else str(settings.webhook_address),
    ) as where:
        return await Outbox(connection, where, settings.node).run(settings.webhook_run_seconds)
