"""What a deploy goes through, in order: the list to read aloud.

A stage runs on one node alone first, then on the others at once; the first failure stops
everything. Planning asks every role of a node in this same order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deploys.evaluation import Deploy
from deploys.roles.operator_user import operator_user
from inventory.model import Node, Platform


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


def stages() -> tuple[Stage, ...]:
    """Every stage, in order."""
    return (Stage("ground", (RoleStep("operator user", operator_user, linux),)),)
