"""Keep systemd units enabled, running and up to date: one fact, at most one command.

Whether a unit must restart comes from the node (what its process loaded against what is on disk),
not from what this run changed: an interrupted run, or a person with an editor, makes no difference.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.units import UnitStates
from deploys.protocol import Change
from deploys.script import NodeScript

SETTLE_SECONDS = 1.0
TIMEOUT_SECONDS = 120
UNKNOWN: Mapping[str, Any] = {
    "load": "not-found",
    "active": "inactive",
    "sub": "dead",
    "file": "",
    "reload_needed": False,
    "restart_needed": False,
}
# Units without an [Install] section cannot be enabled and need not be.
NOT_ENABLEABLE = frozenset({"static", "indirect", "generated", "transient", "alias"})


@dataclass(frozen=True)
class Unit:
    """A unit by its full name, and how it should stand.

    `reload`: its process can read changed files without a restart (it has an ExecReload that
    records what it loaded). Units with `running=False` are stopped. With `restart=False` one that
    runs is left alone: another operation restarts it, at a better time.
    """

    name: str
    enabled: bool = True
    running: bool = True
    reload: bool = False
    restart: bool = True


@operation()
def units(
    units: Sequence[Unit],
    masked: Sequence[str] = (),
    timeout_seconds: int = TIMEOUT_SECONDS,
) -> Generator[NodeScript, None, None]:
    """Make these units stand so, started in the order given; `masked` ones can never start.

    Masking comes first and works for units whose package is not installed yet. A unit that does not
    become active within `timeout_seconds` fails the operation, with the end of its journal.
    """
    names = [unit.name for unit in units] + list(masked)
    states = host.get_fact(UnitStates, units=names)
    plan = difference(states, units, masked)
    if not plan.changes:
        host.noop(f"{len(names)} units are as they should be")
        return
    announce(plan.changes)
    argument = {
        **plan.argument,
        "timeout_seconds": timeout_seconds,
        "settle_seconds": SETTLE_SECONDS,
    }
    yield NodeScript("units_apply", argument, [str(change) for change in plan.changes])


@dataclass(frozen=True)
class Difference:
    """What must change, for people (`changes`) and for the script that does it (`argument`)."""

    changes: tuple[Change, ...]
    argument: Mapping[str, Any]


def difference(
    states: Mapping[str, Mapping[str, Any]], units: Sequence[Unit], masked: Sequence[str] = ()
) -> Difference:
    """Compare how each unit stands with how it should; pure."""
    verbs: dict[str, list[str]] = {
        "mask": [],
        "unmask": [],
        "enable": [],
        "disable": [],
        "stop": [],
    }
    start: list[tuple[str, str]] = []
    for name in masked:
        if states.get(name, UNKNOWN)["file"] not in ("masked", "masked-runtime"):
            verbs["mask"].append(name)
    for unit in units:
        state = states.get(unit.name, UNKNOWN)
        if state["file"] == "masked":
            verbs["unmask"].append(unit.name)
        if unit.enabled and state["file"] not in ("enabled", *NOT_ENABLEABLE):
            verbs["enable"].append(unit.name)
        if not unit.enabled and state["file"] == "enabled":
            verbs["disable"].append(unit.name)
        if not unit.running and state["active"] not in ("inactive", "failed"):
            verbs["stop"].append(unit.name)
        if unit.running and (verb := _start(unit, state)):
            start.append((verb, unit.name))
    reload = any(states.get(unit.name, UNKNOWN)["reload_needed"] for unit in units)
    fresh = any(states.get(unit.name, UNKNOWN)["load"] == "not-found" for unit in units)
    changes = [Change(verb, name) for verb in verbs for name in verbs[verb]]
    changes += [Change(verb, name) for verb, name in start]
    if reload and not changes:
        changes = [Change("daemon-reload", "systemd")]
    argument = {"daemon_reload": reload or fresh, "start": [list(item) for item in start], **verbs}
    return Difference(tuple(changes), argument)


def _start(unit: Unit, state: Mapping[str, Any]) -> str:
    if state["active"] not in ("active", "reloading"):
        return "start"
    if state["restart_needed"] and unit.restart:
        return "reload" if unit.reload else "restart"
    return ""
