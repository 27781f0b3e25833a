"""Wire the sequencer: its key, the database, the witnesses, the metrics; begin and end in order.

READY once the metrics are served: whether this one is active is decided by a lock, and a database
that is away is no reason not to start. SIGTERM ends the step under way, signs what was numbered,
and lets the lock go with the connection.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from daemons.addresses import Addresses
from daemons.sequencer.keys import log_key, signer
from daemons.sequencer.metrics import SequencerMetrics
from daemons.sequencer.settings import SequencerSettings
from daemons.sequencer.shell import Sequencer
from daemons.sequencer.witnesses import Heads, WitnessClient
from daemons.serving import metrics_only, until_asked
from inventory.config import resolve
from inventory.ending import ended
from inventory.notify import Notifier
from ledger.connect import Settings as LedgerSettings
from ledger.connect import pool
from trust.tls import client_context, server_context

LOG = logging.getLogger(__name__)


def ledger_settings(settings: SequencerSettings, environment: Mapping[str, str]) -> LedgerSettings:
    """How we connect: with the node's certificate, which the database knows as a sequencer's."""
    ledger = settings.ledger
    return LedgerSettings(
        hosts=ledger.hosts,
        addresses=tuple(str(address) for address in ledger.addresses),
        port=ledger.port,
        dbname=ledger.database,
        user=ledger.user,
        sslcert=resolve(settings.certificate_path, environment),
        sslkey=resolve(settings.key_path, environment),
        sslrootcert=resolve(settings.ca_path, environment),
        connect_timeout_seconds=ledger.connect_timeout_seconds,
        statement_timeout_seconds=ledger.statement_timeout_seconds,
        application_name=f"sequencer@{settings.node}",
    )


@asynccontextmanager
async def witness_session(
    settings: SequencerSettings, context: ssl.SSLContext
) -> AsyncIterator[aiohttp.ClientSession]:
    """HTTPS to witnesses: our certificate shown, theirs verified, every wait bounded."""
    addresses = {
        witness.url.removeprefix("https://").rpartition(":")[0]: str(witness.address)
        for witness in settings.witnesses
    }
    connector = aiohttp.TCPConnector(ssl=context, resolver=Addresses(addresses), limit=64)
    timeout = aiohttp.ClientTimeout(total=settings.witness_timeout_seconds)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


def application(metrics: SequencerMetrics) -> web.Application:
    """`/metrics`, and a line that says so on `/`."""

    async def text() -> bytes:
        return metrics.text()

    return metrics_only("sequencer", text)


async def serve(
    settings: SequencerSettings,
    stop: asyncio.Event,
    environment: Mapping[str, str] | None = None,
    listening: asyncio.Future[int] | None = None,
) -> None:
    """Run until `stop` is set. `listening` is told the metrics' port (tests let the kernel choose).

    Raises OSError, ssl.SSLError or NoteInvalid when keys or certificates are not there or not good.
    """
    environment = dict(os.environ) if environment is None else environment
    certificate = resolve(settings.certificate_path, environment)
    private = resolve(settings.key_path, environment)
    authority = resolve(settings.ca_path, environment)
    metrics = SequencerMetrics(witness.name for witness in settings.witnesses)
    heads, ledger = Heads(), ledger_settings(settings, environment)
    key, signing = log_key(settings, environment), signer(settings, environment)
    sequencer = Sequencer(settings, ledger, key, metrics, heads.publish)
    # Witnesses' business has connections of its own, opened when the first is needed.
    connections = pool(ledger, minimum=0, maximum=2, wait_seconds=settings.witness_timeout_seconds)
    runner = web.AppRunner(application(metrics), access_log=None)
    await runner.setup()
    notifier = Notifier(environment)
    try:
        port = await _listen(runner, settings, server_context(certificate, private, authority))
        async with (
            witness_session(settings, client_context(authority, certificate, private)) as session,
            connections,
        ):
            notifier.ready(f"serving metrics on port {port}")
            LOG.info("signing as %s with key %s", key.name, key.verifier.key_id.hex())
            if listening is not None:
                listening.set_result(port)
            clients = [
                WitnessClient(witness, session, connections, metrics, signing)
                for witness in settings.witnesses
            ]
            await _work(sequencer, clients, heads, notifier, stop)
    finally:
        await runner.cleanup()


async def _work(
    sequencer: Sequencer,
    clients: list[WitnessClient],
    heads: Heads,
    notifier: Notifier,
    stop: asyncio.Event,
) -> None:
    """Until `stop`, or until a task of ours fails, which ends the process with its error."""
    following = [asyncio.create_task(client.follow(heads)) for client in clients]
    watchdog = asyncio.create_task(notifier.keep_watchdog())
    working = asyncio.create_task(sequencer.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping, *following], return_when=asyncio.FIRST_COMPLETED)
        notifier.stopping("signing what was numbered")
        sequencer.stop()
        await working
        for task in following:
            if task.done():
                task.result()
    finally:
        await ended(stopping, watchdog, working, *following)


async def _listen(
    runner: web.AppRunner, settings: SequencerSettings, context: ssl.SSLContext
) -> int:
    port = settings.port
    for address in settings.addresses:
        await web.TCPSite(runner, str(address), port, ssl_context=context).start()
        port = port or int(runner.addresses[0][1])
    return port


async def run(settings: SequencerSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    await until_asked(lambda stop: serve(settings, stop))
