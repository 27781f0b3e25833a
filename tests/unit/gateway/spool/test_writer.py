"""Group commit on a real disk: rotation refuses nobody, a cancelled wait tears nothing."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.spool import frame, segment
from gateway.spool.disk import Disk
from gateway.spool.errors import SpoolFailed
from gateway.spool.pace import Pace
from gateway.spool.writer import Spool

RECORD = b'{"a":"record of some length, so that segments fill up soon"}' * 20
SEGMENT_BYTES = 96 * 1024


@asynccontextmanager
async def spool_in(folder: Path) -> AsyncIterator[Spool]:
    spool = Spool(folder, segment_bytes=SEGMENT_BYTES, max_bytes=64 << 20)
    try:
        await until_spare(spool)
        yield spool
    finally:
        await spool.close()


async def until_spare(spool: Spool) -> None:
    async with asyncio.timeout(30):
        while not spool._files.has_spare:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def records_in(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for number in segment.numbers(folder):
        for each in frame.walk(segment.read(folder, number), 0, number):
            found += each.records
    return [record for record in found if b"previous_end" not in record]


@pytest.mark.parametrize("fast", [True, False], ids=["by the loop", "by the thread"])
async def test_going_on_to_the_next_segment_never_looks_like_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(Pace, "is_fast", lambda *_, **__: fast)
    async with spool_in(tmp_path) as spool:
        take, admitted = segment.take, []

        def watched(folder: Path, number: int, disk: Disk) -> int:
            admitted.append(spool.room.admits())
            file = take(folder, number, disk)
            admitted.append(spool.room.admits())
            return file

        monkeypatch.setattr(segment, "take", watched)
        while len(admitted) < 6:
            await spool.begin(RECORD)
            await spool.end(RECORD)
            await until_spare(spool)
    assert admitted == [True] * len(admitted)


@pytest.mark.parametrize("fast", [True, False], ids=["by the loop", "by the thread"])
async def test_what_many_wait_for_is_durable_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(Pace, "is_fast", lambda *_, **__: fast)
    wanted = [b'{"number":%d}' % number for number in range(40)]
    commits = []
    async with spool_in(tmp_path) as spool:
        spool._observe = lambda _seconds, count: commits.append(count)
        await asyncio.gather(*(asyncio.ensure_future(spool.begin(each)) for each in wanted))
        assert spool.room.open_requests == 40
        await asyncio.gather(*(spool.end(each) for each in wanted))
        assert (spool.room.open_requests, spool.room.waiting) == (0, 0)
    assert records_in(tmp_path) == wanted * 2
    assert len(commits) < 10


@pytest.mark.parametrize("when", ["before the commit", "after it"])
async def test_a_cancelled_wait_takes_nothing_back_and_its_heir_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(Pace, "is_fast", lambda *_, **__: False)
    heard: list[bool] = []
    async with spool_in(tmp_path) as spool:
        waiter = spool.begin(b'{"number":1}')
        waiter.cancel()
        if when == "before the commit":
            spool.inherit(waiter, heard.append)
        await spool.note(b'{"number":2}')
        if when == "after it":
            spool.inherit(waiter, heard.append)
        assert heard == [True]
        assert spool.room.open_requests == 1
    assert records_in(tmp_path) == [b'{"number":1}', b'{"number":2}']


@pytest.mark.parametrize("fast", [True, False], ids=["by the loop", "by the thread"])
async def test_a_write_that_fails_is_told_to_all_who_wait_and_to_heirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(Pace, "is_fast", lambda *_, **__: fast)
    heard: list[bool] = []
    async with spool_in(tmp_path) as spool:
        await spool.begin(b'{"number":0}')
        with monkeypatch.context() as broken:

            def fail(*_anything: object) -> int:
                raise OSError(errno.EIO, "the disk is gone")

            broken.setattr("os.pwrite", fail)
            begun, left, ended = spool.begin(RECORD), spool.begin(RECORD), spool.end(RECORD)
            left.cancel()
            spool.inherit(left, heard.append)
            for waiter in (begun, ended):
                with pytest.raises(SpoolFailed):
                    await waiter
        assert heard == [False]
        # Who was refused has no end; whose end failed tries again, in the next segment.
        assert spool.room.open_requests == 1
        await spool.end(b'{"number":3}')
        assert spool.room.open_requests == 0
    assert records_in(tmp_path) == [b'{"number":0}', b'{"number":3}']


async def test_the_loop_never_begins_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "is_fast", lambda *_, **__: True)
    timed: list[float] = []
    monkeypatch.setattr(Pace, "took", lambda _self, seconds, _now: timed.append(seconds))
    writers: set[str] = set()
    async with spool_in(tmp_path) as spool:
        take = segment.take

        def watched(folder: Path, number: int, disk: Disk) -> int:
            writers.add(threading.current_thread().name)
            return take(folder, number, disk)

        monkeypatch.setattr(segment, "take", watched)
        written = 0
        while len(segment.numbers(tmp_path)) < 3:
            await spool.note(RECORD)
            await until_spare(spool)
            written += 1
    assert writers == {"spool"}
    # What going on cost says nothing about the disk's pace.
    assert len(timed) == written - 2


async def test_a_lone_request_is_on_disk_at_once_and_with_others_about_a_thread_writes(
    tmp_path: Path,
) -> None:
    async with spool_in(tmp_path) as spool:
        assert spool.begin(b'{"number":1}').done()
        assert records_in(tmp_path) == [b'{"number":1}']
        assert spool.room.open_requests == 1
        assert spool.end(b'{"number":2}').done()
        assert spool.room.open_requests == 0
        await spool.begin(b'{"number":3}')
        second = spool.begin(b'{"number":4}')
        assert not second.done()
        ended = spool.end(b'{"number":5}')
        await asyncio.gather(second, ended)
        spool._pace.took(60.0, asyncio.get_running_loop().time())
        assert not spool.note(b'{"number":6}').done()
    assert records_in(tmp_path) == [b'{"number":%d}' % number for number in range(1, 7)]


def test_after_a_stall_the_loop_does_not_wait_for_fifty_times_as_long() -> None:
    pace = Pace()
    assert pace.is_fast(0.0)
    pace.took(0.02, 1.0)
    assert pace.is_fast(1.0)
    pace.took(0.1, 4.0)
    for _ in range(100):
        pace.took(0.0001, 5.0)
    assert not pace.is_fast(8.9)
    assert pace.is_fast(9.1)


def test_a_disk_that_stalls_takes_no_more_than_a_fiftieth_of_the_loops_time() -> None:
    pace, now, stalled = Pace(), 0.0, 0.0
    while now < 100.0:
        seconds = 0.03 if round(now * 1000) % 7 == 0 else 0.0001
        if pace.is_fast(now) and seconds > 0.02:
            stalled += seconds
        now += max(seconds, 0.001)
        pace.took(seconds, now)
    assert 0.0 < stalled <= now / 50
