"""What our deploys make of each node, as data: recorded on a bare simulated node.

The Ansible peer of `make bench-deploy` keeps exactly this state, so that both tools look after the
same files, packages and units and neither has less to check.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from deploys.context import NodeContext
from deploys.sequence import stages
from tests.ops.harness import apply
from tests.ops.simulated import SimulatedNode


@dataclass
class Desired:
    """One node's state: what each script that changes nodes was asked to do, in order."""

    directories: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


class RecordingNode(SimulatedNode):
    """A bare node that remembers what it was told to become."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, list[Any]] = defaultdict(list)

    def play(self, name: str, argument: Any) -> Any:
        """Play the script and keep what it was given; scripts nobody simulates answer nothing."""
        self.told[name].append(argument)
        try:
            return super().play(name, argument)
        except AssertionError:
            return {}


def desired(context: NodeContext) -> Desired:
    """The state the deploys give `context.node`."""
    node = RecordingNode()
    for stage in stages():
        for step in stage.roles_of(context.node):
            apply(step.deploy, context, node)
    return _collected(node.told)


def _collected(told: dict[str, list[Any]]) -> Desired:
    found = Desired()
    for argument in told.pop("files_write", []):
        found.directories += argument["directories"]
        found.files += argument["files"]
        found.links += argument["links"]
        found.absent += argument["absent"]
    for argument in told.pop("packages_install", []):
        found.packages += argument["packages"]
    for argument in told.pop("units_apply", []):
        found.units += [name for _, name in argument["start"] if name not in found.units]
        found.masked += argument["mask"]
    for reads in ("files_state", "packages_state", "units_state"):
        told.pop(reads, None)
    found.other = [name for name in told for _ in told[name]]
    return found
