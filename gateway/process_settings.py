"""The tables of the gateway's file that a process keeps to its end: another value needs a restart.

Where it listens, and with which certificates; what it knows of keys and shares of limits; where the
record of requests goes, first on this disk and then to the ledger; where spans go. How requests are
relayed is in gateway/relay_settings.py.
"""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from gateway.fields import Address, AnyNetwork, HostName, Name, Port, Seconds, Section, is_loopback
from inventory.config import CREDENTIALS, ConfigPath
from inventory.sites import overlapping


class Listen(Section):
    """Where clients connect. Port 0 lets the kernel choose (tests)."""

    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    port: Port = 8443
    tls: bool = True

    @model_validator(mode="after")
    def _plain_only_here(self) -> Self:
        if not self.tls and not all(address.is_loopback for address in self.addresses):
            raise ValueError("without TLS only loopback addresses may be listened on")
        return self


class Metrics(Section):
    """Where Prometheus scrapes: TLS 1.3 with a client certificate of the federation required."""

    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    port: Port = 9102


class Tls(Section):
    """Certificate files. The same node certificate serves clients and calls upstreams."""

    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")


class Keys(Section):
    """API keys: the peppers that turn a presented secret into the digest the ledger stores, and how
    long and how much of what the ledger said is remembered (see gateway/keyring.py).
    """

    pepper_path: ConfigPath = CREDENTIALS / "key-pepper"
    poll_seconds: Annotated[float, Field(ge=0.05, le=10)] = 0.25
    lease_seconds: Annotated[float, Field(ge=0.2, le=60)] = 0.9
    stale_seconds: Annotated[float, Field(ge=0, le=7 * 86400)] = 3600.0
    # A key is looked up while its request waits.
    lookup_seconds: Annotated[float, Field(ge=0.2, le=60)] = 1.5
    max_cached: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    max_unknown: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    source_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    source_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    # Networks that are one place, by its name (see gateway/distant.py).
    sites: dict[Name, tuple[AnyNetwork, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _polls_within_the_lease(self) -> Self:
        if self.poll_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice poll_seconds")
        return self

    @model_validator(mode="after")
    def _sites_are_apart(self) -> Self:
        found = overlapping(self.sites)
        if found is not None:
            raise ValueError("sites: " + found)
        return self


class Quotas(Section):
    """Limits of keys and tenants: how shares of them are held (see gateway/limits)."""

    lease_seconds: Annotated[float, Field(ge=2, le=86400)] = 60.0
    patience_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    assumed_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] = 4096
    worker: Annotated[int, Field(ge=0, le=1000)] = 0


class Spool(Section):
    """The local record of requests, on its way to the ledger."""

    path: ConfigPath = Path("/var/lib/federation/gateway/spool")
    segment_kib: Annotated[int, Field(ge=64, le=1 << 20)] = 16 * 1024
    max_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 2048

    @model_validator(mode="after")
    def _some_segments_fit(self) -> Self:
        if self.max_mib * 1024 < 3 * self.segment_kib:
            raise ValueError("max_mib must hold three segments")
        return self


class Prompts(Section):
    """Prompts and answers of tenants that have them stored (see gateway/prompts.py): the most that
    one request's may be, and all together while they wait for the ledger.
    """

    max_kib: Annotated[int, Field(ge=1, le=7 * 1024)] = 1024
    max_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 512


class Ledger(Section):
    """The Postgres servers, of which one takes writes. Certificates are those of `[tls]`.

    `addresses`, when given, are where the hosts are, one each, so that no name has to be resolved.
    """

    hosts: Annotated[tuple[HostName, ...], Field(min_length=1)]
    addresses: tuple[Address, ...] = ()
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: Annotated[str, StringConstraints(min_length=1, max_length=63)] = "federation"
    user: Annotated[str, StringConstraints(min_length=1, max_length=63)] = "fed_gateway"
    pool_min_connections: Annotated[int, Field(ge=1, le=100)] = 2
    pool_max_connections: Annotated[int, Field(ge=1, le=100)] = 8
    connect_timeout_seconds: Seconds = 5.0
    acquire_timeout_seconds: Seconds = 3.0
    statement_timeout_seconds: Seconds = 5.0

    @model_validator(mode="after")
    def _pool_is_a_range(self) -> Self:
        if self.pool_min_connections > self.pool_max_connections:
            raise ValueError("pool_min_connections must not exceed pool_max_connections")
        return self

    @model_validator(mode="after")
    def _one_address_a_host(self) -> Self:
        if self.addresses and len(self.addresses) != len(self.hosts):
            raise ValueError("addresses must be as many as hosts, or none")
        return self


class Tracing(Section):
    """Spans for an OpenTelemetry collector; without an endpoint there are none.

    `endpoint` is where it takes traces by OTLP over HTTP (`https://node:4318/v1/traces`), over TLS
    with the certificates of `[tls]`; plain http only towards this machine.
    """

    endpoint: Annotated[str, StringConstraints(max_length=500)] | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    max_queued: Annotated[int, Field(ge=1, le=100_000)] = 2048

    @model_validator(mode="after")
    def _endpoint_is_an_address(self) -> Self:
        if self.endpoint is None:
            return self
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
            raise ValueError("endpoint must be https://HOST:PORT/PATH")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("http is for loopback only: who asks what does not travel in clear")
        return self
