"""How far commits have come, told from the writer's process to the shipper's: 16 shared bytes.

Not synced: it survives the process, not the machine. What it says is durable; after a power cut it
may say less, until the next run says where it begins.
"""

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

NAME = "mark"
SIZE = 16
_OFFSET_BITS = 32


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the spool: everything before `offset` of `segment` is durable; `sequence` is the
    number of the last record there.
    """

    segment: int = 0
    offset: int = 0
    sequence: int = 0


class Mark:
    """The shared bytes; one process writes, any may read."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        path = folder / NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC if write else os.O_RDONLY | os.O_CLOEXEC
        file = os.open(path, flags, 0o600)
        try:
            if write:
                # With its block: a store into a hole of a full disk is a signal, not an error.
                os.posix_fallocate(file, 0, SIZE)
            access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
            self._map = mmap.mmap(file, SIZE, access=access)
        finally:
            os.close(file)
        # Native words: each is stored and read at once, never byte by byte.
        self._words = memoryview(self._map).cast("Q")

    def set(self, segment: int, offset: int, sequence: int) -> None:
        """Say how far commits have come: a Point, without the object."""
        self._words[1] = sequence
        self._words[0] = segment << _OFFSET_BITS | offset

    def get(self) -> Point:
        """How far commits have come."""
        segment, offset = divmod(self._words[0], 1 << _OFFSET_BITS)
        return Point(segment, offset, self._words[1])

    def close(self) -> None:
        """Let go of the bytes."""
        self._words.release()
        self._map.close()
