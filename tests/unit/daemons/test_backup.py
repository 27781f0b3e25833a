"""daemons/backup/decide.py: which backup is due, which one counts, what Prometheus is told."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemons.backup import shell
from daemons.backup.decide import (
    Backup,
    Figures,
    Info,
    choose,
    exposition,
    judge,
    judge_verify,
    parse_info,
    warnings,
)
from daemons.backup.errors import Busy, CommandFailed, Corrupt, Unreadable
from daemons.backup.settings import BackupSettings

SUNDAY = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def backup(label: str, started: datetime, kind: str = "full", *, error: bool = False) -> Backup:
    stopped = started + timedelta(minutes=5)
    return Backup(
        label, kind, started, stopped, 100, 10, "0/1", "0/2", "00000002" + "0" * 16, error
    )


def info(*backups: Backup) -> Info:
    return Info(backups, "0" * 24, "ok")


def test_the_first_one_is_full() -> None:
    assert choose(info(), SUNDAY, "Sun").kind == "full"


def test_a_full_one_with_errors_is_none() -> None:
    bad = backup("a", SUNDAY - timedelta(days=1), error=True)
    assert choose(info(bad), SUNDAY + timedelta(days=1), "Sun").kind == "full"


@pytest.mark.parametrize(
    ("days_since_full", "night", "kind"),
    [
        (1, SUNDAY, "full"),
        (7, SUNDAY, "full"),
        (1, SUNDAY + timedelta(days=1), "diff"),
        (6, SUNDAY + timedelta(days=6), "diff"),
        (8, SUNDAY + timedelta(days=1), "full"),
    ],
)
def test_full_on_its_day_or_when_missed(days_since_full: int, night: datetime, kind: str) -> None:
    full = backup("a", night - timedelta(days=days_since_full))
    assert choose(info(full), night, "Sun").kind == kind


def test_a_second_one_on_the_same_sunday_is_differential() -> None:
    assert choose(info(backup("a", SUNDAY)), SUNDAY + timedelta(hours=1), "Sun").kind == "diff"


def listed(**changes: Any) -> str:
    item = {
        "label": "20260301-020000F",
        "type": "full",
        "timestamp": {"start": 100, "stop": 200},
        "info": {"size": 7, "repository": {"size": 3}},
        "lsn": {"start": "0/1", "stop": "0/2"},
        "archive": {"start": "000000030000000000000001", "stop": "000000030000000000000002"},
        "error": False,
        "prior": None,
        **changes,
    }
    entry = {
        "name": "federation",
        "backup": [item],
        "archive": [{"max": "000000030000000000000009"}],
        "status": {"message": "ok"},
    }
    return json.dumps([entry])


def test_what_pgbackrest_lists_is_read() -> None:
    found = parse_info(listed(), "federation")
    assert found.newest_wal == "000000030000000000000009"
    assert found.backups[0].timeline == 3
    assert not found.backups[0].error


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[{}]", listed()[:-9], listed(lsn=None)])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_info(text, "federation")


def test_a_backup_nobody_checked_does_not_count() -> None:
    text = listed().replace('"error": false, ', "")
    assert parse_info(text, "federation").newest() is None


GOOD = "P00   INFO: new backup label = a\n"


def test_a_good_backup_counts() -> None:
    assert judge(GOOD, info(backup("a", SUNDAY))).label == "a"


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-01 02:00:01.123 P01   WARN: invalid page checksums found in file base/1/2",
        "P00   WARN: page checksum validation failed",
    ],
)
def test_any_warning_of_a_checksum_is_a_failure(line: str) -> None:
    with pytest.raises(Corrupt, match="checksum"):
        judge(f"{line}\n{GOOD}", info(backup("a", SUNDAY)))


def test_an_error_in_the_list_is_a_failure() -> None:
    with pytest.raises(Corrupt):
        judge(GOOD, info(backup("a", SUNDAY, error=True)))


@pytest.mark.parametrize("output", ["", "new backup label = b"])
def test_a_backup_that_is_not_listed_does_not_count(output: str) -> None:
    with pytest.raises(Unreadable):
        judge(output, info(backup("a", SUNDAY)))


def test_other_warnings_are_no_failure() -> None:
    output = "P00   WARN: a host is away\n" + GOOD
    assert warnings(output) == ("a host is away",)
    assert judge(output, info(backup("a", SUNDAY))).label == "a"


def test_a_backup_after_a_failover_counts() -> None:
    said = "a timeline switch has occurred since the a backup, enabling delta checksum"
    assert judge(f"P00   WARN: {said}\n{GOOD}", info(backup("a", SUNDAY))).label == "a"
    off = "checksum-page option set to true but checksums are not enabled on the cluster"
    with pytest.raises(Corrupt):
        judge(f"P00   WARN: {said}\nP00   WARN: {off}\n{GOOD}", info(backup("a", SUNDAY)))


@pytest.mark.parametrize(
    "output",
    ["", "status: error\n", "status: ok\n missing: 1, checksum invalid: 0\n",
     "status: ok\n missing: 0, checksum invalid: 2, size invalid: 0, other: 0\n"],
)  # fmt: skip
def test_a_repository_that_is_not_whole_is_said(output: str) -> None:
    with pytest.raises(Corrupt):
        judge_verify(output)


def test_what_is_unknown_is_not_exported() -> None:
    text = exposition(Figures(2, None, None, 5.0, False, 1, 100, 10))
    assert "federation_backup_last_success_seconds" not in text
    assert "federation_archive_checked_seconds" not in text
    assert 'federation_backup_job_good{repository="2"} 0' in text


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> shell.Repository:
    """A repository whose pgBackRest is the shell script that a test puts into `pgbackrest`."""
    (tmp_path / "key").write_text("k")
    (tmp_path / "pass").write_text("p")
    monkeypatch.setattr(shell, "BUSY_PAUSE_SECONDS", 0.01)
    settings = BackupSettings(
        node="one", repository=1, databases=1, program=tmp_path / "pgbackrest",
        hosts=("one",), addresses=("192.0.2.1",),
        key_path=tmp_path / "key", passphrase_path=tmp_path / "pass",
    )  # fmt: skip
    return shell.Repository(settings, {shell.RUNTIME_VARIABLE: str(tmp_path)})


def put_program(tmp_path: Path, refusal: str, code: int) -> None:
    """A pgBackRest that refuses twice, then does it, then has no room."""
    program, tried = tmp_path / "pgbackrest", tmp_path / "tried"
    program.write_text(
        "#!/bin/sh\n"
        f"echo x >>{tried}; n=$(wc -l <{tried})\n"
        '[ "$n" -gt 3 ] && { echo "ERROR: [025]: no room"; exit 25; }\n'
        '[ "$n" = 3 ] && { echo done; exit 0; }\n'
        f'echo "{refusal}"; exit {code}\n'
    )
    program.chmod(0o755)


HELD = "unable to acquire lock on file '/l/f-archive.lock': Resource temporarily unavailable"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ("ERROR: [056]: unable to check pg1: [LockAcquireError] raised", 56),
        (f"ERROR: [050]: {HELD}", 50),
        (f"ERROR: [050]: raised from remote-0 tls protocol on 'one': {HELD}", 50),
    ],
)
def test_a_job_waits_for_anothers_lock_and_not_for_other_failures(
    tmp_path: Path, repository: shell.Repository, refusal: str, code: int
) -> None:
    put_program(tmp_path, refusal, code)
    repository.ready()
    assert len((tmp_path / "tried").read_text().splitlines()) == 3
    with pytest.raises(CommandFailed, match="no room") as failed:
        repository.backup("full")
    assert not isinstance(failed.value, Busy)


def test_a_lock_file_that_may_not_be_opened_is_told_at_once(
    tmp_path: Path, repository: shell.Repository
) -> None:
    denied = HELD.replace("Resource temporarily unavailable", "Permission denied")
    put_program(tmp_path, f"ERROR: [050]: {denied}", 50)
    with pytest.raises(CommandFailed, match="Permission denied") as failed:
        repository.ready()
    assert not isinstance(failed.value, Busy)
