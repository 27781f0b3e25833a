"""The files as their one writer sees them: frames go behind each other, each durable at its return.

After a failed write nothing more goes into that segment (what an fsync failed to keep is unknown);
the next one says where its good part ends.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.spool import frame, segment
from gateway.spool.disk import Disk
from gateway.spool.errors import SpoolTaken
from gateway.spool.mark import OFFSET_BITS, Mark, Point
from gateway.spool.recovery import tail
from gateway.spool.room import Room

LOCK = "lock"


class Appender:
    """A folder that this process alone writes to. `commit` is for one thread at a time; `allocate`
    may run beside it in another. `now` is seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        max_bytes: int,
        shipped: Point,
        now: Callable[[], float],
    ) -> None:
        """Take the folder; raises SpoolTaken or OSError. `shipped`: how far the shipper is;
        `segment_bytes`: whole blocks of a frame.
        """
        self._folder, self._max_bytes, self._now = folder, max_bytes, now
        self.room = Room(segment_bytes)
        self._disk = Disk()
        self._file: int | None = None
        self._files = threading.Lock()  # taking or making the next segment's file
        self._taken = 0
        self._lock = _locked(folder)
        try:
            found = tail(folder, shipped.segment, shipped.sequence)
            self._number, self._sequence = found.next_segment - 1, found.next_sequence - 1
            self._offset = found.previous_end
            self._mark = Mark(folder, write=True)
            self._words = self._mark.words
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def point(self) -> Point:
        """How far commits have come."""
        return Point(self._number, self._offset, self._sequence)

    @property
    def has_spare(self) -> bool:
        """Whether the segment after this one is allocated."""
        return self.room.segments > self._taken

    def fits(self, size: int) -> bool:
        """Whether records of `size` bytes, each with a frame, are one write into this segment."""
        fits_here = self._file is not None and self._offset + size <= self.room.segment_bytes
        return fits_here and size <= frame.MAX_PAYLOAD

    def commit(self, records: list[bytes], size: int) -> tuple[int, OSError | None]:
        """Write and sync; how many records are durable, and what kept the others from it. `size`:
        the most that they take, see `fits`.
        """
        done = 0
        try:
            while done < len(records):
                if self._file is None:
                    self.rotate()
                whole = not done and self.fits(size)
                count = len(records) if whole else self._fitting(records, done)
                if not count:
                    self._close_file()
                    continue
                part = records[done : done + count] if count < len(records) else records
                self._put(frame.encode(self._number, self._sequence + 1, part))
                self._sequence += count
                done += count
                self.publish()
        except OSError as error:
            self._close_file()
            return done, error
        return done, None

    def rotate(self) -> None:
        """Begin the next segment; it says where this one ends. Raises OSError."""
        head = segment.Head(self._offset, int(self._now() * 1000))
        with self._files:
            self._allocate()
            self._file = segment.take(self._folder, self._number + 1, self._disk)
            self._taken += 1
        self._number, self._offset = self._number + 1, 0
        self._put(head.encode(self._number, self._sequence + 1))
        self._sequence += 1
        self._disk.tell()

    def publish(self) -> None:
        """Tell the shipper how far commits have come."""
        words = self._words  # here: a call of Mark's is one of the interpreter's
        words[1] = self._sequence
        words[0] = self._number << OFFSET_BITS | self._offset

    def allocate(self) -> None:
        """Have the segment after this one ready; raises OSError, ENOSPC also at the bound."""
        with self._files:
            self._allocate()

    def close(self) -> None:
        """Let go of the folder."""
        self._close_file()
        self._mark.close()
        os.close(self._lock)

    def _allocate(self) -> None:
        size = self.room.segment_bytes
        if not segment.is_allocated(self._folder, size):
            if (len(segment.numbers(self._folder)) + 1) * size > self._max_bytes:
                raise OSError(errno.ENOSPC, "the spool is at its bound")
            segment.allocate(self._folder, size, self._disk)
        self.room.segments = self._taken + 1

    def _fitting(self, records: Sequence[bytes], start: int) -> int:
        """How many records from `start` go into one frame of this segment."""
        left = self.room.segment_bytes - self._offset
        room = min(left - frame.HEADER_BYTES, frame.MAX_PAYLOAD)
        for place in range(start, len(records)):
            room -= frame.cost(len(records[place]))
            if room < 0:
                return place - start
        return len(records) - start

    def _put(self, data: bytes) -> None:
        """Whole blocks, on disk when it returns."""
        assert self._file is not None  # noqa: S101 - whoever calls has begun a segment
        self._disk.put(self._file, data, self._offset)
        self._offset += len(data)
        self.room.wrote(self._taken, self._offset)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.room.wrote(self._taken, self.room.segment_bytes)


def _locked(folder: Path) -> int:
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise SpoolTaken(f"{folder} belongs to another process") from error
    return file
