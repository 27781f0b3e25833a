"""Which migrations there are, and which to run: pure but for reading the files.

Migrations are pairs `0001_name.up.sql` and `.down.sql`, numbered without a gap from 1. What was
applied is known by the digests of both halves; a changed half of an applied pair stops everything,
since nobody could say any more what the database holds.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from ledger.errors import MigrationError, MigrationsBroken, MigrationTampered, MigrationUnknown

FOLDER = Path(__file__).parent / "migrations"
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.(up|down)\.sql")

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Half:
    """One file: its path, text and sha256 (hexadecimal)."""

    path: Path
    text: str
    sha256: str


@dataclass(frozen=True)
class Migration:
    """A pair of files."""

    version: int
    name: str
    up: Half
    down: Half


@dataclass(frozen=True)
class Applied:
    """What the database says about one applied migration."""

    version: int
    name: str
    up_sha256: str
    down_sha256: str
    applied_at: datetime


@dataclass(frozen=True)
class Step:
    """One migration to run in one direction."""

    direction: Direction
    migration: Migration

    @property
    def half(self) -> Half:
        """The file to run."""
        return self.migration.up if self.direction == "up" else self.migration.down


def discover(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations in `folder` in order; raises MigrationsBroken with every fault found."""
    halves: dict[tuple[int, str], dict[str, Half]] = {}
    faults = []
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            faults.append(f"{path.name} is not named like 0001_name.up.sql")
            continue
        raw = path.read_bytes()
        half = Half(path, raw.decode("utf-8"), hashlib.sha256(raw).hexdigest())
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = half
    found = []
    for (version, name), pair in sorted(halves.items()):
        if set(pair) == {"up", "down"}:
            found.append(Migration(version, name, pair["up"], pair["down"]))
        else:
            missing = "down" if "up" in pair else "up"
            faults.append(f"{version:04}_{name}.{missing}.sql is missing")
    versions = sorted(version for version, _ in halves)
    if versions != list(range(1, len(versions) + 1)):
        faults.append(f"the numbers are {versions}, not 1 to {len(versions)} once each")
    if faults:
        raise MigrationsBroken(f"{folder}: " + "; ".join(faults))
    return tuple(found)


def verify(migrations: Sequence[Migration], applied: Sequence[Applied]) -> None:
    """Raise unless `applied` is an unbroken beginning of `migrations`, unchanged since."""
    for place, row in enumerate(applied, start=1):
        if row.version != place:
            raise MigrationError(
                f"the database says {row.version:04}_{row.name} is applied but not {place:04}"
            )
        if place > len(migrations):
            raise MigrationUnknown(
                f"the database has migration {row.version:04}_{row.name}, which these files do "
                f"not know (they end at {len(migrations):04}): use the release that applied it"
            )
        migration = migrations[place - 1]
        for half, recorded in (
            (migration.up, row.up_sha256),
            (migration.down, row.down_sha256),
        ):
            if half.sha256 != recorded:
                raise MigrationTampered(half.path, recorded, half.sha256)


def plan(
    migrations: Sequence[Migration],
    applied: Sequence[Applied],
    direction: Direction,
    target: int | None = None,
) -> tuple[Step, ...]:
    """The steps to `target` (default: all up, or one down), after `verify`.

    A target on the wrong side of where the database is, or beyond the files, is a MigrationError:
    `up` never takes back and `down` never applies.
    """
    verify(migrations, applied)
    at = len(applied)
    if direction == "up":
        goal = len(migrations) if target is None else target
        if not at <= goal <= len(migrations):
            raise MigrationError(
                f"cannot go up to {goal}: the database is at {at}, the files end at "
                f"{len(migrations)}"
            )
        return tuple(Step("up", migration) for migration in migrations[at:goal])
    goal = max(at - 1, 0) if target is None else target
    if not 0 <= goal <= at:
        raise MigrationError(f"cannot go down to {goal}: the database is at {at}")
    return tuple(Step("down", migration) for migration in reversed(migrations[goal:at]))
