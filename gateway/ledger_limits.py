"""Keys and shares of limits in the ledger, as the keyring and the limiter ask for them.

Every step takes bounded time. After one has failed, others fail at once for a moment: requests that
cannot be served without the ledger are told so instead of waiting one by one for the same timeout.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ledger import keys, quotas
from ledger.connect import Connection, Pool, borrow
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.keys import Verifier
from ledger.quotas import Ask, Deal, Holder

PAUSE_SECONDS = 0.5


class LedgerLimits:
    """keyring.KeySource and limits.shell.Shares, over the gateway's pool of connections."""

    def __init__(
        self,
        pool: Pool,
        holder: Holder,
        step_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._holder, self._step_seconds = pool, holder, step_seconds
        self._now = now
        self._away_until = float("-inf")

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """See keyring.KeySource."""
        async with self._connection() as connection:
            return await keys.find_many(connection, key_ids)

    async def keep(self) -> bool:
        """See Shares."""
        async with self._connection() as connection:
            return await quotas.keep(connection, self._holder)

    async def deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
        """See Shares."""
        async with self._connection() as connection:
            return await quotas.deal(connection, self._holder.id, asks)

    async def end(self) -> None:
        """See Shares."""
        async with self._connection() as connection:
            await quotas.end(connection, self._holder.id)

    async def sweep(self) -> int:
        """See Shares."""
        async with self._connection() as connection:
            return await quotas.sweep(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._now() < self._away_until:
            raise Unavailable("the ledger was away a moment ago")
        try:
            async with asyncio.timeout(self._step_seconds), borrow(self._pool) as connection:
                yield connection
        except TimeoutError as error:
            self._away_until = self._now() + PAUSE_SECONDS
            raise OutcomeUnknown("the ledger took too long") from error
        except (Unavailable, OutcomeUnknown):
            self._away_until = self._now() + PAUSE_SECONDS
            raise
