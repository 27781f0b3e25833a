"""What a deploy goes through, in order: the list to read aloud.

A stage begins with one node alone (one for each role, where different nodes have them), then all
others follow at once, unless it says otherwise; the first failure stops everything. Planning asks
every role of a node in this same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from deploys.evaluation import Deploy
from deploys.pgbackrest import number_of
from deploys.roles.archive import archiving, repository
from deploys.roles.base import base
from deploys.roles.certificates import certificates
from deploys.roles.data import data, founding, schema
from deploys.roles.etcd import etcd
from deploys.roles.exporter import exporter
from deploys.roles.firewall import firewall
from deploys.roles.gateway import gateway
from deploys.roles.guardian import guardian
from deploys.roles.inference import inference
from deploys.roles.key_decay import key_decay
from deploys.roles.macos import macos
from deploys.roles.monitoring import monitoring
from deploys.roles.node_exporter import node_exporter
from deploys.roles.operator_user import operator_user
from deploys.roles.release import release
from deploys.roles.sequencer import sequencer
from deploys.roles.witness import witness, witness_callers
from inventory.model import Node, Platform, Role


class Order(StrEnum):
    """In which waves a stage goes through its nodes."""

    ONE_THEN_OTHERS = "one, then all others"
    TOGETHER = "all at once"  # what waits for a majority of them
    ONE_BY_ONE = "one at a time"  # of what must not restart together


@dataclass(frozen=True)
class RoleStep:
    """One role's deploy, and which nodes have it."""

    name: str
    deploy: Deploy
    applies: Callable[[Node], bool]


@dataclass(frozen=True)
class Stage:
    """Roles that are rolled out together."""

    title: str
    roles: tuple[RoleStep, ...]
    order: Order = Order.ONE_THEN_OTHERS

    def roles_of(self, node: Node) -> tuple[RoleStep, ...]:
        """The roles this stage gives to `node`, in order."""
        return tuple(role for role in self.roles if role.applies(node))

    def waves(self, nodes: tuple[Node, ...]) -> tuple[tuple[Node, ...], ...]:
        """The nodes this stage concerns, in the waves that its order says.

        By default: the first one to have each role, then all others.
        """
        concerned = tuple(node for node in nodes if self.roles_of(node))
        if self.order is Order.TOGETHER:
            return (concerned,) if concerned else ()
        if self.order is Order.ONE_BY_ONE:
            return tuple((node,) for node in concerned)
        names: set[str] = set()
        for role in self.roles:
            names |= {node.name for node in [n for n in concerned if role.applies(n)][:1]}
        first = tuple(node for node in concerned if node.name in names)
        others = tuple(node for node in concerned if node.name not in names)
        return tuple(wave for wave in (first, others) if wave)


def linux(node: Node) -> bool:
    """Nodes that run Debian."""
    return node.platform is Platform.DEBIAN


def mac(node: Node) -> bool:
    """Nodes that run macOS."""
    return node.platform is Platform.MACOS


def having(role: Role) -> Callable[[Node], bool]:
    """Debian nodes that carry `role`."""
    return lambda node: linux(node) and node.has(role)


def stages() -> tuple[Stage, ...]:
    """Every stage, in order."""
    return (
        Stage(
            "ground",
            (
                RoleStep("operator user", operator_user, linux),
                RoleStep("base", base, linux),
                RoleStep("certificates", certificates, linux),
                RoleStep("firewall", firewall, linux),
            ),
        ),
        Stage("release", (RoleStep("release", release, linux),)),
        # Before the data nodes, whose sequencers are told the keys that are pinned here.
        Stage("witnesses", (RoleStep("witness", witness, linux),)),
        Stage("consensus", (RoleStep("etcd", etcd, having(Role.DATA)),), Order.TOGETHER),
        Stage("founding", (RoleStep("founding", founding, having(Role.DATA)),), Order.TOGETHER),
        Stage("data", (RoleStep("data", data, having(Role.DATA)),), Order.ONE_BY_ONE),
        Stage(
            "services",
            (
                RoleStep("schema", schema, having(Role.DATA)),
                RoleStep("sequencer", sequencer, having(Role.DATA)),
                RoleStep("inference", inference, having(Role.INFERENCE)),
                RoleStep("node exporter", node_exporter, linux),
                RoleStep("exporter", exporter, linux),
                RoleStep("key decay", key_decay, having(Role.DATA)),
            ),
        ),
        # After the sequencers, which sign by now: a witness that was told earlier would refuse
        # those of the release before.
        Stage("callers", (RoleStep("witness callers", witness_callers, linux),)),
        Stage(
            "archive",
            (
                RoleStep("repository", repository, lambda n: linux(n) and number_of(n) is not None),
                RoleStep("archiving", archiving, having(Role.DATA)),
            ),
        ),
        # After the schema: its first question is what it gave out.
        Stage("guardian", (RoleStep("guardian", guardian, having(Role.OPERATOR)),)),
        Stage("gateway", (RoleStep("gateway", gateway, having(Role.GATEWAY)),)),
        Stage("macs", (RoleStep("macos", macos, mac),)),
        Stage("monitoring", (RoleStep("monitoring", monitoring, having(Role.MONITORING)),)),
    )
