"""Which backup to make, and whether one counts. Pure: what pgBackRest said comes in as values.

Rules kept: a backup counts only when pgBackRest ended well, warned of no checksum, and its own list
says the backup is free of errors. What is missing is never good.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from daemons.backup.errors import Corrupt, Unreadable

Kind = Literal["full", "diff"]
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# A full backup is due on its day; a missed one is made on the next night.
FULL_EVERY = timedelta(days=7)
MORE_CAREFUL = "enabling delta checksum"
_LOG_LINE = re.compile(r"^(?:\S+ \S+ )?P\d\d +(WARN|ERROR): (.*)$")


@dataclass(frozen=True)
class Backup:
    """One backup as `pgbackrest info` lists it. Times are UTC, sizes bytes.

    `stop_lsn` is where replay may end at the earliest; `prior` what it builds upon.
    """

    label: str
    kind: str
    started: datetime
    stopped: datetime
    size_bytes: int
    stored_bytes: int
    start_lsn: str
    stop_lsn: str
    first_wal: str
    error: bool
    prior: str | None = None

    @property
    def timeline(self) -> int:
        """The timeline the backup was made on."""
        return int(self.first_wal[:8], 16)


@dataclass(frozen=True)
class Info:
    """A repository's content: backups, oldest first, and the newest WAL segment it has."""

    backups: tuple[Backup, ...]
    newest_wal: str | None
    message: str

    def newest(self, kind: str | None = None) -> Backup | None:
        """The latest good backup, of one kind or of any."""
        good = [b for b in self.backups if not b.error and kind in (None, b.kind)]
        return good[-1] if good else None


@dataclass(frozen=True)
class Choice:
    """What to make now, and why."""

    kind: Kind
    reason: str


def choose(info: Info, now: datetime, full_on: str) -> Choice:
    """A full backup on its day or when the last one is older than a week, else a differential."""
    full = info.newest("full")
    if full is None:
        return Choice("full", "there is no full backup yet")
    if WEEKDAYS[now.weekday()] == full_on and full.started.date() != now.date():
        return Choice("full", f"it is {full_on}")
    if now - full.started > FULL_EVERY:
        return Choice("full", f"the last full backup, {full.label}, is older than a week")
    return Choice("diff", f"since the full backup {full.label}")


def parse_info(text: str, stanza: str) -> Info:
    """The output of `pgbackrest info --output=json`; raises Unreadable."""
    try:
        found = json.loads(text)
        [entry] = [item for item in found if item["name"] == stanza]
        backups = [_backup(item) for item in entry["backup"]]
        wal = [item["max"] for item in entry["archive"] if item["max"]]
        message = str(entry["status"]["message"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Unreadable(f"pgbackrest info said {text[:200]!r}: {error!r}") from error
    ordered = sorted(backups, key=lambda backup: backup.stopped)
    return Info(tuple(ordered), wal[-1] if wal else None, message)


def _backup(item: Any) -> Backup:
    stamps = item["timestamp"]
    return Backup(
        label=str(item["label"]),
        kind=str(item["type"]),
        started=datetime.fromtimestamp(int(stamps["start"]), UTC),
        stopped=datetime.fromtimestamp(int(stamps["stop"]), UTC),
        size_bytes=int(item["info"]["size"]),
        stored_bytes=int(item["info"]["repository"]["size"]),
        start_lsn=str(item["lsn"]["start"]),
        stop_lsn=str(item["lsn"]["stop"]),
        first_wal=str(item["archive"]["start"]),
        # Absent in a list that was made with checksums off: then nobody looked.
        error=bool(item.get("error", True)),
        prior=item.get("prior"),
    )


def warnings(output: str) -> tuple[str, ...]:
    """What pgBackRest warned of or failed with, each once."""
    found = [m[2].strip() for line in output.splitlines() if (m := _LOG_LINE.match(line))]
    return tuple(dict.fromkeys(found))


def judge(output: str, info: Info) -> Backup:
    """The backup that was just made, if it counts.

    Raises Corrupt, or Unreadable when it is not listed.
    """
    wrong = [text for text in warnings(output) if "checksum" in text.lower()]
    # After a failover: files are compared by checksum instead of by time. Nothing is wrong.
    wrong = [text for text in wrong if not text.endswith(MORE_CAREFUL)]
    if wrong:
        raise Corrupt(f"pgBackRest warned of checksums: {'; '.join(wrong)}")
    label = re.search(r"new backup label = (\S+)", output)
    made = next((b for b in info.backups if label and b.label == label[1]), None)
    if made is None:
        raise Unreadable("pgBackRest did not say which backup it made, or does not list it")
    if made.error:
        raise Corrupt(f"{made.label}: a page's checksum is wrong; pgbackrest info --set names it")
    return made


def judge_verify(output: str) -> None:
    """Raises Corrupt unless `pgbackrest verify` found every file as it was stored."""
    counts = re.findall(r"(missing|checksum invalid|size invalid|other): (\d+)", output)
    wrong = [f"{name} {count}" for name, count in counts if int(count)]
    status = re.search(r"^status: (\S+)", output, re.MULTILINE)
    if wrong or status is None or status[1] != "ok":
        said = ", ".join(wrong) or (status[1] if status else "no status")
        raise Corrupt(f"the repository's files are not what was stored: {said}")


def event_data(
    repository: int, made: Backup | None, seconds: float, problem: str = ""
) -> dict[str, Any]:
    """What the ledger is told of a backup: what was made, or (`problem`) why nothing was."""
    found: dict[str, Any] = {"repository": repository, "milliseconds": round(seconds * 1000)}
    if problem:
        found["problem"] = problem[:1000]
    if made is not None:
        found |= {
            "label": made.label,
            "kind": made.kind,
            "bytes": made.size_bytes,
            "stored_bytes": made.stored_bytes,
            "timeline": made.timeline,
            "from": made.start_lsn,
            "to": made.stop_lsn,
        }
    return found


@dataclass(frozen=True)
class Figures:
    """What Prometheus is told about a repository; times are Unix seconds, None is unknown."""

    repository: int
    info: Info | None
    archive_checked: float | None
    job_ended: float
    job_good: bool
    checksum_errors: int
    disk_size_bytes: int
    disk_free_bytes: int


def exposition(figures: Figures) -> str:
    """The text file node_exporter serves. What is unknown is left out: missing is never a pass."""
    label = f'{{repository="{figures.repository}"}}'
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{name}{label} {value:.17g}\n"
        for name, text, value in _values(figures)
        if value is not None
    )


def _values(figures: Figures) -> Iterator[tuple[str, str, float | None]]:
    newest = figures.info.newest() if figures.info else None
    full = figures.info.newest("full") if figures.info else None
    yield (
        "federation_backup_last_success_seconds",
        "When the newest good backup was finished, in Unix time.",
        newest.stopped.timestamp() if newest else None,
    )
    yield (
        "federation_backup_last_full_seconds",
        "When the newest good full backup was finished, in Unix time.",
        full.stopped.timestamp() if full else None,
    )
    yield (
        "federation_backup_size_bytes",
        "Size of the database in the newest good backup.",
        newest.size_bytes if newest else None,
    )
    yield (
        "federation_backup_count",
        "How many good backups the repository has.",
        len([b for b in figures.info.backups if not b.error]) if figures.info else None,
    )
    yield (
        "federation_archive_checked_seconds",
        "When a WAL segment made for the purpose was last seen in the repository, in Unix time.",
        figures.archive_checked,
    )
    yield "federation_backup_job_ended_seconds", "When a job last ended.", figures.job_ended
    yield "federation_backup_job_good", "1 when the last job ended well.", float(figures.job_good)
    yield (
        "federation_backup_checksum_errors",
        "Backups with a wrong checksum, and jobs that met one in the last look.",
        figures.checksum_errors,
    )
    yield (
        "federation_repository_size_bytes",
        "Size of the file system the repository is on.",
        figures.disk_size_bytes,
    )
    yield (
        "federation_repository_free_bytes",
        "Free space there.",
        figures.disk_free_bytes,
    )
