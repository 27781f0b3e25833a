"""Install a Python environment on a node from wheels built by the operator: one fact, two commands.

The node is asked what it has; only wheels it lacks are copied. It never asks an index.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host

from deploys import wheelhouse
from deploys.changes import announce
from deploys.errors import BuildMissing
from deploys.facts.environments import Environments, EnvironmentState
from deploys.protocol import Change
from deploys.script import NodeScript
from deploys.ship import Destination, Ship

ROOT = "/opt/federation"
RELEASES = f"{ROOT}/releases"
ENGINES = f"{ROOT}/engines"
PATRONIS = f"{ROOT}/patroni"
WHEELHOUSE = f"{ROOT}/wheelhouse"
CURRENT = f"{ROOT}/current"
PREVIOUS = f"{ROOT}/previous"
TIMEOUT_SECONDS = 1500


@dataclass(frozen=True)
class Environment:
    """A Python environment: where it goes, what is imported to try it, how many old ones stay.

    `link` (with `previous`) is swapped to it once it is there. `compile` writes bytecode, for units
    that may not write it themselves.
    """

    folder: str
    name: str
    wheels: Path
    imports: Sequence[str] = ()
    link: str = ""
    previous: str = ""
    keep: int = 3
    compile: bool = True

    @property
    def path(self) -> str:
        """Where it is on the node."""
        return f"{self.folder}/{self.name}"


@operation()
def environment(wanted: Environment, to: Destination) -> Generator[PyinfraCommand, None, None]:
    """Have this environment on the node, complete, in use if it has a link."""
    house = wheelhouse.opened(wanted.wheels)
    if house is None:
        raise BuildMissing(f"{wanted.wheels} is not a complete wheelhouse; build it again")
    state = host.get_fact(
        EnvironmentState, folder=wanted.folder, link=wanted.link, wheelhouse=WHEELHOUSE
    )
    changes = difference(state, wanted, house.digest)
    if not changes:
        host.noop(f"{wanted.name} is installed")
        return
    announce(changes)
    if state.installed.get(wanted.name) != house.digest:
        names = missing(state, house.sums, {n: size(house.folder / n) for n in house.sums})
        if bad := wheelhouse.damaged(house, names):
            raise BuildMissing(f"damaged in {house.folder}: {', '.join(bad)}; remove that folder")
        if names:
            files = {name: house.folder / name for name in names}
            yield Ship(to, f"{WHEELHOUSE}/incoming", files)
    describe = [str(change) for change in changes]
    argument = install_argument(wanted, house)
    yield NodeScript("environment_install", argument, describe, timeout_seconds=TIMEOUT_SECONDS)


def difference(state: Environments, wanted: Environment, digest: str) -> tuple[Change, ...]:
    """What must change on the node; pure."""
    changes = []
    was = state.installed.get(wanted.name)
    if was != digest:
        verb = "install" if was is None else "replace"
        changes.append(Change(verb, wanted.path, f"+{digest}\n"))
    if wanted.link and state.link != wanted.name:
        diff = f"-{state.link}\n" if state.link else ""
        changes.append(Change("switch", wanted.link, f"{diff}+{wanted.name}\n"))
    return tuple(changes)


def missing(
    state: Environments, sums: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[str, ...]:
    """Wheels to copy: neither in the node's pool nor, whole, among what arrived before; pure."""
    pool = frozenset(state.pool)
    return tuple(
        name
        for name in sorted(sums)
        if sums[name] not in pool and state.incoming.get(name) != sizes[name]
    )


def install_argument(wanted: Environment, house: wheelhouse.Wheelhouse) -> dict[str, object]:
    """What `remote/environment_install.py` is told."""
    return {
        "folder": wanted.folder,
        "families": [RELEASES, ENGINES, PATRONIS],
        "name": wanted.name,
        "digest": house.digest,
        "wheels": dict(house.sums),
        "installer": house.installer,
        "imports": list(wanted.imports),
        "link": wanted.link,
        "previous": wanted.previous,
        "keep": wanted.keep,
        "compile": wanted.compile,
        "wheelhouse": WHEELHOUSE,
    }


def size(path: Path) -> int:
    """Bytes of a file."""
    return path.stat().st_size
