"""Sockets, signals and the order of beginning and end.

Begin: sockets (inherited or bound), ledger pool, keys, engines; when all answer, or after
`settle_seconds`, accept, READY. End (SIGTERM, SIGINT): readiness off, STOPPING, every answer closes
its connection; after `linger_seconds` nothing is accepted, answers under way may finish for
`drain_seconds` in all, then they are cut and recorded as such; the metrics stay until all that is
done. Who connects meanwhile waits in the backlog of the sockets, which systemd holds, for the next
process (gateway/sockets.py).
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.assembly import Material, Parts, assembled
from gateway.front import Front
from gateway.metrics_app import MetricsApp
from gateway.settings import GatewaySettings
from gateway.sockets import Inherited, keep
from inventory.config import ConfigError
from inventory.notify import Notifier
from ledger.identifiers import new_text
from trust.tls import server_context

logger = logging.getLogger("gateway")

SETTLE_STEP_SECONDS = 0.02
# A scrape under way, or on its way, may finish.
BACK_DRAIN_SECONDS, BACK_LINGER_SECONDS = 1.0, 0.5
# Objects made and not freed between two looks for cycles: a request makes none that stay, so that
# the default of 700 is reached by what happens to be under way.
YOUNG_OBJECTS = 20_000


def settle_memory() -> None:
    """Leave what is there at the start out of every later search for cycles, and search less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


Reread = Callable[[], GatewaySettings]


async def serve(
    settings: GatewaySettings, material: Material, notifier: Notifier, reread: Reread
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP takes what `reread` says from then on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    public_tls = server_context(material.certificate, material.key)
    private_tls = server_context(material.certificate, material.key, material.authority)
    # Bound or taken over first: who connects from now on waits in the backlog, and is not refused.
    inherited = Inherited.from_environment(os.environ)
    public = inherited.open(settings.listen.addresses, settings.listen.port)
    private = inherited.open(settings.metrics.addresses, settings.metrics.port)
    inherited.close(notifier)
    keep((*public, *private), notifier)
    async with assembled(settings, material) as parts:
        metrics, terms = parts.metrics, (settings.timeouts, settings.limits, new_text)
        front = Front(parts.app, *terms, parts.app.refused, metrics.turned_away)
        back = Front(MetricsApp(metrics, parts.upstreams, settings.node), *terms)
        await _until_settled(parts, settings.timeouts.settle_seconds)
        front.listen(public, public_tls if settings.listen.tls else None)
        back.listen(private, private_tls)
        _measure(parts, front, loop)
        watchdog = asyncio.create_task(notifier.keep_watchdog())
        settle_memory()
        notifier.ready(f"serving on port {_port(public)}")
        ports = {"port": _port(public), "metrics_port": _port(private)}
        logger.info("ready", extra={"node": settings.node, **ports})
        contexts = (public_tls, private_tls, parts.context)
        loop.add_signal_handler(
            signal.SIGHUP, lambda: reload(reread, material, parts, front, contexts)
        )
        await stop.wait()
        parts.health.drain()
        notifier.stopping("draining")
        back.draining = True
        timeouts = front.timeouts
        logger.info("draining", extra={"seconds": timeouts.drain_seconds})
        await front.drain(timeouts.drain_seconds, timeouts.linger_seconds)
        await front.close()
        await back.drain(BACK_DRAIN_SECONDS, min(BACK_LINGER_SECONDS, timeouts.linger_seconds))
        await back.close()
        watchdog.cancel()
    logger.info("stopped")


def reload(
    reread: Reread,
    material: Material,
    parts: Parts,
    front: Front,
    contexts: Sequence[ssl.SSLContext],
) -> None:
    """Take the file's settings and the certificate as they are now, for requests from now on.

    What needs another socket, database or pepper needs a restart: addresses, ports, `ledger`,
    `tls`, `keys`, `quotas`, `tracing`. A file that is wrong changes nothing.
    """
    try:
        settings = reread()
        for context in contexts:
            context.load_cert_chain(material.certificate, material.key)
    except (ConfigError, OSError) as error:
        logger.error("reload refused", extra={"why": str(error)})
        return
    front.configure(settings.timeouts, settings.limits)
    parts.transport.configure(settings.timeouts, settings.limits)
    parts.metrics.know(upstream.name for upstream in settings.upstreams)
    parts.upstreams.configure(settings.upstreams, settings.aliases, settings.routing)
    parts.relay.configure(settings.timeouts, settings.limits, settings.hedging)
    logging.getLogger().setLevel(settings.log_level.upper())
    parts.app.configure(settings.limits)
    parts.health.look_soon()
    logger.info("reloaded", extra={"upstreams": len(settings.upstreams)})


async def _until_settled(parts: Parts, seconds: float) -> None:
    """Wait so long at most: the first who are served shall not pay for what is still on its way."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not parts.settled:  # noqa: ASYNC110
                await asyncio.sleep(SETTLE_STEP_SECONDS)


def _measure(parts: Parts, front: Front, loop: asyncio.AbstractEventLoop) -> None:
    metrics = parts.metrics
    metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
    metrics.client_connections.set_function(lambda: len(front.connections))
    metrics.client_handshakes.set_function(lambda: front.arrivals.pending)
    metrics.upstream_connections.set_function(lambda: parts.transport.open)


def _port(sockets: Sequence[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])
