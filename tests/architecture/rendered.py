"""Every file the roles put on the lab's nodes, as they render it: by node, role and path.

Each role of `deploys.sequence` is applied to a simulated node. Facts that only a role itself knows
answer with their default, a bare node's; scripts only a role knows do nothing. A role may stop
there: its files come before what needs a real node.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyinfra.api import FactBase

from deploys.facts.files import PathStates
from deploys.facts.packages import PackageStates
from deploys.facts.units import UnitStates
from deploys.sequence import stages
from tests.ops.contexts import context, federation
from tests.ops.harness import SimulatedNode, apply
from tests.ops.wheels import make_wheelhouse

SIMULATED = (PathStates, PackageStates, UnitStates)


@dataclass(frozen=True)
class Rendered:
    """One file one role manages on one node."""

    node: str
    role: str
    path: str
    text: str


class Defaults(Mapping[type[FactBase[Any]], Any]):
    """The default of every fact the simulated node does not answer itself."""

    def __contains__(self, fact: object) -> bool:
        return fact not in SIMULATED

    def __getitem__(self, fact: type[FactBase[Any]]) -> Any:
        return lambda *_args, **_kwargs: fact.default()

    def __iter__(self) -> Iterator[type[FactBase[Any]]]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Recorder(SimulatedNode):
    """A node that takes any script and remembers which files were written."""

    def play(self, name: str, argument: Any) -> Any:
        """As a simulated node; a script it does not know does nothing."""
        try:
            return super().play(name, argument)
        except AssertionError:
            return {}


def rendered(home: Path, file: str = "lab.toml") -> list[Rendered]:
    """What all roles write on all nodes of an inventory; `home` is an empty folder."""
    found = []
    logging.disable(logging.CRITICAL)
    try:
        for node in federation(file).nodes:
            for step in (role for stage in stages() for role in stage.roles_of(node)):
                simulated = Recorder()
                given = context(home, node=node.name, file=file)
                for built in (given.release, given.engine, given.patroni):
                    if built is not None:
                        make_wheelhouse(built.wheelhouse)
                with contextlib.suppress(Exception):
                    apply(step.deploy, given, simulated, Defaults())
                found += [
                    Rendered(node.name, step.name, path, state["data"].decode(errors="replace"))
                    for path, state in simulated.paths.items()
                    if state["kind"] == "file"
                ]
    finally:
        logging.disable(logging.NOTSET)
    return found
