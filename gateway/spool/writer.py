"""Group commit: many requests wait for one write that is on disk when it returns.

One commit at a time. What arrives while it runs is the next one. With requests about, a write takes
what one turn of the event loop brings, and a thread waits for it; what a request that is alone has
to say is written on the spot, unless the disk is slow (`pace`). To begin a segment is always the
thread's, and another one's to allocate it ahead of that (`spare`).
"""

import asyncio
import errno
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.spool import frame
from gateway.spool.appender import Appender
from gateway.spool.batch import BEGIN, END, NOTE, Batch, Heirs, Waiter
from gateway.spool.errors import SpoolFailed, SpoolFull
from gateway.spool.mark import Point
from gateway.spool.pace import Pace
from gateway.spool.record import MAX_RECORD_BYTES
from gateway.spool.room import Room
from gateway.spool.spare import Spare

logger = logging.getLogger("gateway.spool")


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
        self._observe, self._loop = observe, asyncio.get_running_loop()
        self._files = Appender(
            folder, segment_bytes=segment_bytes, max_bytes=max_bytes, shipped=shipped, now=now
        )
        self._room = self._files.room
        try:
            self._begin_run()
        except BaseException:
            self._files.close()
            raise
        self._pace = Pace()
        self._pending = Batch()
        self._durable: Waiter = self._loop.create_future()
        self._durable.set_result(None)
        self._busy = False
        self._heirs = Heirs()
        self._spare = Spare(self._files, self._loop)
        self._work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._writing_thread = threading.Thread(target=self._serve, name="spool", daemon=True)
        self._writing_thread.start()
        self._spare.prepare()

    @property
    def room(self) -> Room:
        """How much may still be promised."""
        return self._room

    @property
    def point(self) -> Point:
        """How far commits have come."""
        return self._files.point

    def begin(self, record: bytes) -> Waiter:
        """Write what begins a request, and set room aside for its end.

        The result is there when it is durable. Raises SpoolFull at once when its end would have no
        room; the result raises SpoolFailed, and then the request has not begun. To cancel the
        result takes nothing back: the record is written all the same (see `inherit`).
        """
        room = self._room
        if not room.admits():
            self._spare.prepare()
            raise SpoolFull("the spool takes no new requests")
        room.open_requests += 1
        return self._append(record, BEGIN)

    def end(self, record: bytes) -> Waiter:
        """Write what ends a request that was begun; there is room for it.

        When the result raises SpoolFailed, the room stays set aside: try again.
        """
        return self._append(record, END)

    def note(self, record: bytes) -> Waiter:
        """Write something that belongs to no request."""
        return self._append(record, NOTE)

    def inherit(self, waiter: Waiter, then: Callable[[bool], None]) -> None:
        """Whoever waited was cancelled: call `then` with whether the record became durable. Whoever
        cancels a waiter has to say this once."""
        self._heirs.inherit(waiter, then)

    def tend(self) -> None:
        """Allocate the next segment if it is lacking; call every second or so."""
        self._spare.prepare()

    async def close(self) -> None:
        """Write what is pending, and let go of the folder."""
        self._spare.stop()
        while self._busy or self._pending.records:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self._work.put(None)
        await asyncio.to_thread(self._writing_thread.join)
        await self._spare.stopped()
        self._files.close()

    def _append(self, record: bytes, kind: int) -> Waiter:
        if len(record) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {len(record)} bytes, at most {MAX_RECORD_BYTES}")
        pending, room = self._pending, self._room
        size = len(record) + frame.OVERHEAD_BYTES
        if room.open_requests <= 1 and not (self._busy or pending.records):
            begun = time.monotonic()
            if self._pace.is_fast(begun) and self._files.fits(size):
                return self._written_now(record, kind, size, begun)
        waiter: Waiter = self._loop.create_future()
        pending.records.append(record)
        pending.waiters.append(waiter)
        pending.kinds.append(kind)
        pending.bytes += size
        room.waiting += size
        if not self._busy and len(pending.records) == 1:
            if room.open_requests <= 1:
                self._dispatch()
            else:
                # At the end of this turn of the loop: whoever else has something to say joins.
                self._loop.call_soon(self._dispatch)
        return waiter

    def _written_now(self, record: bytes, kind: int, size: int, begun: float) -> Waiter:
        """A lone record, on disk when this returns: the loop waits (`pace`)."""
        done, error = self._files.commit([record], size)
        ended = time.monotonic()
        self._pace.took(ended - begun, ended)
        self._observe(ended - begun, done)
        if kind == (BEGIN if error is not None else END):
            self._room.open_requests -= 1
        if not self._files.has_spare:
            self._spare.prepare()
        if error is None:
            return self._durable
        waiter: Waiter = self._loop.create_future()
        self._failed([waiter], error)
        return waiter

    def _dispatch(self) -> None:
        batch = self._pending
        if self._busy or not batch.records:
            return
        self._pending = Batch()
        batch.goes_on = not self._files.fits(batch.bytes)
        self._busy = True
        self._work.put(batch)

    def _serve(self) -> None:
        """The thread: one batch after another."""
        while (batch := self._work.get()) is not None:
            begun = time.monotonic()
            done, error = self._files.commit(batch.records, batch.bytes)
            seconds = time.monotonic() - begun
            with suppress(RuntimeError):  # the loop has ended without waiting for us
                self._loop.call_soon_threadsafe(self._after, batch, done, error, seconds)

    def _after(self, batch: Batch, done: int, error: OSError | None, seconds: float) -> None:
        self._busy = False
        self._committed(batch, done, error, seconds)
        # Not at once: who was told just now may have the next thing to say.
        self._loop.call_soon(self._dispatch)

    def _committed(self, batch: Batch, done: int, error: OSError | None, seconds: float) -> None:
        room, waiters, kinds = self._room, batch.waiters, batch.kinds
        room.waiting -= batch.bytes
        if error is not None:
            room.open_requests -= kinds[done:].count(BEGIN)
            self._failed(waiters[done:], error)
            del waiters[done:], kinds[done:]
        room.open_requests -= kinds.count(END)
        if not batch.goes_on:
            self._pace.took(seconds, time.monotonic())
        self._observe(seconds, done)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
            else:
                self._heirs.bequeath(waiter, True)
        if not self._files.has_spare:
            self._spare.prepare()

    def _failed(self, waiters: list[Waiter], error: OSError) -> None:
        logger.error("spool write failed", extra={"errno": errno.errorcode.get(error.errno or 0)})
        for waiter in waiters:
            if not waiter.done():
                failure = SpoolFailed("the spool could not be written")
                failure.__cause__ = error
                waiter.set_exception(failure)
            else:
                self._heirs.bequeath(waiter, False)

    def _begin_run(self) -> None:
        try:
            self._files.rotate()
            self._files.publish()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            logger.error("spool has no room for a segment")
