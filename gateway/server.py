"""Sockets, signals and the order of beginning and end.

Begin: ledger pool, engines, one look at both, listen, READY. End (SIGTERM, SIGINT): readiness off,
STOPPING, no new connections, answers under way may finish for `drain_seconds`, then they are cut
and recorded as such; the metrics stay until all that is done.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import uvicorn

from gateway.app import Gateway
from gateway.audit import LedgerAudit
from gateway.auth import KeyringGate
from gateway.control import control_app
from gateway.health import Health
from gateway.ledger_client import PooledLedger, WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.metrics_app import MetricsApp
from gateway.people import People
from gateway.protocol import guarded
from gateway.relay import Relay
from gateway.settings import GatewaySettings
from gateway.transport import Transport
from gateway.upstreams import Upstreams
from inventory.notify import Notifier
from ledger.connect import Settings as LedgerSettings
from ledger.connect import pool
from ledger.identifiers import new_id
from trust.apikeys import Pepper
from trust.tls import client_context, server_context

logger = logging.getLogger("gateway")

BACKLOG = 2048
# After the drain: how long cut requests may take to record their end.
SETTLE_SECONDS = 10


@dataclass(frozen=True)
class Material:
    """What the gateway proves and checks with; paths are resolved, the pepper is read."""

    certificate: Path
    key: Path
    authority: Path
    pepper: Pepper


@dataclass(frozen=True)
class Parts:
    """A gateway put together, before it listens."""

    app: Gateway
    metrics: GatewayMetrics
    health: Health
    relay: Relay


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers: ours decide the order in which two servers end."""

    @contextmanager
    def capture_signals(self) -> Any:
        """Leave signals alone."""
        yield


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def assembled(settings: GatewaySettings, material: Material) -> AsyncIterator[Parts]:
    """All parts, connected to the ledger and the engines; closed in the right order afterwards."""
    metrics = GatewayMetrics(upstream.name for upstream in settings.upstreams)
    connections = pool(
        ledger_settings(settings, material),
        minimum=settings.ledger.pool_min_connections,
        maximum=settings.ledger.pool_max_connections,
        wait_seconds=settings.ledger.acquire_timeout_seconds,
    )
    step = settings.ledger.acquire_timeout_seconds + settings.ledger.statement_timeout_seconds
    ledger = WatchedLedger(PooledLedger(connections, step), metrics)
    audit = LedgerAudit(ledger, metrics, utc_now)
    context = client_context(material.authority, material.certificate, material.key)
    transport = Transport.open(context, settings.timeouts, settings.limits)
    upstreams = Upstreams(
        settings.upstreams, transport, metrics, settings.timeouts.upstream_health_seconds
    )
    health = Health(ledger, upstreams, audit, metrics, settings.health_interval_seconds)
    people = People.open(
        settings,
        ledger_settings(settings, material),
        connections,
        ledger,
        metrics,
        upstreams.context_of,
    )
    relay = Relay(
        settings.node, transport, audit, people.limiter, metrics, settings.limits, utc_now, new_id
    )
    app = Gateway(
        KeyringGate(people.keyring, material.pepper, metrics, utc_now),
        people.limiter,
        relay,
        upstreams,
        control_app(health, settings.node),
        metrics,
        settings.timeouts,
        settings.limits,
        lambda: str(new_id()),
    )
    # Not waited for: a gateway whose ledger is away starts, and says that it is not ready.
    await connections.open(wait=False)
    try:
        await people.start()
        await health.start()
        yield Parts(app, metrics, health, relay)
    finally:
        await people.stop()
        await health.stop()
        await transport.close()
        await connections.close(timeout=5)


def ledger_settings(settings: GatewaySettings, material: Material) -> LedgerSettings:
    """How the pool connects: with the node's certificate, which is who we are there."""
    ledger = settings.ledger
    return LedgerSettings(
        hosts=ledger.hosts,
        addresses=tuple(str(address) for address in ledger.addresses),
        port=ledger.port,
        dbname=ledger.database,
        user=ledger.user,
        sslcert=material.certificate,
        sslkey=material.key,
        sslrootcert=material.authority,
        connect_timeout_seconds=min(60.0, ledger.connect_timeout_seconds),
        statement_timeout_seconds=min(3600.0, ledger.statement_timeout_seconds),
        application_name=f"gateway@{settings.node}",
    )


async def serve(
    settings: GatewaySettings,
    material: Material,
    notifier: Notifier,
    listening: asyncio.Future[tuple[int, int]] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT. `listening` is told both ports (tests let the kernel choose)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    public_tls = server_context(material.certificate, material.key)
    private_tls = server_context(material.certificate, material.key, material.authority)
    public = bind(settings.listen.addresses, settings.listen.port)
    private = bind(settings.metrics.addresses, settings.metrics.port)
    async with assembled(settings, material) as parts:
        front = _server(parts.app, settings, public_tls)
        back = _server(MetricsApp(parts.metrics), settings, private_tls)
        serving = asyncio.create_task(front.serve(sockets=public))
        measuring = asyncio.create_task(back.serve(sockets=private))
        watchdog = asyncio.create_task(notifier.keep_watchdog())
        await _started(front, serving)
        await _started(back, measuring)
        notifier.ready(f"serving on port {_port(public)}")
        ports = {"port": _port(public), "metrics_port": _port(private)}
        logger.info("ready", extra={"node": settings.node, **ports})
        if listening is not None:
            listening.set_result((_port(public), _port(private)))
        await _until_stopped(stop, serving, measuring)
        parts.health.drain()
        notifier.stopping("draining")
        logger.info("draining", extra={"seconds": settings.timeouts.drain_seconds})
        front.should_exit = True
        await serving
        await _settle(front, parts)
        back.should_exit = True
        await measuring
        watchdog.cancel()
    logger.info("stopped")


def bind(addresses: Sequence[IPv4Address | IPv6Address], port: int) -> list[socket.socket]:
    """Listening sockets on each address, all on one port (the kernel's choice for 0)."""
    sockets: list[socket.socket] = []
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        listener = socket.create_server((str(address), port), family=family, backlog=BACKLOG)
        port = port or int(listener.getsockname()[1])
        sockets.append(listener)
    return sockets


def _server(app: Any, settings: GatewaySettings, context: ssl.SSLContext) -> QuietServer:
    return QuietServer(
        uvicorn.Config(
            app,
            http=guarded(settings.timeouts, settings.limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=settings.timeouts.keep_alive_seconds,
            timeout_graceful_shutdown=settings.timeouts.drain_seconds,
            ssl_context_factory=lambda _config, _default: context,
        )
    )


async def _started(server: QuietServer, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise RuntimeError("the server ended before it began")
        await asyncio.sleep(0.01)


async def _until_stopped(stop: asyncio.Event, *servers: asyncio.Task[None]) -> None:
    """Wait for the signal; a server that ends before it is a failure, and raised."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, *servers), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for server in servers:
        if server.done():
            server.result()
            raise RuntimeError("a server ended by itself")


async def _settle(front: QuietServer, parts: Parts) -> None:
    """Let requests that the drain's end has cut record that."""
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*front.server_state.tasks, return_exceptions=True)
            await parts.relay.settle()
    except TimeoutError:
        logger.error("some requests could not record their end")


def _port(sockets: Sequence[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])
