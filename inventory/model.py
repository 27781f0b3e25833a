"""The typed inventory: what a federation is, before anything is done to it.

Every object is frozen and refuses unknown fields. The model knows names, roles, addresses and
limits; it does not know how a role is installed (`deploys/`) nor who may talk to whom (`flows`).
Nothing outside `inventory/*.toml` may name a node.
"""

import re
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from inventory import consistency, tool_parsers
from inventory.errors import Inconsistent, UnknownNode


def _only_text(value: object) -> object:
    """Refuse what TOML did not write as text: pydantic would take the number 1 for 0.0.0.1."""
    if isinstance(value, str | IPv4Address | IPv4Network):
        return value
    raise ValueError("expected text in quotes")


# TOML has types, so a number in quotes or `true` for 1 is a mistake, not something to convert.
Count = Annotated[int, Field(strict=True, le=2**31 - 1)]
Fraction = Annotated[float, Field(strict=True)]
Address = Annotated[IPv4Address, BeforeValidator(_only_text)]
Subnet = Annotated[IPv4Network, BeforeValidator(_only_text)]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")]
DomainName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        max_length=200,
    ),
]
WebhookUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
        max_length=400,
    ),
]
UnixUser = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
# Text that ends up in unit files, command lines and headers: no controls, no separators.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:+-]{0,119}$")]
Phrase = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,120}$")]
PathOrNothing = Annotated[
    str, StringConstraints(pattern=r"^(/[A-Za-z0-9._+@-]+)*$", max_length=400)
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256) [A-Za-z0-9+/]{40,200}={0,2}")


class Frozen(BaseModel):
    """Base of the inventory's objects: immutable, and a field nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """What a node is for. `base`, certificates and the firewall are every node's and no role."""

    INFERENCE = "inference"
    GATEWAY = "gateway"
    DATA = "data"
    MONITORING = "monitoring"
    BACKUP = "backup"
    OFFSITE = "offsite"
    WORKER = "worker"
    OPERATOR = "operator"


class Platform(StrEnum):
    """Operating systems a node may run; it decides which deploys apply."""

    DEBIAN = "debian"
    MACOS = "macos"


class Gpu(Frozen):
    """An accelerator: `model` as the vendor names it, memory in GiB."""

    model: Phrase
    memory_gib: Annotated[Count, Field(gt=0)]


class Hardware(Frozen):
    """What the machine is made of, as far as limits depend on it (memory in GiB)."""

    memory_gib: Annotated[Count, Field(gt=0)]
    cores: Annotated[Count, Field(gt=0)] | None = None
    gpu: Gpu | None = None


class Limits(Frozen):
    """Ceilings the units and the journal get on a node."""

    journal_max_mib: Annotated[Count, Field(ge=16)] = 1024
    postgres_shared_buffers_mib: Annotated[Count, Field(ge=16)] = 128
    postgres_max_connections: Annotated[Count, Field(ge=10)] = 100
    service_memory_max_mib: Annotated[Count, Field(ge=64)] = 1024
    inference_memory_max_mib: Annotated[Count, Field(ge=512)] = 8192


class Ssh(Frozen):
    """How a node is reached the first time, and the key it must show.

    `host_key` is the node's public host key (`ssh-ed25519 AAAA...`). Without it the operator pins
    the key on purpose, once, with `fedctl bootstrap NODE --host-key FINGERPRINT`.
    """

    port: Port = 22
    bootstrap_user: UnixUser = "root"
    host_key: str | None = None

    @model_validator(mode="after")
    def _host_key_is_a_public_key(self) -> Self:
        if self.host_key is not None and not HOST_KEY.fullmatch(self.host_key):
            raise ValueError(
                "host_key must be 'ssh-ed25519 BASE64' or 'ecdsa-sha2-nistp256 BASE64'"
            )
        return self


class Node(Frozen):
    """One machine. `name` is its host name; `address` the private address the others use."""

    name: DnsLabel
    address: Address
    platform: Platform = Platform.DEBIAN
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    hardware: Hardware
    limits: Limits = Limits()
    ssh: Ssh = Ssh()

    def has(self, role: Role) -> bool:
        """Whether this node carries `role`."""
        return role in self.roles


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
    Their bounds are less than the gateway's own timeouts (gateway/settings.py).
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


class Federation(Frozen):
    """A whole inventory file.

    `kind` separates a lab (made and destroyed at will) from a site (real machines): commands that
    destroy refuse a site. `name` also names the operator's state folder. `operators` are further
    people who may log in to the ledger as an operator, each with a certificate of their own.
    """

    name: DnsLabel
    kind: Literal["site", "lab"]
    domain: DomainName
    operator_user: UnixUser = "fedop"
    operators: tuple[DnsLabel, ...] = ()
    network: Network
    inference: Inference
    ports: Ports = Ports()
    backup: Backup = Backup()
    keys: Keys = Keys()
    tracing: Tracing = Tracing()
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = consistency.problems(self)
        if found:
            raise Inconsistent(found)
        return self

    def node(self, name: str) -> Node:
        """The node called `name`; raises UnknownNode."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNode(name, tuple(node.name for node in self.nodes))

    def with_role(self, role: Role) -> tuple[Node, ...]:
        """Nodes that carry `role`, in file order."""
        return tuple(node for node in self.nodes if node.has(role))

    def on(self, platform: Platform) -> tuple[Node, ...]:
        """Nodes of one platform, in file order."""
        return tuple(node for node in self.nodes if node.platform is platform)

    @property
    def guardians(self) -> tuple[Node, ...]:
        """The operator's nodes that keep the guardian's share: those that run Debian, beside a
        ledger that has its record."""
        if not self.with_role(Role.DATA):
            return ()
        return tuple(n for n in self.with_role(Role.OPERATOR) if n.platform is Platform.DEBIAN)

    def select(self, selectors: tuple[str, ...]) -> tuple[Node, ...]:
        """Nodes matching any of `selectors` (a node name or a role), in file order.

        No selector means every node. Raises UnknownNode for a selector that matches nothing.
        """
        if not selectors:
            return self.nodes
        chosen: set[str] = set()
        for selector in selectors:
            found = {n.name for n in self.nodes if selector == n.name or selector in n.roles}
            if not found:
                known = (*(n.name for n in self.nodes), *(role.value for role in Role))
                raise UnknownNode(selector, known)
            chosen |= found
        return tuple(node for node in self.nodes if node.name in chosen)

    def fqdn(self, node: Node) -> str:
        """The node's full name inside the federation."""
        return f"{node.name}.{self.domain}"
