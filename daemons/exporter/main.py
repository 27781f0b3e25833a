"""Serve the metrics: TLS 1.3, and only to clients with a certificate of the federation."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from daemons.exporter.decide import Snapshot, metrics
from daemons.exporter.settings import ExporterSettings
from daemons.exporter.shell import take_in_thread
from inventory.config import resolve
from inventory.notify import Notifier
from trust.tls import server_context

LOG = logging.getLogger(__name__)


class OneSnapshot(Collector):
    """A collector for the registry of one scrape."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The metrics of the snapshot."""
        return metrics(self._snapshot)


def application(settings: ExporterSettings) -> web.Application:
    """The HTTP application: `/metrics`, and a line that says so on `/`."""
    # Scrapes that overlap would each start systemctl; one at a time is enough.
    busy = asyncio.Lock()

    async def scrape(request: web.Request) -> web.Response:
        del request
        async with busy:
            snapshot = await take_in_thread(settings)
        registry = CollectorRegistry()
        registry.register(OneSnapshot(snapshot))
        ProcessCollector(namespace="federation_exporter", registry=registry)
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def index(request: web.Request) -> web.Response:
        del request
        return web.Response(text="Federation exporter: metrics are at /metrics\n")

    app = web.Application(client_max_size=1024)
    app.router.add_get("/metrics", scrape)
    app.router.add_get("/", index)
    return app


async def serve(settings: ExporterSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    environment = dict(os.environ)
    context = server_context(
        resolve(settings.certificate_path, environment),
        resolve(settings.key_path, environment),
        resolve(settings.ca_path, environment),
    )
    runner = web.AppRunner(application(settings), access_log=None)
    await runner.setup()
    notifier = Notifier(environment)
    watchdog = asyncio.create_task(notifier.keep_watchdog())
    try:
        for address in settings.addresses:
            site = web.TCPSite(runner, str(address), settings.port, ssl_context=context)
            await site.start()
        LOG.info("serving on %s", ", ".join(str(address) for address in runner.addresses))
        notifier.ready(f"serving metrics on port {settings.port}")
        await stop.wait()
        notifier.stopping("finishing the last scrape")
    finally:
        watchdog.cancel()
        with suppress(asyncio.CancelledError):
            await watchdog
        await runner.cleanup()


async def run(settings: ExporterSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)
