"""How far commits have come, told from the writer's process to the shipper's: 16 shared bytes.

Not synced: it survives the process, not the machine. What it says is durable; after a power cut it
may say less, until the next run says where it begins.
"""

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME = "mark"
SIZE = 16
OFFSET_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the spool: everything before `offset` of `segment` is durable; `sequence` is the
    number of the last record there.
    """

    segment: int = 0
    offset: int = 0
    sequence: int = 0


class Mark:
    """The shared bytes; one process writes, any may read. `words`: the sequence is the second; the
    first has the segment in its upper half, and the offset."""

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
        self.words = memoryview(self._map).cast("Q")

    def get(self) -> Point:
        """How far commits have come."""
        segment, offset = divmod(self.words[0], 1 << OFFSET_BITS)
        return Point(segment, offset, self.words[1])

    def close(self) -> None:
        """Let go of the bytes."""
        self.words.release()
        self._map.close()
