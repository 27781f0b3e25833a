"""The jobs: `backup`, `check`, `verify` and `info`.

Whatever happens, figures are written, so that a failure is seen; one line says how it went.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from daemons.backup.decide import (
    Backup,
    Figures,
    Info,
    choose,
    event_data,
    judge,
    judge_verify,
)
from daemons.backup.errors import BackupError, Corrupt
from daemons.backup.live import Teller, event_now
from daemons.backup.settings import BackupSettings
from daemons.backup.shell import Repository, alone, publish, remember, remembered, space

LOG = logging.getLogger(__name__)
Now = Callable[[], datetime]


def utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


def backup(
    settings: BackupSettings, repository: Repository, kind: str, teller: Teller, now: Now = utc
) -> Backup:
    """Make one backup that counts; raises BackupError. The ledger is told of it either way."""
    with alone(settings), Reported(settings, repository) as report:
        with told(settings, teller, kind) as tale:
            repository.ready()
            made = tale.made = _make(settings, repository, kind, now)
        report["archive_checked"] = now().timestamp()
        return made


def check(settings: BackupSettings, repository: Repository, teller: Teller, now: Now = utc) -> None:
    """See that WAL arrives; a repository without any backup gets its first one.

    Told then is also what the ledger could not be told before.
    """
    with alone(settings), Reported(settings, repository) as report:
        teller.send()
        repository.ready()
        repository.check()
        report["archive_checked"] = now().timestamp()
        LOG.info("the archive of repository %d gets what is sent", settings.repository)
        if repository.info().newest("full") is None:
            with told(settings, teller, "full") as tale:
                tale.made = _make(settings, repository, "full", now)


def verify(settings: BackupSettings, repository: Repository) -> str:
    """Compare every stored file with its checksum; what pgBackRest counted. Raises Corrupt."""
    with alone(settings), Reported(settings, repository):
        output = repository.verify()
        judge_verify(output)
        LOG.info("every file of repository %d is as it was stored", settings.repository)
        return output


def listed(settings: BackupSettings, repository: Repository) -> str:
    """The repository's content as one line of JSON, for `fedctl backup list`."""
    info = repository.info()
    size, free = space(settings)
    state = remembered(settings)
    return json.dumps(
        {
            "repository": settings.repository,
            "node": settings.node,
            "newest_wal": info.newest_wal,
            "message": info.message,
            "disk_size_bytes": size,
            "disk_free_bytes": free,
            "archive_checked": state.get("archive_checked"),
            "backups": [
                {**asdict(b), "started": b.started.isoformat(), "stopped": b.stopped.isoformat()}
                for b in info.backups
            ],
        }
    )


@dataclass
class Tale:
    """What is to be told: the backup, once there is one."""

    made: Backup | None = None


@contextmanager
def told(settings: BackupSettings, teller: Teller, wanted: str) -> Iterator[Tale]:
    """Tell the ledger how the backup in the block ended; one that was killed it cannot tell of."""
    tale, begun, problem = Tale(), time.monotonic(), ""
    try:
        yield tale
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise
    finally:
        if problem or tale.made:
            data = event_data(settings.repository, tale.made, time.monotonic() - begun, problem)
            kind = "backup.failed" if problem else "backup.made"
            subject = tale.made.label if tale.made else f"{wanted} backup"
            event = event_now(settings.node, "federation-backup", kind, subject, data)
            teller.tell(event)


def _make(settings: BackupSettings, repository: Repository, kind: str, now: Now) -> Backup:
    chosen = choose(repository.info(), now(), settings.full_on)
    wanted = chosen.kind if kind == "auto" else kind
    begun = time.monotonic()
    output = repository.backup(wanted)
    made = judge(output, repository.info())
    LOG.info(
        "%s backup %s of %d bytes in repository %d after %.1f s (%s)",
        made.kind,
        made.label,
        made.size_bytes,
        settings.repository,
        time.monotonic() - begun,
        chosen.reason if kind == "auto" else "as asked",
    )
    return made


class Reported:
    """Writes figures down at the end of a job, however it ends."""

    def __init__(self, settings: BackupSettings, repository: Repository) -> None:
        self._settings, self._repository = settings, repository
        self._report: dict[str, Any] = {}

    def __enter__(self) -> dict[str, Any]:
        self._report = {"archive_checked": remembered(self._settings).get("archive_checked")}
        return self._report

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        corrupt = isinstance(error, Corrupt)
        info: Info | None = None
        try:
            info = self._repository.info()
        except BackupError as unreadable:
            LOG.warning("cannot list the repository: %s", unreadable)
        size, free = space(self._settings)
        wrong = len([b for b in info.backups if b.error]) if info else 0
        publish(
            self._settings,
            Figures(
                repository=self._settings.repository,
                info=info,
                archive_checked=self._report["archive_checked"],
                job_ended=time.time(),
                job_good=error is None,
                checksum_errors=wrong + corrupt,
                disk_size_bytes=size,
                disk_free_bytes=free,
            ),
        )
        remember(self._settings, self._report)
