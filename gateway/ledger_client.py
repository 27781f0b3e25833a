"""The ledger as this gateway uses it: a pool, bounded steps, and knowing whether it is there.

A ledger that is known to be away is not asked again by every request (each would wait for the same
timeout): requests fail at once, and a background look finds out when it is back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from gateway.metrics import GatewayMetrics
from ledger import keys
from ledger.connect import Connection, Pool, borrow, ping
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.keys import Verifier

logger = logging.getLogger("gateway.ledger")

T = TypeVar("T")


class Ledger(Protocol):
    """What the gateway asks of the ledger. Every method may raise LedgerError."""

    async def find(self, key_id: str) -> Verifier | None:
        """What recognises the key with this id, or None."""
        ...

    async def ping(self) -> None:
        """A sign of life."""
        ...


class PooledLedger:
    """The real one, each step at most `step_seconds` long, waiting for a connection included."""

    def __init__(self, pool: Pool, step_seconds: float) -> None:
        self._pool, self._step_seconds = pool, step_seconds

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(self._step_seconds), borrow(self._pool) as connection:
                yield connection
        except TimeoutError as error:
            raise OutcomeUnknown("the ledger took too long") from error

    async def find(self, key_id: str) -> Verifier | None:
        """See Ledger."""
        async with self._connection() as connection:
            return await keys.find(connection, key_id)

    async def ping(self) -> None:
        """See Ledger."""
        async with self._connection() as connection:
            await ping(connection)


class WatchedLedger:
    """A ledger that remembers whether it was there, and ever was; `suspect`: it just went away."""

    def __init__(self, ledger: Ledger, metrics: GatewayMetrics) -> None:
        self._ledger, self._metrics = ledger, metrics
        self.up = self.seen = False
        self.suspect = asyncio.Event()

    async def find(self, key_id: str) -> Verifier | None:
        """See Ledger."""
        return await self._ask(lambda: self._ledger.find(key_id))

    async def ping(self) -> None:
        """See Ledger; this one is sent also while the ledger is away."""
        await self._ask(self._ledger.ping, always=True)

    async def _ask(self, step: Callable[[], Awaitable[T]], *, always: bool = False) -> T:
        if not self.up and not always:
            raise Unavailable("the ledger was away when last asked")
        try:
            answer = await step()
        except (Unavailable, OutcomeUnknown) as error:
            self._note(False, type(error).__name__)
            self.suspect.set()
            raise
        self._note(True)
        return answer

    def _note(self, up: bool, why: str = "") -> None:
        if up != self.up:
            level = logging.INFO if up else logging.WARNING
            logger.log(level, "ledger up" if up else "ledger down", extra={"why": why})
        self.up = up
        self.seen = self.seen or up
        self._metrics.component_up.labels("ledger").set(up)
