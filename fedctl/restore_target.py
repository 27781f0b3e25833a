"""From what a person asks to go back to, to a backup and the order a node restores by. Pure.

The newest WAL decides between repositories; the backup is one that was complete before the target,
and older ones follow it for when it is of a history that an earlier restore left.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from daemons.backup.decide import Backup
from daemons.recovery.decide import NAME, Target, at_time, candidates, needed_bytes
from daemons.recovery.errors import NoBackup
from fedctl.errors import FedctlError

# Backups tried, when newer ones are of a history that an earlier restore left.
TRIED = 4


@dataclass(frozen=True)
class Held:
    """What one repository holds. `newest_wal` is its last segment's name."""

    node: str
    number: int
    backups: tuple[Backup, ...]
    newest_wal: str
    disk_size_bytes: int
    disk_free_bytes: int
    archive_checked: float | None


@dataclass(frozen=True)
class Goal:
    """What a person asked to go back to: everything, a time, an event's number, or a name."""

    kind: str
    text: str = "latest"
    moment: datetime | None = None
    seq: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What a person asked for. `repository`, `label`, `node`: their own choice, or None."""

    goal: Goal
    repository: int | None = None
    label: str | None = None
    node: str | None = None


@dataclass(frozen=True)
class Choice:
    """From which repository, which backup, replayed to where."""

    held: Held
    backups: tuple[Backup, ...]
    target: Target
    seq: int | None = None

    @property
    def backup(self) -> Backup:
        """The first to try; the others when it is of a history that was left."""
        return self.backups[0]


def goal_of(text: str) -> Goal:
    """Digits are an event's number, an ISO date and time is a time (UTC without a zone)."""
    if text == "latest":
        return Goal("latest")
    if re.fullmatch(r"[0-9]{1,18}", text):
        return Goal("seq", text, seq=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if not NAME.fullmatch(text):
            raise FedctlError(
                f"{text!r} is no time, no event's number and no restore point's name",
                "write a time as 2026-03-31T14:00:00Z; points: fedctl backup point NAME",
            ) from None
        return Goal("name", text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Goal("time", aware.isoformat(), aware)


def target_of(
    goal: Goal,
    located: Mapping[str, Any] | None,
    points: Mapping[str, Mapping[str, str]],
    *,
    labelled: bool = False,
) -> Target:
    """PostgreSQL's target for `goal`; `located` says where the event is, when somebody knows.

    `points` are the restore points made from here, by name. A name made elsewhere is taken when the
    backup is `labelled`, chosen by the person; otherwise it raises FedctlError.
    """
    if goal.kind == "time" and goal.moment is not None:
        return at_time(goal.moment)
    if goal.kind == "seq" and located is not None:
        return Target("xid", located["xid"], datetime.fromisoformat(located["time"]))
    if goal.kind == "name":
        point = points.get(goal.text)
        if point is not None:
            return Target("name", goal.text, datetime.fromisoformat(point["time"]))
        if labelled:
            return Target("name", goal.text)
        raise FedctlError(
            f"no restore point {goal.text!r} was made from here",
            "fedctl backup list shows them; with --set LABEL another one can be gone to",
        )
    return Target()


def choose(
    held: Sequence[Held], target: Target, seq: int | None, only: int | None, label: str | None
) -> Choice:
    """The repository with the most WAL that has a backup before the target; raises NoBackup.

    Of equals the first one. `only` and `label` are the person's own choice.
    """
    found: list[Choice] = []
    reasons = [] if held else ["no repository answers"]
    for repository in held:
        if only not in (None, repository.number):
            continue
        try:
            named = [b for b in repository.backups if b.label == label]
            usable = named if label else candidates(repository.backups, target)
            first = usable[0]
        except (NoBackup, IndexError) as error:
            why = f"no backup {label}" if label else error
            reasons.append(f"repository {repository.number}: {why}")
            continue
        found.append(Choice(repository, (first, *usable[1:TRIED]), target, seq))
    if not found:
        raise NoBackup("; ".join(reasons) or f"there is no repository {only}")
    return max(found, key=lambda c: (c.held.newest_wal[8:], -c.held.number))


def arguments(choice: Choice) -> list[str]:
    """What `daemons.recovery restore` is told of the choice."""
    target = choice.target
    return [
        f"--repository={choice.held.number}",
        *(f"--label={backup.label}" for backup in choice.backups),
        f"--kind={target.kind}",
        f"--value={target.value}",
        f"--timeline={target.timeline}",
        f"--needed-bytes={max(map(needed_bytes, choice.backups))}",
        *([f"--moment={target.moment.isoformat()}"] if target.moment else []),
        *([f"--seq={choice.seq}"] if choice.seq is not None else []),
    ]
