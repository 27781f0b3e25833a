"""Serve an HTTP application until asked to stop, as systemd wants it: ready, alive, stopping.

Every daemon serves with its node's certificate, to callers with one of the federation, and shows
its metrics the same way.
"""

import asyncio
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from inventory.config import resolve
from inventory.notify import Notifier
from trust.tls import server_context

LOG = logging.getLogger(__name__)


class NodeCertificate(Protocol):
    """Settings that say where the node's certificate, its key and the authority's are."""

    @property
    def certificate_path(self) -> Path:
        """The node's certificate."""

    @property
    def key_path(self) -> Path:
        """Its key, a credential."""

    @property
    def ca_path(self) -> Path:
        """The authority's certificate."""


def node_context(settings: NodeCertificate, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Mutual TLS 1.3 as this node; raises OSError or ssl.SSLError for files that are not good."""
    return server_context(
        resolve(settings.certificate_path, environment),
        resolve(settings.key_path, environment),
        resolve(settings.ca_path, environment),
    )


def exposition(text: bytes) -> web.Response:
    """Metrics as Prometheus reads them."""
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def metrics_only(name: str, text: Callable[[], Awaitable[bytes]]) -> web.Application:
    """An application of `/metrics`, and a line that says so on `/`."""

    async def scrape(request: web.Request) -> web.Response:
        del request
        return exposition(await text())

    async def index(request: web.Request) -> web.Response:
        del request
        return web.Response(text=f"Federation {name}: metrics are at /metrics\n")

    app = web.Application(client_max_size=1024)
    app.router.add_get("/metrics", scrape)
    app.router.add_get("/", index)
    return app


def caller_of(request: web.Request) -> str:
    """The common name of the caller's certificate, or nothing. TLS has checked the rest."""
    certificate = request.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for field, value in part
             if field == "commonName"]  # fmt: skip
    return names[0] if len(names) == 1 else ""


async def serve_until(
    stop: asyncio.Event,
    app: web.Application,
    addresses: Sequence[IPv4Address | IPv6Address],
    port: int,
    context: ssl.SSLContext,
    notifier: Notifier,
    status: str,
    last: str = "request",
) -> None:
    """Listen until `stop` is set. Raises OSError.

    `status` is what systemd shows meanwhile, `last` what it says is finished at the end.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    watchdog = asyncio.create_task(notifier.keep_watchdog())
    try:
        for address in addresses:
            await web.TCPSite(runner, str(address), port, ssl_context=context).start()
        LOG.info("serving on %s", ", ".join(str(address) for address in runner.addresses))
        notifier.ready(status)
        await stop.wait()
        notifier.stopping(f"finishing the last {last}")
    finally:
        watchdog.cancel()
        with suppress(asyncio.CancelledError):
            await watchdog
        await runner.cleanup()


async def until_asked(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Serve until systemd (or a person) asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(stop)
