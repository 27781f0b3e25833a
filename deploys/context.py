"""What a role's deploy is told: the federation, the node, the operator's folders, what to install.

Values only. The time comes in here, so that no deploy reads a clock.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node


@dataclass(frozen=True)
class Release:
    """Our own Python as built for nodes: wheels in `wheelhouse`, hashes in `requirements`."""

    version: str
    wheelhouse: Path
    requirements: Path


@dataclass(frozen=True)
class Engine:
    """An inference engine and the model it serves, as built for the inference nodes.

    `model` is a folder on the operator's machine that is copied to the nodes. Without it they
    serve the inventory's `model_path` where it lies on them or, lacking that too, a small model
    made there.
    """

    name: str
    version: str
    wheelhouse: Path
    requirements: Path
    model: Path | None
    model_name: str


@dataclass(frozen=True)
class Patroni:
    """What replicates PostgreSQL, as built for data nodes; `name` changes with any wheel."""

    name: str
    wheelhouse: Path


@dataclass(frozen=True)
class NodeContext:
    """Everything one role's deploy on one node depends on. `now` is UTC.

    `engine` is set for inference nodes only, `patroni` for data nodes only.
    """

    federation: Federation
    node: Node
    home: Home
    now: datetime
    release: Release
    engine: Engine | None = None
    patroni: Patroni | None = None
