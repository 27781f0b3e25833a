"""What gateways say of their engines, and what follows from it for an engine's drain. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

IN_ROTATION = frozenset({"healthy", "unhealthy", "unknown", "breaker_open"})


@dataclass(frozen=True)
class Engine:
    """One engine as one gateway sees it. `waiting`: requests in line there that may go to it."""

    name: str
    models: tuple[str, ...]
    state: str
    since: datetime
    running: int
    waiting: int
    failed_why: str | None = None
    failed_at: datetime | None = None
    drained_by: str | None = None
    drained_reason: str | None = None

    @property
    def in_rotation(self) -> bool:
        """Whether the gateway gives it new requests, if it can."""
        return self.state in IN_ROTATION


@dataclass(frozen=True)
class View:
    """One gateway's engines, or why it did not say (`error`)."""

    gateway: str
    engines: tuple[Engine, ...] = ()
    error: str = ""


def engine_in(value: Mapping[str, Any]) -> Engine:
    """An entry of `/upstreams`; raises KeyError, TypeError or ValueError when it is none."""
    failure, drain = value["last_failure"] or {}, value["drained"] or {}
    at = failure.get("at")
    return Engine(
        name=value["name"],
        models=tuple(value["models"]),
        state=value["state"],
        since=datetime.fromisoformat(value["since"]),
        running=int(value["running"]),
        waiting=int(value["waiting"]),
        failed_why=failure.get("why"),
        failed_at=None if at is None else datetime.fromisoformat(at),
        drained_by=drain.get("by"),
        drained_reason=drain.get("reason"),
    )


def known(views: Sequence[View]) -> set[str]:
    """The names of all engines of all gateways."""
    return {engine.name for view in views for engine in view.engines}


def lagging(views: Sequence[View], name: str, *, drained: bool) -> tuple[str, ...]:
    """Gateways that have the engine and do not treat it as `drained` says (yet)."""
    return tuple(
        view.gateway
        for view in views
        for engine in view.engines
        if engine.name == name and engine.in_rotation == drained
    )


def running(views: Sequence[View], name: str) -> int:
    """How many requests of all gateways run in the engine."""
    return sum(e.running for view in views for e in view.engines if e.name == name)


def left_without(views: Sequence[View], name: str) -> tuple[str, ...]:
    """The models that some gateway could send to no healthy engine any more without this one."""
    lost = set()
    for view in views:
        mine = {m for e in view.engines if e.name == name and e.in_rotation for m in e.models}
        others = {
            m for e in view.engines if e.name != name and e.state == "healthy" for m in e.models
        }
        lost |= mine - others
    return tuple(sorted(lost))
