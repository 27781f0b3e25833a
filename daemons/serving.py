"""Serve an HTTP application until asked to stop, as systemd wants it: ready, alive, stopping."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from aiohttp import web

from inventory.notify import Notifier

LOG = logging.getLogger(__name__)


async def serve_until(
    stop: asyncio.Event,
    app: web.Application,
    addresses: Sequence[IPv4Address | IPv6Address],
    port: int,
    context: ssl.SSLContext,
    notifier: Notifier,
    status: str,
) -> None:
    """Listen until `stop` is set; `status` is what systemd shows. Raises OSError."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    watchdog = asyncio.create_task(notifier.keep_watchdog())
    try:
        for address in addresses:
            await web.TCPSite(runner, str(address), port, ssl_context=context).start()
        LOG.info("serving on %s", ", ".join(str(address) for address in runner.addresses))
        notifier.ready(status)
        await stop.wait()
        notifier.stopping("finishing the last request")
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
