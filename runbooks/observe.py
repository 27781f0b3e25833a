"""What a node says about itself: the program that asks it, and its words as typed values.

Pure but for reading the program's text. Whoever has a session with the node runs `command(...)`
there as root with `program()` on stdin and gives what it printed to `read`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbooks.errors import ObservationUnreadable
from trust.certificate import describe
from trust.errors import CertificateUnreadable

PROBE = Path(__file__).parent / "probe.py"


@dataclass(frozen=True)
class UnitState:
    """A systemd unit as `systemctl show` names things; memory in bytes, None when not counted."""

    name: str
    load: str
    active: str
    sub: str
    file: str = ""
    restarts: int = 0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Disk:
    """A file system, in bytes; `available` is what an ordinary user may still write."""

    size: int
    available: int

    @property
    def free(self) -> float:
        """The part that is available, 0 to 1."""
        return self.available / self.size if self.size else 0.0


@dataclass(frozen=True)
class Observation:
    """One node at one moment. `problem` is set when it could not be looked at, and perhaps `advice`
    (what a person can do about it); then nothing else.

    None always means unknown, never fine. Times are UTC; `clock` is the node's own.
    """

    node: str
    problem: str = ""
    advice: str = ""
    clock: datetime | None = None
    uptime_seconds: float | None = None
    load: float | None = None
    memory_total_kib: int | None = None
    memory_available_kib: int | None = None
    disks: tuple[tuple[str, Disk], ...] = ()
    certificate_not_after: datetime | None = None
    release: str | None = None
    reboot_required: bool = False
    units: tuple[UnitState, ...] = ()

    def unit(self, name: str) -> UnitState | None:
        """The unit called `name`, if the node reported it."""
        return next((unit for unit in self.units if unit.name == name), None)


def program() -> str:
    """The program that looks at a node."""
    return PROBE.read_text()


def command(units: Sequence[str]) -> list[str]:
    """How to run `program()` on a node, as root, to hear of these units, ours and failed ones."""
    return ["python3", "-I", "-", *units]


def unreachable(node: str, problem: str, advice: str = "") -> Observation:
    """What there is to say about a node that could not be looked at."""
    return Observation(node, problem=problem, advice=advice)


def read(node: str, text: str) -> Observation:
    """What the program printed, as values; raises ObservationUnreadable."""
    try:
        return _observation(node, json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ObservationUnreadable(f"{node} answered nonsense: {text[:200]!r}") from error


def _observation(node: str, said: dict[str, Any]) -> Observation:
    memory = said["memory"] or {}
    return Observation(
        node=node,
        clock=datetime.fromtimestamp(said["time"], UTC),
        uptime_seconds=said["uptime_seconds"],
        load=said["load"],
        memory_total_kib=memory.get("total_kib"),
        memory_available_kib=memory.get("available_kib"),
        disks=tuple((path, Disk(**disk)) for path, disk in said["disks"].items() if disk),
        certificate_not_after=_end(said["certificate"]),
        release=said["release"],
        reboot_required=said["reboot_required"],
        units=tuple(_unit(unit) for unit in said["units"] if "Id" in unit),
    )


def _unit(shown: dict[str, str]) -> UnitState:
    memory = shown.get("MemoryCurrent", "")
    return UnitState(
        name=shown["Id"],
        load=shown.get("LoadState", ""),
        active=shown.get("ActiveState", ""),
        sub=shown.get("SubState", ""),
        file=shown.get("UnitFileState", ""),
        restarts=int(shown.get("NRestarts") or 0),
        # systemd prints the largest 64-bit number for "not counted".
        memory_bytes=int(memory) if memory.isdigit() and int(memory) < 2**63 else None,
    )


def _end(pem: str | None) -> datetime | None:
    if not pem:
        return None
    try:
        return describe(pem.encode()).not_after
    except CertificateUnreadable:
        return None
