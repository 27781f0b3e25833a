"""Group commit: many requests wait for one write that is on disk when it returns.

One commit at a time. What arrives while it runs is the next one. A request that is alone is written
on the spot, since handing it to a thread costs as much as the disk does; with others about, or a
disk that has just been slow, the writing is a thread's, and the event loop goes on.

After a failed write nothing more goes into that segment (what an fsync failed to keep is unknown);
the next one says where its good part ends.
"""

import asyncio
import errno
import fcntl
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import SpoolFailed, SpoolFull, SpoolTaken
from gateway.spool import frame, segment
from gateway.spool.mark import Mark, Point
from gateway.spool.record import MAX_RECORD_BYTES
from gateway.spool.recovery import tail
from gateway.spool.room import Room

logger = logging.getLogger("gateway.spool")

LOCK = "lock"
# A write on the spot that took longer sends the next ones to the thread, for so long.
SLOW_SECONDS = 0.003
WARY_SECONDS = 5.0
# How often allocating the next segment is tried again, at most.
RETRY_SECONDS = 1.0

Waiter = asyncio.Future[None]


@dataclass(slots=True)
class Batch:
    """What goes to disk together, and who waits for it: as many waiters as records."""

    records: list[bytes] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)


class Spool:
    """A folder that this process alone writes to. All methods belong to one event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        max_bytes: int,
        shipped: Point = Point(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
        observe: Callable[[float, int], None] = lambda _seconds, _records: None,
    ) -> None:
        """Take the folder and begin a segment; raises SpoolTaken or OSError.

        Without room for a segment it begins all the same, and takes requests when there is some.
        `shipped` is how far the shipper has come; `observe` hears of each commit's seconds and
        records.
        """
        self._folder, self._max_bytes = folder, max_bytes
        self._now, self._observe = now, observe
        self._loop = asyncio.get_running_loop()
        self.room = Room(segment_bytes)
        self._lock = _locked(folder)
        self._file: int | None = None
        self._files = threading.Lock()  # taking or making the next segment's file
        try:
            found = tail(folder, shipped.segment, shipped.sequence)
            self._number, self._sequence = found.next_segment - 1, found.next_sequence - 1
            self._offset = found.previous_end
            self._mark = Mark(folder, write=True)
            self._begin_run()
        except BaseException:
            os.close(self._lock)
            raise
        self._pending = Batch()
        self._busy = self._closed = False
        self._wary_until = self._retry_at = 0.0
        self._allocating: asyncio.Task[None] | None = None
        self._work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="spool", daemon=True)
        self._thread.start()
        self._prepare()

    @property
    def point(self) -> Point:
        """How far commits have come."""
        return Point(self._number, self._offset, self._sequence)

    def begin(self, record: bytes) -> Waiter:
        """Write what begins a request, and set room aside for its end.

        The result is there when it is durable. Raises SpoolFull at once when its end would have no
        room; the result raises SpoolFailed, and then the request has not begun.
        """
        if not self.room.admits():
            self._prepare()
            raise SpoolFull("the spool takes no new requests")
        self.room.open_requests += 1
        waiter = self._append(record)
        if waiter.done():
            self._begun(waiter)
        else:
            waiter.add_done_callback(self._begun)
        return waiter

    def end(self, record: bytes) -> Waiter:
        """Write what ends a request that was begun; there is room for it.

        When the result raises SpoolFailed, the room stays set aside: try again.
        """
        waiter = self._append(record)
        if waiter.done():
            self._ended(waiter)
        else:
            waiter.add_done_callback(self._ended)
        return waiter

    def note(self, record: bytes) -> Waiter:
        """Write something that belongs to no request."""
        return self._append(record)

    def tend(self) -> None:
        """Allocate the next segment if it is lacking; call every second or so."""
        self._prepare()

    async def close(self) -> None:
        """Write what is pending, and let go of the folder."""
        self._closed = True
        while self._busy or self._pending.records:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._allocating is not None:
            await asyncio.gather(self._allocating, return_exceptions=True)
        self._close_file()
        self._mark.close()
        os.close(self._lock)

    def _append(self, record: bytes) -> Waiter:
        if len(record) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {len(record)} bytes, at most {MAX_RECORD_BYTES}")
        waiter = self._loop.create_future()
        pending = self._pending
        if not self._busy and not pending.records and self._alone:
            self._write_here(Batch([record], [waiter]))
            return waiter
        pending.records.append(record)
        pending.waiters.append(waiter)
        self.room.waiting += len(record) + frame.OVERHEAD_BYTES
        if not self._busy and len(pending.records) == 1:
            # At the end of this turn of the loop: whoever else has something to say joins.
            self._loop.call_soon(self._dispatch)
        return waiter

    @property
    def _alone(self) -> bool:
        return self.room.open_requests <= 1 and time.monotonic() >= self._wary_until

    def _write_here(self, batch: Batch) -> None:
        begun = time.monotonic()
        self._committed(batch, *self._commit(batch), begun)
        if (now := time.monotonic()) - begun > SLOW_SECONDS:
            self._wary_until = now + WARY_SECONDS

    def _dispatch(self) -> None:
        if self._busy or not self._pending.records:
            return
        batch, self._pending = self._pending, Batch()
        self.room.waiting = 0
        self._busy = True
        self._work.put(batch)

    def _serve(self) -> None:
        """The thread: one batch after another."""
        while (batch := self._work.get()) is not None:
            begun = time.monotonic()
            done, error = self._commit(batch)
            with suppress(RuntimeError):  # the loop has ended without waiting for us
                self._loop.call_soon_threadsafe(self._after, batch, done, error, begun)

    def _after(self, batch: Batch, done: int, error: OSError | None, begun: float) -> None:
        self._busy = False
        self._dispatch()
        self._committed(batch, done, error, begun)

    def _committed(self, batch: Batch, done: int, error: OSError | None, begun: float) -> None:
        for waiter in batch.waiters[:done]:
            if not waiter.done():
                waiter.set_result(None)
        self._observe(time.monotonic() - begun, done)
        if error is not None:
            logger.error(
                "spool write failed", extra={"errno": errno.errorcode.get(error.errno or 0)}
            )
            for waiter in batch.waiters[done:]:
                if not waiter.done():
                    failure = SpoolFailed("the spool could not be written")
                    failure.__cause__ = error
                    waiter.set_exception(failure)
        if not self.room.has_spare:
            self._prepare()

    def _commit(self, batch: Batch) -> tuple[int, OSError | None]:
        """Write and sync; how many records are durable, and what kept the others from it."""
        records, done = batch.records, 0
        try:
            while done < len(records):
                if self._file is None:
                    self._rotate()
                count = self._fitting(records, done)
                if not count:
                    self._close_file()
                    continue
                self._write(records[done : done + count])
                done += count
                self._publish()
        except OSError as error:
            self._close_file()
            return done, error
        return done, None

    def _fitting(self, records: list[bytes], start: int) -> int:
        """How many records from `start` go into one frame of this segment."""
        room = min(self.room.left - frame.OVERHEAD_BYTES, frame.MAX_PAYLOAD)
        for place in range(start, len(records)):
            room -= frame.cost(len(records[place]))
            if room < 0:
                return place - start
        return len(records) - start

    def _write(self, records: list[bytes]) -> None:
        assert self._file is not None  # noqa: S101 - _commit opened it
        self._put(frame.encode(self._number, self._sequence + 1, records), self._file)
        self._sequence += len(records)

    def _put(self, data: bytes, file: int) -> None:
        """On disk when it returns: RWF_DSYNC is write and fdatasync in one call."""
        written = os.pwritev(file, [data], self._offset, os.RWF_DSYNC)
        if written != len(data):
            raise OSError(errno.EIO, "a short write")
        self._offset += len(data)
        self.room.left = self.room.segment_bytes - self._offset

    def _begin_run(self) -> None:
        try:
            self._rotate()
            self._publish()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            logger.error("spool has no room for a segment")

    def _rotate(self) -> None:
        """Begin the next segment; it says where this one ends. Raises OSError."""
        head = segment.Head(self._offset, int(self._now() * 1000))
        with self._files:
            if not segment.is_allocated(self._folder, self.room.segment_bytes):
                self._allocate()
            self.room.has_spare = False
            file = segment.take(self._folder, self._number + 1)
        self._number, self._offset, self._file = self._number + 1, 0, file
        self._put(head.encode(self._number, self._sequence + 1), file)
        self._sequence += 1

    def _publish(self) -> None:
        self._mark.set(self.point)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.room.left = 0

    def _allocate(self) -> None:
        """Make the next segment's file; raises OSError, ENOSPC also at the bound."""
        size = self.room.segment_bytes
        if (len(segment.numbers(self._folder)) + 1) * size > self._max_bytes:
            raise OSError(errno.ENOSPC, "the spool is at its bound")
        segment.allocate(self._folder, size)

    def _prepare(self) -> None:
        """Have the next segment allocated in the background, unless that was just tried."""
        now = time.monotonic()
        running = self._allocating is not None and not self._allocating.done()
        if self.room.has_spare or self._closed or running or now < self._retry_at:
            return
        self._retry_at = now + RETRY_SECONDS
        self._allocating = self._loop.create_task(self._prepare_in_thread())

    async def _prepare_in_thread(self) -> None:
        try:
            await asyncio.to_thread(self._make_spare)
        except OSError as error:
            why = errno.errorcode.get(error.errno or 0, "?")
            logger.error("spool segment not allocated", extra={"errno": why})

    def _make_spare(self) -> None:
        with self._files:
            if not segment.is_allocated(self._folder, self.room.segment_bytes):
                self._allocate()
            self.room.has_spare = True
            self._retry_at = 0.0

    def _begun(self, waiter: Waiter) -> None:
        # A cancelled wait is no failure: the record is written or will be.
        if not waiter.cancelled() and waiter.exception() is not None:
            self.room.open_requests -= 1

    def _ended(self, waiter: Waiter) -> None:
        if waiter.cancelled() or waiter.exception() is None:
            self.room.open_requests -= 1


def _locked(folder: Path) -> int:
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise SpoolTaken(f"{folder} belongs to another process") from error
    return file
