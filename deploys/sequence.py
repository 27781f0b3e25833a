"""What a deploy goes through, in order: the list to read aloud.

A stage runs on one node alone first, then on the others at once; the first failure stops
everything. Planning asks every role of a node in this same order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deploys.evaluation import Deploy
from deploys.roles.base import base
from deploys.roles.certificates import certificates
from deploys.roles.data import data
from deploys.roles.firewall import firewall
from deploys.roles.inference import inference
from deploys.roles.monitoring import monitoring
from deploys.roles.node_exporter import node_exporter
from deploys.roles.operator_user import operator_user
from deploys.roles.release import release
from inventory.model import Node, Platform, Role


@dataclass(frozen=True)
class RoleStep:
    """One role's deploy, and which nodes have it."""

    name: str
    deploy: Deploy
    applies: Callable[[Node], bool]


@dataclass(frozen=True)
class Stage:
    """Roles that are rolled out together; `alone_first`: one node before all others."""

    title: str
    roles: tuple[RoleStep, ...]
    alone_first: bool = True

    def roles_of(self, node: Node) -> tuple[RoleStep, ...]:
        """The roles this stage gives to `node`, in order."""
        return tuple(role for role in self.roles if role.applies(node))

    def waves(self, nodes: tuple[Node, ...]) -> tuple[tuple[Node, ...], ...]:
        """The nodes this stage concerns, grouped into those that go at once."""
        concerned = tuple(node for node in nodes if self.roles_of(node))
        if not self.alone_first or len(concerned) < 2:
            return (concerned,) if concerned else ()
        return (concerned[:1], concerned[1:])


def linux(node: Node) -> bool:
    """Nodes that run Debian."""
    return node.platform is Platform.DEBIAN


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
        # Different nodes, each the only one of its kind: there is none to try first.
        Stage(
            "data and inference",
            (
                RoleStep("data", data, having(Role.DATA)),
                RoleStep("inference", inference, having(Role.INFERENCE)),
            ),
            alone_first=False,
        ),
        Stage("exporters", (RoleStep("node exporter", node_exporter, linux),)),
        Stage("monitoring", (RoleStep("monitoring", monitoring, having(Role.MONITORING)),)),
    )
