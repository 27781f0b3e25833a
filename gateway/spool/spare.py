"""The segment after the one that is written: allocated ahead, so that going on costs no request.

Allocating writes a whole segment of zeros and takes a while: a thread does it in the background,
one at a time. Where the disk or the spool's bound has no room for it, that is logged, and tried
again a second later at the soonest, when somebody asks for it; what is promised until then is what
the blocks allocated before have room for (`room`).
"""

import asyncio
import errno
import logging
import time
from typing import Final

from gateway.spool.appender import Appender

logger = logging.getLogger("gateway.spool")

# How often allocating the next segment is tried again, at most.
RETRY_SECONDS: Final = 1.0


class Spare:
    """Keeps a segment ready. Belongs to one event loop."""

    __slots__ = ("_allocating", "_files", "_loop", "_retry_at", "_stopped")

    def __init__(self, files: Appender, loop: asyncio.AbstractEventLoop) -> None:
        self._files, self._loop = files, loop
        self._allocating: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._stopped = False

    def prepare(self) -> None:
        """Have the next segment allocated in the background, unless that was just tried."""
        now = time.monotonic()
        running = self._allocating is not None and not self._allocating.done()
        if self._files.has_spare or self._stopped or running or now < self._retry_at:
            return
        self._retry_at = now + RETRY_SECONDS
        self._allocating = self._loop.create_task(self._allocate())

    def stop(self) -> None:
        """Begin no more of it."""
        self._stopped = True

    async def stopped(self) -> None:
        """Until what was begun is over: nobody uses the files from here any more."""
        if self._allocating is not None:
            await asyncio.gather(self._allocating, return_exceptions=True)

    async def _allocate(self) -> None:
        try:
            await asyncio.to_thread(self._files.allocate)
            self._retry_at = 0.0
        except OSError as error:
            why = errno.errorcode.get(error.errno or 0, "?")
            logger.error("spool segment not allocated", extra={"errno": why})
