"""From the spool to the ledger, exactly once: send, then remember, then delete.

Killed anywhere, the next shipper sends from the last position remembered: the same files give the
same events, and the ledger has each at most once. A ledger that is away is asked again, for ever;
an event it refuses (it never refuses one of ours, but a bug or another hand might make one) is put
aside in a file, and an event about it is sent instead: one bad record does not hold up the others.
"""

import asyncio
import errno
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import orjson

from gateway.shipper.prompts import ASIDE_FOLDER, Keep, PromptCourier
from gateway.spool import segment, shipped
from gateway.spool.mark import Mark, Point
from gateway.spool.reader import Batch, Progress, Reader
from gateway.spool.record import SET_ASIDE, notice_like
from ledger.errors import LedgerError, Rejected

logger = logging.getLogger("gateway.shipper")

BATCH_EVENTS = 1000
# Records are gathered for so long, unless a whole batch of them is there before: what a commit
# costs the ledger, and the disk that the gateway waits for, does not depend on how much is in it.
GATHER_SECONDS = 0.1
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
DAMAGED_FOLDER = "damaged"

Send = Callable[[Sequence[bytes]], Awaitable[object]]


class Shipper:
    """Ships one folder. `send` stores events in one transaction, or raises LedgerError; `keep`
    does so with a sealed prompt.
    """

    def __init__(self, folder: Path, node: str, send: Send, keep: Keep) -> None:
        self._folder, self._send, self._node = folder, send, node
        self._prompts = PromptCourier(folder, keep, send)
        # A burst of work would keep the processor for as long as it takes, or a slice of
        # milliseconds, while a request that has just woken on it waits (docs/decisions/0026).
        self._reader = Reader(folder, node, os.sched_yield)
        self.progress = _loaded(folder)
        self._remembered = True

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until `stop`; raises OSError when the folder cannot be read or written."""
        mark: Mark | None = None
        with suppress(OSError):  # a full disk: then it has to do without
            shipped.prepare(self._folder)
        while not stop.is_set():
            if mark is None:
                mark = _mark(self._folder)
            if mark is not None:
                await self.step(mark.get(), stop)
            if mark is None or not self._has_a_batch(mark.get()):
                await _pause(stop, GATHER_SECONDS)
        if mark is not None:
            mark.close()

    def _has_a_batch(self, mark: Point) -> bool:
        return mark.sequence - self.progress.at.sequence >= BATCH_EVENTS

    async def step(self, mark: Point, stop: asyncio.Event) -> bool:
        """Ship one batch; False when there was nothing."""
        batch = self._reader.batch(self.progress, mark, BATCH_EVENTS)
        if batch.then == self.progress:
            if not self._remembered:
                self._remember()
            self._prompts.sweep()
            return False
        self._keep_damaged(batch)
        if not await self._insist(batch.events, stop):
            return False
        self.progress = batch.then
        self._prompts.done(batch.events)
        self._remember()
        return True

    def _remember(self) -> None:
        """Put the position on disk, then delete what is before it.

        A full disk takes no position: what is shipped stays shipped, and is deleted when it does.
        """
        try:
            shipped.save(self._folder, self.progress)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if self._remembered:
                logger.warning("no room for the position", extra={"errno": error.errno})
            self._remembered = False
            return
        self._remembered = True
        self._delete_before(self.progress.at.segment)

    async def _insist(self, events: Sequence[bytes], stop: asyncio.Event) -> bool:
        """Send until the ledger has them; False when told to stop before."""
        pause, waiting = FIRST_PAUSE_SECONDS, False
        while not stop.is_set():
            try:
                await self._prompts.bring(events)
                await self._deliver(events)
            except Rejected:
                raise
            except LedgerError as error:
                if not waiting:
                    logger.warning("ledger takes nothing", extra={"why": type(error).__name__})
                waiting = True
                await _pause(stop, pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            if waiting:
                logger.info("ledger takes events again")
            return True
        return False

    async def _deliver(self, events: Sequence[bytes]) -> None:
        """All of them; where the ledger refuses, halves, down to the one it refuses."""
        if not events:
            return
        try:
            await self._send(events)
        except Rejected as refusal:
            if len(events) == 1:
                await self._send([self._set_aside(events[0], refusal)])
                return
            middle = len(events) // 2
            await self._deliver(events[:middle])
            await self._deliver(events[middle:])

    def _set_aside(self, event: bytes, refusal: Rejected) -> bytes:
        """Keep what the ledger refuses; the event that says so."""
        digest = hashlib.sha256(event).hexdigest()
        folder = self._folder / ASIDE_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / f"{digest}.json").exists():
            _write(folder / f"{digest}.json", event)
        found = orjson.loads(event)
        logger.error("event set aside", extra={"event": found["id"], "why": type(refusal).__name__})
        data = {"event": str(UUID(found["id"])), "kind": found["kind"], "sha256": digest}
        return notice_like(event, SET_ASIDE, data)

    def _keep_damaged(self, batch: Batch) -> None:
        """A second name for segments in which something is wrong: they outlive their shipping."""
        for number in batch.damaged:
            path = segment.path_of(self._folder, number)
            kept = self._folder / DAMAGED_FOLDER / path.name
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            if path.exists() and not kept.exists():
                os.link(path, kept)
                segment.sync_folder(kept.parent)

    def _delete_before(self, number: int) -> None:
        for old in segment.numbers(self._folder):
            if old < number:
                segment.path_of(self._folder, old).unlink(missing_ok=True)


def _loaded(folder: Path) -> Progress:
    try:
        return shipped.load(folder)
    except ValueError:
        # What is in the folder is sent again; the ledger knows what it has.
        logger.exception("the position is unreadable, beginning at the oldest segment")
        found = Progress()
        return replace(found, damaged=found.damaged + 1)


def _mark(folder: Path) -> Mark | None:
    try:
        return Mark(folder, write=False)
    except (FileNotFoundError, ValueError):
        return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _write(path: Path, content: bytes) -> None:
    new = path.with_suffix(".tmp")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    segment.sync_folder(path.parent)
