"""The gateway's settings: what `/etc/federation/gateway.toml` may say.

Read once, in `main()`, frozen from then on. Units are in the names. Secrets are not here: the file
names the credential files that systemd decrypted for this process.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inventory.config import CREDENTIALS, ConfigPath, Settings
from inventory.sites import overlapping

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
HostName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Address = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network


class Section(BaseModel):
    """Base of the file's tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("http is for loopback only: who asks what does not travel in clear")
        return self


class Upstream(Section):
    """One OpenAI-compatible server. Empty `models`: whatever it lists under `/v1/models`.

    `url` is its root without a path (`https://node:8000`); plain http only towards this machine.
    """

    name: Name
    url: str
    models: tuple[ModelName, ...] = ()
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 256

    @model_validator(mode="after")
    def _url_is_a_root(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("url must be https://HOST:PORT")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
            raise ValueError("url must be a root: no path, query or user in it")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("http is for loopback only: prompts do not cross a network in clear")
        return self


class Routing(Section):
    """How requests find an engine, wait for one, and are tried again."""

    retries: Annotated[int, Field(ge=0, le=10)] = 2
    max_queued: Annotated[int, Field(ge=0, le=100_000)] = 256
    queue_seconds: Seconds = 10.0
    affinity_bytes: Annotated[int, Field(ge=0, le=1 << 20)] = 1024
    affinity_slack: Annotated[int, Field(ge=0, le=100_000)] = 4
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    breaker_open_seconds: Seconds = 5.0


class Hedging(Section):
    """When a second engine is asked for a model's requests, and for how many of them: a stream
    whose first bytes take longer than `after_seconds`, an answer of one piece than
    `whole_after_seconds` (see gateway/hedging.py). None: those are not hedged.
    """

    after_seconds: Seconds | None = None
    whole_after_seconds: Seconds | None = None
    max_share: Annotated[float, Field(ge=0.001, le=1)] = 0.05

    @model_validator(mode="after")
    def _hedges_something(self) -> Self:
        if self.after_seconds is None and self.whole_after_seconds is None:
            raise ValueError("needs after_seconds, whole_after_seconds or both")
        return self


class Timeouts(Section):
    """How long each step may take before the other side counts as gone."""

    handshake_seconds: Seconds = 5.0
    header_read_seconds: Seconds = 10.0
    body_read_seconds: Seconds = 30.0
    client_write_seconds: Seconds = 30.0
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 75
    upstream_connect_seconds: Seconds = 5.0
    upstream_first_byte_seconds: Seconds = 120.0
    upstream_between_bytes_seconds: Seconds = 60.0
    upstream_total_seconds: Seconds = 600.0
    upstream_health_seconds: Seconds = 5.0
    settle_seconds: Annotated[float, Field(ge=0, le=60)] = 10.0
    linger_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = 60


class Limits(Section):
    """The most a client may send, and the most an upstream may answer."""

    max_header_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 32 * 1024
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 1 << 20
    max_answer_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 << 20
    max_event_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 4 << 20
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1024
    max_handshakes_per_source: Annotated[int, Field(ge=1, le=100_000)] = 256
    max_choices: Annotated[int, Field(ge=1, le=1000)] = 8


class GatewaySettings(Settings):
    """The whole file."""

    node: Name
    listen: Listen
    metrics: Metrics
    tls: Tls = Tls()
    keys: Keys = Keys()
    quotas: Quotas = Quotas()
    ledger: Ledger
    spool: Spool = Spool()
    prompts: Prompts = Prompts()
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]
    aliases: dict[ModelName, ModelName] = Field(default_factory=dict)
    routing: Routing = Routing()
    hedging: dict[ModelName, Hedging] = Field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    tracing: Tracing = Tracing()
    health_interval_seconds: Seconds = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _upstreams_are_distinct(self) -> Self:
        names = [upstream.name for upstream in self.upstreams]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two upstreams are named {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _hedges_come_in_time(self) -> Self:
        bounds = {
            "after_seconds": "upstream_first_byte_seconds",
            "whole_after_seconds": "upstream_total_seconds",
        }
        for model, terms in self.hedging.items():
            if model in self.aliases:
                real = self.aliases[model]
                raise ValueError(f"hedging: {model!r} is an alias; write {real!r}")
            for name, bound in bounds.items():
                after, most = getattr(terms, name), getattr(self.timeouts, bound)
                if after is not None and after >= most:
                    raise ValueError(
                        f"hedging: {name} of {model!r} must be less than timeouts.{bound} ({most})"
                    )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
