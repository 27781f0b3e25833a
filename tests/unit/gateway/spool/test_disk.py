"""Past the page cache: what is written is what is read, and a disk that will not is written too."""

import errno
import fcntl
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.spool import disk as disk_module
from gateway.spool import frame, segment
from gateway.spool.appender import Appender
from gateway.spool.disk import Disk
from gateway.spool.mark import Point

SEGMENT_BYTES = 256 * 1024


def appender(folder: Path) -> Appender:
    return Appender(
        folder, segment_bytes=SEGMENT_BYTES, max_bytes=64 << 20, shipped=Point(), now=lambda: 1.0
    )


def commit(files: Appender, records: list[bytes]) -> tuple[int, OSError | None]:
    return files.commit(records, sum(map(len, records)) + len(records) * frame.OVERHEAD_BYTES)


def read(folder: Path, number: int = 1) -> list[bytes]:
    found = [each.records for each in frame.walk(segment.read(folder, number), 0, number)]
    return [record for records in found[1:] for record in records]


@pytest.fixture
def long_blocks(tmp_path: Path) -> Iterator[Path]:
    """A file system on a disk whose blocks are 4,096 bytes."""
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    loop = ["losetup", "--find", "--show", "--sector-size", "4096", str(image)]
    done = subprocess.run(loop, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no right to make a disk")
    device = done.stdout.strip()
    try:
        subprocess.run(["mkfs.ext4", "-q", device], check=True, capture_output=True)
        subprocess.run(["mount", device, str(place)], check=True)
        yield place
        subprocess.run(["umount", "-l", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "place"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "spool", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_in_turns_the_reader_has_each_frame_as_soon_as_it_is_written(tmp_path: Path) -> None:
    files, chance, wanted = appender(tmp_path), random.Random(7), []  # noqa: S311 - no secret
    files.rotate()
    for turn in range(250):
        records = [chance.randbytes(chance.randint(1, 700)) for _ in range(chance.randint(1, 2))]
        if turn % 3 == 0:
            # Another reader, who looks beyond what is written and keeps the pages.
            with segment.path_of(tmp_path, 1).open("rb") as held:
                held.read()
        assert commit(files, records) == (len(records), None)
        wanted += records
        if turn % 2:
            assert read(tmp_path) == wanted
    assert files.point.segment == 1 and files.point.offset % frame.BLOCK == 0
    files.close()


def check(folder: Path) -> Appender:
    """Write and read in turns, through what the folder's disk takes."""
    files, wanted = appender(folder), []
    files.rotate()
    for turn in range(40):
        assert commit(files, [b"%d" % turn * 90]) == (1, None)
        wanted.append(b"%d" % turn * 90)
        assert read(folder) == wanted
    return files


def test_a_disk_of_longer_blocks_is_written_through_the_page_cache(
    long_blocks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        files = check(long_blocks)
    files.close()
    assert not files._disk.is_direct
    told = [record.__dict__.get("past_the_page_cache") for record in caplog.records]
    assert told == [False]


def test_memory_is_written_one_way_or_the_other(memory: Path) -> None:
    check(memory).close()


def test_a_file_system_without_it_is_written_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.fcntl

    def refuse(file: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no such thing here")
        return real(file, command, flags)

    monkeypatch.setattr(disk_module.fcntl, "fcntl", refuse)
    files = check(tmp_path)
    assert not files._disk.is_direct
    files.close()


def test_a_disk_that_stops_to_take_it_is_written_on_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, real = check(tmp_path), os.pwrite
    before = read(tmp_path)

    def refuse(file: int, *more: object) -> int:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not any more")
        return real(file, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("os.pwrite", refuse)
    assert commit(files, [b"one"]) == (1, None)
    assert commit(files, [b"two"]) == (1, None)
    assert (read(tmp_path), files.point.segment) == ([*before, b"one", b"two"], 1)
    files.close()


@pytest.mark.parametrize("short", ["short", "EINVAL either way"])
def test_what_is_not_wholly_written_is_not_acknowledged_and_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    files, real = check(tmp_path), os.pwrite
    before = read(tmp_path)

    def some(file: int, data: memoryview, offset: int) -> int:
        if short != "short":
            raise OSError(errno.EINVAL, "never")
        return real(file, data[: frame.BLOCK], offset)

    with monkeypatch.context() as broken:
        broken.setattr("os.pwrite", some)
        done, error = commit(files, [b"x" * 3000])
        assert done == 0 and error is not None
    assert commit(files, [b"after"]) == (1, None)
    assert (read(tmp_path), read(tmp_path, 2)) == (before, [b"after"])
    files.close()


def test_a_write_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    file = Disk().open(tmp_path / "written", os.O_CREAT)
    try:
        assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DSYNC
    finally:
        os.close(file)


def test_a_full_disk_leaves_no_half_of_a_segment(memory: Path) -> None:
    (memory / "rest").write_bytes(bytes((8 << 20) - (100 << 10)))
    with pytest.raises(OSError, match="space") as full:
        segment.allocate(memory, SEGMENT_BYTES, Disk())
    assert full.value.errno == errno.ENOSPC
    assert [path.name for path in memory.iterdir()] == ["rest"]
