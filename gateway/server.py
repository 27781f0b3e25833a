"""Sockets, signals and the order of beginning and end.

Begin: ledger pool, engines, one look at both, listen, READY. End (SIGTERM, SIGINT): readiness off,
STOPPING, no new connections, answers under way may finish for `drain_seconds`, then they are cut
and recorded as such; the metrics stay until all that is done.
"""

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.app import Gateway
from gateway.auth import KeyringGate
from gateway.connecting import ledger_settings
from gateway.control import control_app
from gateway.errors import Refused
from gateway.front import BACKLOG, Front, Handler
from gateway.health import Health
from gateway.ledger_client import PooledLedger, WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.metrics_app import MetricsApp
from gateway.people import People
from gateway.recording import Recording
from gateway.relay import Relay
from gateway.request_log import RequestLog
from gateway.settings import GatewaySettings
from gateway.sources import Sources
from gateway.tracing import Tracer
from gateway.transport import Transport
from gateway.upstreams import Upstreams
from inventory.config import ConfigError
from inventory.notify import Notifier
from ledger.connect import pool
from ledger.identifiers import new_id
from trust.apikeys import Pepper
from trust.tls import client_context, server_context

if TYPE_CHECKING:
    from gateway.span_export import SpanExport

logger = logging.getLogger("gateway")

# A scrape under way may finish.
BACK_DRAIN_SECONDS = 1.0


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
    upstreams: Upstreams
    transport: Transport
    context: ssl.SSLContext  # towards engines


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def assembled(settings: GatewaySettings, material: Material) -> AsyncIterator[Parts]:
    """All parts, connected to the ledger and the engines; closed in the right order afterwards."""
    metrics = GatewayMetrics(upstream.name for upstream in settings.upstreams)
    reach = ledger_settings(
        settings, material.certificate, material.key, material.authority, f"gateway@{settings.node}"
    )
    connections = pool(
        reach,
        minimum=settings.ledger.pool_min_connections,
        maximum=settings.ledger.pool_max_connections,
        wait_seconds=settings.ledger.acquire_timeout_seconds,
    )
    step = settings.ledger.acquire_timeout_seconds + settings.ledger.statement_timeout_seconds
    ledger = WatchedLedger(PooledLedger(connections, step), metrics)
    recording = Recording.open(settings, metrics, utc_now)
    context = client_context(material.authority, material.certificate, material.key)
    transport = Transport(context, settings.timeouts, settings.limits)
    upstreams = Upstreams(
        settings.upstreams,
        settings.aliases,
        settings.routing,
        transport,
        metrics,
        settings.timeouts.upstream_health_seconds,
        utc_now,
        drains=None,
    )
    health = Health(ledger, upstreams, recording.audit, metrics, settings.health_interval_seconds)
    people = People.open(
        settings,
        reach,
        connections,
        ledger,
        metrics,
        upstreams,
        material.pepper,
    )
    relay = Relay(
        settings.node,
        transport,
        upstreams,
        recording.audit,
        people.limiter,
        metrics,
        settings.timeouts,
        settings.limits,
        utc_now,
    )
    log = RequestLog(utc_now, journal="JOURNAL_STREAM" in os.environ)
    sources = Sources(settings.keys.source_burst, settings.keys.source_per_minute)
    gate = KeyringGate(people.keyring, material.pepper, metrics, utc_now, sources=sources)
    control = control_app(health, settings.node)
    spans = _span_export(settings, material, metrics)
    tracer = None if spans is None else Tracer(settings.tracing.sample_ratio, spans.put)
    app = Gateway(
        gate,
        people.limiter,
        relay,
        upstreams,
        control,
        metrics,
        settings.limits,
        log,
        people.misuse,
        people.own_key,
        people.step_up,
        tracer,
    )
    # Not waited for: a gateway whose ledger is away starts, and says that it is not ready.
    await connections.open(wait=False)
    try:
        await recording.start()
        await people.start()
        await health.start()
        yield Parts(app, metrics, health, relay, upstreams, transport, context)
    finally:
        await people.stop()
        await health.stop()
        await transport.close()
        log.flush()
        if spans is not None:
            await asyncio.to_thread(spans.stop)
        await recording.stop()
        await connections.close(timeout=5)


def _span_export(
    settings: GatewaySettings, material: Material, metrics: GatewayMetrics
) -> "SpanExport | None":
    """Where spans go; None without a collector, and then nothing of OpenTelemetry is loaded."""
    tracing = settings.tracing
    if tracing.endpoint is None:
        return None
    from gateway.span_export import SpanExport

    return SpanExport(
        tracing.endpoint,
        settings.node,
        tracing.max_queued,
        metrics,
        authority=material.authority,
        certificate=material.certificate,
        key=material.key,
    )


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
    public = bind(settings.listen.addresses, settings.listen.port)
    private = bind(settings.metrics.addresses, settings.metrics.port)
    async with assembled(settings, material) as parts:
        front = _front(parts.app, settings, parts.app.refused)
        back = _front(MetricsApp(parts.metrics, parts.upstreams, settings.node), settings)
        await front.listen(public, public_tls if settings.listen.tls else None)
        await back.listen(private, private_tls)
        metrics = parts.metrics
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        metrics.client_connections.set_function(lambda: len(front.connections))
        metrics.upstream_connections.set_function(lambda: parts.transport.open)
        watchdog = asyncio.create_task(notifier.keep_watchdog())
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
        logger.info("draining", extra={"seconds": settings.timeouts.drain_seconds})
        await front.drain(settings.timeouts.drain_seconds)
        await front.close()
        await back.drain(BACK_DRAIN_SECONDS)
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
    front.timeouts, front.limits = settings.timeouts, settings.limits
    parts.app.limits = settings.limits
    parts.transport.timeouts, parts.transport.limits = settings.timeouts, settings.limits
    parts.relay.configure(settings.timeouts, settings.limits)
    parts.metrics.know(upstream.name for upstream in settings.upstreams)
    parts.upstreams.configure(settings.upstreams, settings.aliases, settings.routing)
    logging.getLogger().setLevel(settings.log_level.upper())
    parts.health.look_soon()
    logger.info("reloaded", extra={"upstreams": len(settings.upstreams)})


def bind(addresses: Sequence[IPv4Address | IPv6Address], port: int) -> list[socket.socket]:
    """Listening sockets on each address, all on one port (the kernel's choice for 0)."""
    sockets: list[socket.socket] = []
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        listener = socket.create_server((str(address), port), family=family, backlog=BACKLOG)
        port = port or int(listener.getsockname()[1])
        sockets.append(listener)
    return sockets


def _front(
    handler: Handler,
    settings: GatewaySettings,
    refused: Callable[[Refused], None] = lambda _refusal: None,
) -> Front:
    return Front(handler, settings.timeouts, settings.limits, new_id, refused)


def _port(sockets: Sequence[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])
