"""The sections of an inventory file: what is the whole federation's and no single node's.

Each is valid by itself here; what must hold between them is `inventory.consistency`'s.
"""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from inventory import tool_parsers
from inventory.fields import (
    Address,
    Count,
    DnsLabel,
    DomainName,
    Fraction,
    Frozen,
    PathOrNothing,
    Port,
    Subnet,
    TimeOfDay,
    WebhookUrl,
    Weekday,
    Word,
)


class Network(Frozen):
    """The private network: who is inside, who may be a client, where names and time come from.

    Empty `dns_servers` means "those of the operator's machine" and is for labs only.
    """

    subnet: Subnet
    operator_addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    client_networks: tuple[Subnet, ...] = ()
    sites: dict[DnsLabel, tuple[Subnet, ...]] = Field(default_factory=dict)
    dns_servers: tuple[Address, ...] = ()
    ntp_servers: tuple[DomainName, ...] = ("2.debian.pool.ntp.org",)


class Inference(Frozen):
    """The engine and the model it serves; an empty `model_path` means the lab's own small model,
    an empty `tool_call_parser` that the model calls no tools by itself.

    `hedge_after_seconds`: how long an engine may take to begin a stream before a second one is
    asked as well, `hedge_whole_after_seconds` the same for answers of one piece; None: never.
    Their bounds are less than the gateway's own timeouts (gateway/relay_settings.py).
    """

    engine: Literal["cuda", "cpu"]
    engine_version: Word
    served_model_name: Word
    model_path: PathOrNothing = ""
    max_model_len: Annotated[Count, Field(ge=128)] = 8192
    gpu_memory_utilization: Annotated[Fraction, Field(gt=0.1, le=0.95)] = 0.85
    cpu_kvcache_gib: Annotated[Count, Field(ge=1)] = 1
    tool_call_parser: Annotated[str, AfterValidator(tool_parsers.known)] = ""
    hedge_after_seconds: Annotated[Fraction, Field(gt=0, le=60)] | None = None
    hedge_whole_after_seconds: Annotated[Fraction, Field(gt=0, le=300)] | None = None
    hedge_max_share: Annotated[Fraction, Field(ge=0.001, le=1)] = 0.05

    @property
    def hedged(self) -> bool:
        """Whether a slow request is sent to a second engine."""
        return (self.hedge_after_seconds or self.hedge_whole_after_seconds) is not None


class Backup(Frozen):
    """What is kept of backups, and when they are made. Times are UTC.

    `keep_full` weekly and `keep_differential` nightly backups stay in the first repository,
    `keep_offsite` monthly ones in the second; WAL between them stays as long as the first
    repository's oldest full backup, and for the newest `keep_offsite_archive` monthly ones.
    """

    keep_full: Annotated[Count, Field(ge=1)] = 4
    keep_differential: Annotated[Count, Field(ge=1)] = 14
    keep_offsite: Annotated[Count, Field(ge=1)] = 12
    keep_offsite_archive: Annotated[Count, Field(ge=1)] = 2
    full_on: Weekday = "Sun"
    nightly_at: TimeOfDay = "02:00"
    offsite_at: TimeOfDay = "03:00"
    restore_test_on: Weekday = "Sun"
    restore_test_at: TimeOfDay = "04:00"
    restore_test_max_gib: Annotated[Count, Field(ge=1)] = 256
    archive_timeout_seconds: Annotated[Count, Field(ge=10, le=3600)] = 60


class Keys(Frozen):
    """Whom the key decay tells of keys that weaken and end, besides the log.

    `webhook_url` is https, without a user in it; `webhook_address` is where its host is, which the
    data nodes' firewalls then let them reach. Both or neither.
    """

    webhook_url: WebhookUrl | None = None
    webhook_address: Address | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_address is None):
            raise ValueError("webhook_url and webhook_address belong together")
        return self

    @property
    def webhook_port(self) -> int:
        """The port of the webhook; 443 unless its URL says otherwise."""
        return urlsplit(self.webhook_url or "").port or 443


class Tracing(Frozen):
    """Where gateways send spans: the node with an OpenTelemetry collector; empty means nowhere.

    `sample_ratio` of all requests are traced.
    """

    collector: DnsLabel | Literal[""] = ""
    sample_ratio: Annotated[Fraction, Field(ge=0, le=1)] = 1.0


class Ports(Frozen):
    """Where each service listens; one table, so that no two parts disagree."""

    gateway: Port = 8443
    gateway_metrics: Port = 9102
    vllm: Port = 8000
    postgres: Port = 5432
    patroni: Port = 8008
    etcd_client: Port = 2379
    etcd_peer: Port = 2380
    etcd_metrics: Port = 2381
    pgbackrest: Port = 8432
    pgbackrest_repository: Port = 8433
    prometheus: Port = 9090
    alertmanager: Port = 9093
    node_exporter: Port = 9100
    federation_exporter: Port = 9101
    witness: Port = 9104
    sequencer: Port = 9105
    guardian: Port = 9106
    postgres_exporter: Port = 9187
    otlp: Port = 4318
