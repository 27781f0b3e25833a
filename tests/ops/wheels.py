"""Wheelhouses and environments for golden tests of what is installed from wheels."""

from pathlib import Path
from typing import Any

from deploys import wheelhouse
from tests.ops.harness import SimulatedNode

INSTALLER = "uv-1.0-py3-none-any.whl"
WHEELS = (INSTALLER, "alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl")


def make_wheelhouse(folder: Path, extra: str = "") -> wheelhouse.Wheelhouse:
    """A complete wheelhouse of files that only look like wheels; `extra` changes one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in WHEELS:
        (folder / name).write_text(name + (extra if name.startswith("alpha") else ""))
    wheelhouse.seal(folder, {name: wheelhouse.file_digest(folder / name) for name in WHEELS})
    house = wheelhouse.opened(folder)
    assert house is not None
    return house


def with_environments(node: SimulatedNode) -> SimulatedNode:
    """`node`, where environments are installed: names and digests, a link, a pool of wheels."""
    installed: dict[str, dict[str, str]] = {}
    links: dict[str, str] = {}
    pool: set[str] = set()

    def state(argument: Any) -> Any:
        return {
            "installed": installed.get(argument["folder"], {}),
            "link": links.get(argument["link"], ""),
            "pool": sorted(pool),
            "incoming": {},
        }

    def install(argument: Any) -> None:
        installed.setdefault(argument["folder"], {})[argument["name"]] = argument["digest"]
        pool.update(argument["wheels"].values())
        if argument["link"]:
            links[argument["link"]] = argument["name"]

    node.scripts |= {"environments_state": state, "environment_install": install}
    return node
