"""Misuse of keys that proved themselves, on its way to the ledger: noted here, sent later.

Only the app calls `note`, and only for a key whose secret was just verified: nobody else can cause
one. A kind counts once in its period (an hour, or more) for each key, so that a client in a loop
costs one look in a set.
Kept in memory until the ledger has it: a gateway that dies within that second forgets it, which is
in the key's favour. Work is not noted here; the audit's records are what credits it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.metrics import GatewayMetrics
from inventory.ending import ended
from ledger.errors import LedgerError
from ledger.key_strength import Use, misused
from trust.strength import HOUR_SECONDS, Misuse, counted_hour

logger = logging.getLogger("gateway.misuse")

FLUSH_SECONDS = 1.0
BATCH = 500
MOST_NOTES = 50_000

Send = Callable[[Sequence[Use]], Awaitable[int]]


class MisuseNotes:
    """What keys did that they may not, this hour."""

    def __init__(
        self, send: Send, metrics: GatewayMetrics, wall: Callable[[], float] = time.time
    ) -> None:
        self._send, self._metrics, self._wall = send, metrics, wall
        self._hour = -1
        self._noted: set[tuple[str, Misuse]] = set()
        self._waiting: list[Use] = []
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: str, kind: Misuse) -> None:
        """This key, just verified, did this. Never waits, never fails."""
        self._metrics.misuse[kind].inc()
        now = self._wall()
        hour = int(now // HOUR_SECONDS)
        if hour != self._hour:
            self._hour = hour
            self._noted.clear()
        if (key_id, kind) in self._noted or len(self._waiting) >= MOST_NOTES:
            return
        self._noted.add((key_id, kind))
        self._waiting.append((key_id, misused(kind), counted_hour(kind, now)))

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what waits, once, and end."""
        if self._task is not None:
            await ended(self._task)
        with suppress(LedgerError, TimeoutError):
            await self.flush()

    async def flush(self) -> None:
        """Send all that waits; what fails goes on waiting. Raises LedgerError."""
        while self._waiting:
            batch = self._waiting[:BATCH]
            await self._send(batch)
            del self._waiting[: len(batch)]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except (LedgerError, TimeoutError) as error:
                logger.info("misuse not sent", extra={"why": type(error).__name__})
            except Exception:
                logger.exception("fault while sending misuse")
