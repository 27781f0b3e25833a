"""Serve the metrics: TLS 1.3, and only to clients with a certificate of the federation."""

import asyncio
import os
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from daemons.exporter.decide import Snapshot, metrics
from daemons.exporter.settings import ExporterSettings
from daemons.exporter.shell import take_in_thread
from daemons.serving import metrics_only, node_context, serve_until, until_asked
from inventory.notify import Notifier


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

    async def text() -> bytes:
        async with busy:
            snapshot = await take_in_thread(settings)
        registry = CollectorRegistry()
        registry.register(OneSnapshot(snapshot))
        ProcessCollector(namespace="federation_exporter", registry=registry)
        return generate_latest(registry)

    return metrics_only("exporter", text)


async def serve(settings: ExporterSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises OSError or ssl.SSLError when it cannot."""
    environment = dict(os.environ)
    await serve_until(
        stop,
        application(settings),
        settings.addresses,
        settings.port,
        node_context(settings, environment),
        Notifier(environment),
        f"serving metrics on port {settings.port}",
        last="scrape",
    )


async def run(settings: ExporterSettings) -> None:
    """Serve until systemd (or a person) asks to stop."""
    await until_asked(lambda stop: serve(settings, stop))
