"""The spool's files: numbered segments of one size, allocated before they are used.

Names: `NNNNNNNNNN.seg` in use or still to be shipped, `next.seg` allocated for what comes
(`next.tmp` until it is whole). A segment's first frame says where the good part of the one before
it ends: what lies behind that was never owed to anybody.

They are written past the page cache (`disk`) and read through it, which the kernel keeps true: a
write lets go of the pages it changes. To spare it that, readers read nothing ahead and keep none.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from gateway.spool import frame
from gateway.spool.disk import Disk
from gateway.spool.frame import Buffer, Frame

SUFFIX = ".seg"
SPARE = "next.seg"
UNFINISHED = "next.tmp"
DIGITS = 10


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment's first frame says. `previous_end`: an offset in the segment before it, 0 when
    there was none; `created_ms` since 1970.
    """

    previous_end: int
    created_ms: int

    def encode(self, segment: int, sequence: int) -> bytes:
        """The frame to begin `segment` with."""
        text = orjson.dumps({"created_ms": self.created_ms, "previous_end": self.previous_end})
        return frame.encode(segment, sequence, [text])

    @classmethod
    def decode(cls, found: Frame) -> Self | None:
        """What the first frame of a segment says; None when it is no such frame."""
        try:
            value = orjson.loads(found.records[0])
            return cls(int(value["previous_end"]), int(value["created_ms"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None


def path_of(folder: Path, number: int) -> Path:
    """Where a segment is."""
    return folder / f"{number:0{DIGITS}}{SUFFIX}"


def numbers(folder: Path) -> list[int]:
    """The segments in `folder`, oldest first."""
    stems = (path.stem for path in folder.glob(f"{'[0-9]' * DIGITS}{SUFFIX}"))
    return sorted(int(stem) for stem in stems)


def is_allocated(folder: Path, size: int) -> bool:
    """Whether `next.seg` is there with `size` bytes: then it is whole."""
    try:
        return (folder / SPARE).stat().st_size == size
    except FileNotFoundError:
        return False


def allocate(folder: Path, size: int, disk: Disk) -> None:
    """Make `next.seg`, with every block of it; raises OSError (ENOSPC) and then leaves nothing.

    Its room is the file system's promise: writing into it later cannot fail for want of space. It
    is written full of zeros: the first write to a block that is only reserved changes the file's
    map, which every commit would have to wait for (measured in docs/decisions/0026).
    """
    path = folder / UNFINISHED
    file = disk.open(path, os.O_CREAT | os.O_TRUNC)
    try:
        os.posix_fallocate(file, 0, size)
        disk.put_zeros(file, size)
        os.fsync(file)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(file)
    path.rename(folder / SPARE)
    sync_folder(folder)


def take(folder: Path, number: int, disk: Disk) -> int:
    """Turn `next.seg` into segment `number`; its descriptor, for writing. Raises OSError."""
    path = path_of(folder, number)
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    (folder / SPARE).rename(path)
    sync_folder(folder)
    file = disk.open(path)
    # An earlier release, or one without O_DIRECT, left its zeros in the page cache.
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def read(folder: Path, number: int, offset: int = 0, size: int = -1) -> bytes:
    """A segment's bytes from `offset`, at most `size` (-1: all); raises OSError."""
    file = os.open(path_of(folder, number), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        if size < 0:
            size = max(0, os.fstat(file).st_size - offset)
        found = os.pread(file, size, offset)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return found
    finally:
        os.close(file)


def head_of(buffer: Buffer, number: int) -> tuple[Head, Frame] | None:
    """What a segment's first frame says, and the frame; None when it is damaged or not written."""
    first = frame.decode(buffer, 0, number)
    said = Head.decode(first) if first is not None else None
    return (said, first) if said is not None and first is not None else None


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
