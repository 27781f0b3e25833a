"""The gateway's parts, put together and taken apart in the right order.

Nothing listens here: see gateway/server.py.
"""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.app import Gateway
from gateway.auth import KeyringGate
from gateway.connecting import ledger_settings
from gateway.control import control_app
from gateway.health import Health
from gateway.keyring import Keyring
from gateway.ledger_client import PooledLedger, WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.people import People
from gateway.recording import Recording
from gateway.relay import Relay
from gateway.request_log import RequestLog
from gateway.settings import GatewaySettings
from gateway.sources import Sources
from gateway.tracing import Tracer
from gateway.transport import Transport
from gateway.upstreams import Upstreams
from ledger.connect import Pool, Settings, pool
from trust.peppers import Peppers
from trust.tls import client_context

if TYPE_CHECKING:
    from gateway.span_export import SpanExport


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
    connections, ledger = _ledger(settings, reach, metrics)
    recording = Recording.open(settings, metrics, time.time_ns, material.authority.read_bytes())
    context = client_context(material.authority, material.certificate, material.key)
    transport, upstreams = _engines(settings, context, metrics)
    health = Health(ledger, upstreams, recording.audit, metrics, settings.health_interval_seconds)
    people = People.open(
        settings, reach, connections, ledger, metrics, upstreams, material.peppers.current
    )
    relay = _relay(settings, transport, upstreams, recording, people, metrics)
    log = RequestLog(time.time_ns, journal="JOURNAL_STREAM" in os.environ)
    spans = _span_export(settings, material, metrics)
    tracer = None if spans is None else Tracer(settings.tracing.sample_ratio, spans.put)
    app = Gateway(
        _gate(settings, material, people, metrics),
        people.limiter,
        relay,
        upstreams,
        control_app(health, settings.node),
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


def _ledger(
    settings: GatewaySettings, reach: Settings, metrics: GatewayMetrics
) -> tuple[Pool, WatchedLedger]:
    terms = settings.ledger
    connections = pool(
        reach,
        minimum=terms.pool_min_connections,
        maximum=terms.pool_max_connections,
        wait_seconds=terms.acquire_timeout_seconds,
    )
    step = terms.acquire_timeout_seconds + terms.statement_timeout_seconds
    return connections, WatchedLedger(PooledLedger(connections, step), metrics)


def _engines(
    settings: GatewaySettings, context: ssl.SSLContext, metrics: GatewayMetrics
) -> tuple[Transport, Upstreams]:
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
    return transport, upstreams


def _relay(
    settings: GatewaySettings,
    transport: Transport,
    upstreams: Upstreams,
    recording: Recording,
    people: People,
    metrics: GatewayMetrics,
) -> Relay:
    return Relay(
        settings.node,
        transport,
        upstreams,
        recording.audit,
        people.limiter,
        metrics,
        settings.timeouts,
        settings.limits,
        time.time_ns,
        recording.prompts,
        settings.hedging,
    )


def _gate(
    settings: GatewaySettings, material: Material, people: People, metrics: GatewayMetrics
) -> KeyringGate:
    sources = Sources(settings.keys.source_burst, settings.keys.source_per_minute)
    return KeyringGate(people.keyring, material.peppers, metrics, utc_now, sources=sources)


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
