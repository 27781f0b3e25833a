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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.app import Gateway
from gateway.auth import KeyringGate
from gateway.connecting import ledger_settings
from gateway.control import control_app
from gateway.front import Front
from gateway.health import Health
from gateway.keyring import Keyring
from gateway.ledger_client import PooledLedger, WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.metrics_app import MetricsApp
from gateway.people import People
from gateway.recording import Recording
from gateway.relay import Relay
from gateway.request_log import RequestLog
from gateway.settings import GatewaySettings
from gateway.sockets import Inherited, keep
from gateway.sources import Sources
from gateway.tracing import Tracer
from gateway.transport import Transport
from gateway.upstreams import Upstreams
from inventory.config import ConfigError
from inventory.notify import Notifier
from ledger.connect import pool
from ledger.identifiers import new_id
from trust.peppers import Peppers
from trust.tls import client_context, server_context

if TYPE_CHECKING:
    from gateway.span_export import SpanExport

logger = logging.getLogger("gateway")

SETTLE_STEP_SECONDS = 0.02
# A scrape under way, or on its way, may finish.
BACK_DRAIN_SECONDS, BACK_LINGER_SECONDS = 1.0, 0.5
# Objects made and not freed between two looks for cycles: a request makes none that stay, so that
# the default of 700 is reached by what happens to be under way.
YOUNG_OBJECTS = 20_000


@dataclass(frozen=True)
class Material:
    """What the gateway proves and checks with; paths are resolved, the peppers are read."""

    certificate: Path
    key: Path
    authority: Path
    peppers: Peppers


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
    keyring: Keyring

    @property
    def settled(self) -> bool:
        """Whether the ledger answers, changes of keys are followed, and there is an engine."""
        return self.health.ready and self.health.ledger.up and self.keyring.followed


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
    authority_pem = material.authority.read_bytes()
    recording = Recording.open(settings, metrics, utc_now, authority_pem)
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
        material.peppers.current,
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
        recording.prompts,
        settings.hedging,
    )
    log = RequestLog(utc_now, journal="JOURNAL_STREAM" in os.environ)
    sources = Sources(settings.keys.source_burst, settings.keys.source_per_minute)
    gate = KeyringGate(people.keyring, material.peppers, metrics, utc_now, sources=sources)
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
        people.distant,
        tracer,
    )
    # Not waited for: a gateway whose ledger is away starts, and says that it is not ready.
    await connections.open(wait=False)
    try:
        await recording.start()
        await people.start()
        await health.start()
        yield Parts(app, metrics, health, relay, upstreams, transport, context, people.keyring)
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
        metrics, terms = parts.metrics, (settings.timeouts, settings.limits, new_id)
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
    front.timeouts, front.limits = settings.timeouts, settings.limits
    parts.app.limits = settings.limits
    parts.transport.timeouts, parts.transport.limits = settings.timeouts, settings.limits
    parts.metrics.know(upstream.name for upstream in settings.upstreams)
    parts.upstreams.configure(settings.upstreams, settings.aliases, settings.routing)
    parts.relay.configure(settings.timeouts, settings.limits, settings.hedging)
    logging.getLogger().setLevel(settings.log_level.upper())
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
