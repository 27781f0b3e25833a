"""The typed inventory: what a federation is, before anything is done to it.

Every object is frozen and refuses unknown fields. The model knows names, roles, addresses and
limits; it does not know how a role is installed (`deploys/`) nor who may talk to whom (`flows`).
What a value may be is in `fields`, what is no single node's in `sections`.
Nothing outside `inventory/*.toml` may name a node.
"""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inventory import consistency
from inventory.errors import Inconsistent, UnknownNode
from inventory.fields import Address, Count, DnsLabel, DomainName, Frozen, Phrase, Port, UnixUser
from inventory.sections import Backup, Inference, Keys, Network, Ports, Tracing

HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256) [A-Za-z0-9+/]{40,200}={0,2}")


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
