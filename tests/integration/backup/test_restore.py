"""Backups made, proven and put back: a real Postgres, real repositories, what the units start."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from daemons.backup import live
from ledger import search
from ledger.event import Event
from ledger.search import Filter
from tests.support.archive import PASSPHRASES, Archive
from tests.support.stored_log import StoredLog, open_log

# A slow machine restores a thousand small files slowly.
pytestmark = [pytest.mark.postgres, pytest.mark.programs, pytest.mark.timeout(400)]


@pytest_asyncio.fixture
async def log(running: Archive) -> AsyncIterator[StoredLog]:
    """The live log, opened again for each test."""
    opened = await open_log(running.server)
    async with opened.connection:
        opened.count = int(running.server.psql("SELECT count(*) FROM ledger.log", "federation"))
        yield opened


async def test_a_check_makes_the_first_backup_of_each_repository(
    running: Archive, log: StoredLog
) -> None:
    await log.grow(300)
    for number in (1, 2):
        running.job(number, "check")
        [backup] = running.listed(number)["backups"]
        assert (backup["kind"], backup["error"]) == ("full", False)
        figures = (running.root / f"repository{number}.prom").read_text()
        assert re.search(r"^federation_backup_job_good.* 1$", figures, re.MULTILINE)
        assert "federation_archive_checked_seconds" in figures
        await log.number()
        made = await told(log, "backup.made")
        assert made[-1].subject == backup["label"]
        assert (made[-1].data["repository"], made[-1].data["kind"]) == (number, "full")


async def told(log: StoredLog, kind: str) -> list[Event]:
    """Events of a kind, oldest first."""
    found = await search.matching(log.connection, Filter(kind=kind), limit=100)
    return [each.event for each in found]


async def test_what_the_ledger_did_not_take_it_is_told_later_and_once(
    running: Archive, log: StoredLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "GIVE_UP_SECONDS", 0.5)
    reachable = running.server.settings("operator")
    away = live.Teller(reachable.model_copy(update={"port": 1}), tmp_path)
    first = live.event_now("bluefin", "federation-backup", "backup.failed", "one", {"n": 1})
    await asyncio.to_thread(away.tell, first)
    assert await asyncio.to_thread(away.send) == 1
    (tmp_path / live.UNTOLD / "damaged.json").write_text("{}")
    teller = live.Teller(reachable, tmp_path)
    await asyncio.to_thread(teller.send)
    assert list((tmp_path / live.UNTOLD).iterdir()) == []
    await log.number()
    assert [event.id for event in await told(log, "backup.failed")] == [first.id]


async def test_the_next_backup_is_a_differential(running: Archive) -> None:
    running.job(1, "backup")
    assert [b["kind"] for b in running.listed()["backups"]] == ["full", "diff"]


async def test_restored_by_time_number_and_name(running: Archive, log: StoredLog) -> None:
    await log.grow(20)
    label = running.listed()["backups"][-1]["label"]
    first = int(running.server.psql("SELECT max(seq) FROM ledger.log", "federation"))
    await asyncio.sleep(0.1)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.1)
    await log.grow(20)
    located = running.recovery("locate", f"--seq={first + 20}")
    point = running.recovery("point", "--name=before-the-end")
    assert point["archived"]
    await log.grow(20)
    running.wait_archived()

    def size(*arguments: str, repository: int = 1) -> int:
        answer = running.restored(f"--label={label}", *arguments, repository=repository)
        assert answer["ledger"]["problems"] == []
        found: int = answer["ledger"]["size"]
        return found

    stamp = moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    assert size("--kind=time", f"--value={stamp}", f"--moment={moment.isoformat()}") == first + 1
    assert size("--kind=xid", f"--value={located['xid']}") == first + 21
    assert size("--kind=name", "--value=before-the-end") == first + 21
    # No database to ask where the event is: it is looked for in what was restored.
    assert size(f"--seq={first + 20}") == first + 21


async def test_all_is_in_the_offsite_repository_too(running: Archive, log: StoredLog) -> None:
    [backup] = running.listed(2)["backups"]
    await log.grow(5)
    running.wait_archived(2)
    answer = running.restored(f"--label={backup['label']}", repository=2)
    assert answer["ledger"]["rows"] == log.count
    assert answer["ledger"]["problems"] == []


async def test_a_target_that_is_not_reached_is_an_error(running: Archive) -> None:
    label = running.listed()["backups"][-1]["label"]
    said = running.restored(f"--label={label}", "--kind=name", "--value=never-was", expect=1)
    assert "recovery ended before configured recovery target was reached" in said


async def test_nothing_is_restored_over_something(running: Archive) -> None:
    data = running.root / "restored"
    label = running.listed()["backups"][-1]["label"]
    arguments = [f"--label={label}", f"--data={data}", f"--work={running.root}/work"]
    (data / "kept").mkdir(parents=True, exist_ok=True)
    said = running.recovery(
        "restore", *arguments, f"--config={running.conf('database')}",
        f"--vkey={running.root}/ledger.vkey", expect=1,
    )  # fmt: skip
    assert "is not empty" in said


async def test_the_restore_test_passes_and_tells(running: Archive, log: StoredLog) -> None:
    await log.grow(10)
    running.wait_archived()
    measured = running.restore_test()
    assert measured["passed"]
    assert measured["events"] == measured["live_size"] == log.count
    figures = (running.root / "test.prom").read_text()
    assert re.search(r"^federation_restore_test_good 1$", figures, re.MULTILINE)
    await log.number()
    told = running.server.psql(
        "SELECT count(*) FROM ledger.log WHERE kind = 'backup.restore_tested'", "federation"
    )
    assert told == "1"
    assert not (running.root / "test" / "cluster").exists()


async def test_history_changed_in_a_backup_fails_the_restore_test(
    running: Archive, log: StoredLog
) -> None:
    await log.sign()
    body = running.server.psql(
        "SELECT encode(body, 'hex') FROM ledger.log WHERE seq = 7", "federation"
    )
    hostile = "UPDATE ledger.log SET body = decode('{}', 'hex') WHERE seq = 7"
    await log.run(hostile.format(body[:-2] + "00"))
    running.wait_archived()
    try:
        measured = running.restore_test(expect=1)
        assert not measured["passed"]
        assert "7" in measured["problem"]
        figures = (running.root / "test.prom").read_text()
        assert re.search(r"^federation_restore_test_good 0$", figures, re.MULTILINE)
        assert "federation_restore_test_last_success_seconds" in figures
    finally:
        await log.run(hostile.format(body))
        running.wait_archived()


async def test_wal_goes_on_to_one_repository_while_the_other_is_away(
    running: Archive, log: StoredLog
) -> None:
    running.stop("repository2")
    try:
        for _ in range(3):
            await log.grow(1)
            running.wait_archived(1)
    finally:
        running.start("repository2")
    running.wait_archived(2)


async def test_a_wrong_page_fails_the_backup(running: Archive) -> None:
    sql = running.server.psql
    sql("CREATE TABLE public.torn AS SELECT generate_series(1, 2000) AS n", "federation")
    sql("CHECKPOINT", "federation")
    path = running.server.data / sql("SELECT pg_relation_filepath('public.torn')", "federation")
    running.server.stop("fast")
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes(b ^ 255 for b in whole[5000:5100]) + whole[5100:])
    running.server.start()
    try:
        done = running.job(1, "backup", "--kind=full", expect=1)
        assert "checksum" in done.stderr
        opened = await open_log(running.server)
        async with opened.connection:
            await opened.number()
            assert "checksum" in (await told(opened, "backup.failed"))[-1].data["problem"]
        figures = (running.root / "repository1.prom").read_text()
        assert re.search(r"^federation_backup_job_good.* 0$", figures, re.MULTILINE)
        assert not re.search(r"^federation_backup_checksum_errors.* 0$", figures, re.MULTILINE)
    finally:
        running.server.stop("fast")
        path.write_bytes(whole)
        running.server.start()
        sql("DROP TABLE public.torn", "federation")


async def test_a_repository_without_its_passphrase_is_noise(running: Archive) -> None:
    stored = [p for p in (running.root / "repository1/repository").rglob("*") if p.is_file()]
    assert len(stored) > 100
    assert all(path.read_bytes()[:8] == b"Salted__" for path in stored if path.stat().st_size)
    secrets = [text.encode() for text in PASSPHRASES.values()]
    everything = [
        p
        for p in running.root.rglob("*")
        # A unit's credentials, and its folder in memory.
        if p.is_file() and p.name not in ("repository-passphrase", "passphrase.conf")
    ]
    found: list[Path] = [p for p in everything if any(s in p.read_bytes() for s in secrets)]
    assert found == []
