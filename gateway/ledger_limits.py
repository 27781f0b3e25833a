"""Keys and shares of limits in the ledger, as the keyring and the limiter ask for them.

Every step takes bounded time. While the ledger is known to be away steps fail at once: requests
that cannot be served without it are told so instead of waiting one by one for the same timeout. The
limiter's sign of life is always tried.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.ledger_client import WatchedLedger
from ledger import keys, quotas
from ledger.connect import Connection, Pool, borrow
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.keys import Verifier
from ledger.quotas import Ask, Deal, Holder


class LedgerLimits:
    """keyring.KeySource and limits.shell.Shares, over the gateway's pool of connections."""

    def __init__(
        self, pool: Pool, holder: Holder, watched: WatchedLedger, step_seconds: float
    ) -> None:
        self._pool, self._holder, self._step_seconds = pool, holder, step_seconds
        self._watched = watched
        self._failed = False

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """See keyring.KeySource."""
        async with self._connection() as connection:
            return await keys.find_many(connection, key_ids)

    async def keep(self) -> bool:
        """See Shares; this one is tried also while the ledger is away."""
        async with self._connection(always=True) as connection:
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
    async def _connection(self, *, always: bool = False) -> AsyncIterator[Connection]:
        if self._away and not always:
            raise Unavailable("the ledger was away a moment ago")
        try:
            async with asyncio.timeout(self._step_seconds), borrow(self._pool) as connection:
                yield connection
        except TimeoutError as error:
            self._note_failure()
            raise OutcomeUnknown("the ledger took too long") from error
        except (Unavailable, OutcomeUnknown):
            self._note_failure()
            raise
        self._failed = False

    @property
    def _away(self) -> bool:
        return self._failed and not self._watched.up

    def _note_failure(self) -> None:
        self._failed = True
        self._watched.suspect.set()
