"""Sealed prompts to the ledger: before the event that refers to them, and deleted after it.

Killed anywhere, the next shipper does it again: the same file is the same item, and the ledger has
it once. What the ledger refuses (the data key of its epoch is gone) is put aside with the records
it refused, and an event says so.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID

import orjson

from gateway.spool import sealed, segment
from gateway.spool.record import notice_like
from ledger.content import Item
from ledger.errors import Rejected
from trust.errors import BlobUnreadable

logger = logging.getLogger("gateway.shipper")

REFUSED = "prompts.refused"
ASIDE_FOLDER = "set_aside"
# No other event of the spool has it, and looking for bytes costs next to nothing.
MARK = b'"content":"'
SWEEP_SECONDS = 600.0
# A prompt's event follows its file at once, unless the disk is full: then it waits in memory.
FORGOTTEN_SECONDS = 24 * 3600.0

Keep = Callable[[Item], Awaitable[object]]
Say = Callable[[Sequence[bytes]], Awaitable[object]]


class PromptCourier:
    """Brings what a batch of events refers to. `keep` stores an item, `say` events."""

    def __init__(self, spool: Path, keep: Keep, say: Say) -> None:
        self._spool, self._keep, self._say = spool, keep, say
        self._swept = time.monotonic()

    async def bring(self, events: Sequence[bytes]) -> None:
        """Have the ledger keep all that these events refer to; raises LedgerError, OSError."""
        for event in events:
            if (content := _content_of(event)) is not None:
                await self._bring(event, content)

    def done(self, events: Sequence[bytes]) -> None:
        """The ledger has these events and all that they refer to: the files may go."""
        for event in events:
            if (content := _content_of(event)) is not None:
                sealed.path_of(self._spool, content).unlink(missing_ok=True)

    def sweep(self) -> None:
        """All is shipped: what has lain there for a day belongs to no event; delete it."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        for path in sealed.forgotten(self._spool, time.time() - FORGOTTEN_SECONDS):
            logger.warning("sealed prompt without an event deleted", extra={"file": path.name})
            path.unlink(missing_ok=True)

    async def _bring(self, event: bytes, content: UUID) -> None:
        try:
            item = sealed.read(self._spool, content)
            if item is not None:
                await self._keep(item)
        except (Rejected, BlobUnreadable) as refusal:
            why = type(refusal).__name__
            logger.error("prompt set aside", extra={"content": str(content), "why": why})
            data = {"content": str(content), "why": why}
            await self._say([notice_like(event, REFUSED, data)])
            path = sealed.path_of(self._spool, content)
            aside = self._spool / ASIDE_FOLDER
            aside.mkdir(mode=0o700, exist_ok=True)
            path.rename(aside / path.name)
            segment.sync_folder(aside)


def _content_of(event: bytes) -> UUID | None:
    if MARK not in event:
        return None
    content = orjson.loads(event)["data"].get("content")
    return UUID(content) if isinstance(content, str) else None
