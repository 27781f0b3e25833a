"""Serve the guardian over mutual TLS 1.3, beside its upkeep and the sealing anew of content."""

import asyncio
import os

from daemons.guardian.endpoint import Endpoint
from daemons.guardian.rewrap import Rewrap
from daemons.guardian.settings import GuardianSettings
from daemons.guardian.shell import Guardian, load_share
from daemons.guardian.upkeep import Upkeep
from daemons.serving import node_context, serve_until, until_asked
from inventory.config import resolve
from inventory.ending import ended
from inventory.notify import Notifier
from ledger.connect import Settings
from trust.callers import Callers

DATABASE_ROLE = "fed_guardian"


def ledger_settings(settings: GuardianSettings, environment: dict[str, str]) -> Settings:
    """How it reaches the ledger: with the node's certificate, as the guardian."""
    return Settings(
        hosts=settings.hosts,
        addresses=settings.ledger_addresses,
        port=settings.ledger_port,
        user=DATABASE_ROLE,
        sslcert=resolve(settings.certificate_path, environment),
        sslkey=resolve(settings.key_path, environment),
        sslrootcert=resolve(settings.ca_path, environment),
        connect_timeout_seconds=settings.ledger_seconds,
        application_name=f"guardian@{settings.node}",
        statement_timeout_seconds=settings.ledger_seconds,
    )


async def serve(settings: GuardianSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises CustodyError, ValueError or OSError when it cannot."""
    environment = dict(os.environ)
    ledger = ledger_settings(settings, environment)
    share = load_share(resolve(settings.share_path, environment))
    guardian = Guardian(
        settings.node,
        share,
        settings.policy,
        ledger,
        ledger_seconds=settings.ledger_seconds,
    )
    upkeep = Upkeep(settings.node, ledger, guardian.metrics, settings.upkeep_seconds)
    context = node_context(settings, environment)
    hosts = [*map(str, settings.addresses), settings.node]
    callers = Callers.of(settings.callers, hosts)
    rewrap = Rewrap(
        settings.node,
        share,
        ledger,
        guardian.metrics,
        resolve(settings.warrants_path, environment),
        ledger_seconds=settings.ledger_seconds,
    )
    work = (guardian.recall(), upkeep.run(), rewrap.run())
    background = [asyncio.create_task(each) for each in work]
    try:
        await serve_until(
            stop,
            Endpoint(guardian, callers, rewrap).application(),
            settings.addresses,
            settings.port,
            context,
            Notifier(environment),
            f"guarding, {len(settings.rules)} rules",
        )
    finally:
        await ended(*background)


async def run(settings: GuardianSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    await until_asked(lambda stop: serve(settings, stop))
