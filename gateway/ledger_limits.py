"""Keys and shares of limits in the ledger, as the keyring and the limiter ask for them.

Every step takes bounded time. While the ledger is known to be away steps fail at once: requests
that cannot be served without it are told so instead of waiting one by one for the same timeout. The
limiter's sign of life is always tried.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.bounded import bounded
from gateway.ledger_client import WatchedLedger
from ledger import key_strength, keys, possession, quotas
from ledger.connect import Connection, Pool, borrow
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.key_strength import KeyHistory, Use
from ledger.keys import Verifier
from ledger.quotas import Ask, Deal, Holder
from trust.apikeys import ApiKey, Pepper

T = TypeVar("T")


class LedgerLimits:
    """keyring.KeySource, limits.book.Shares, own_key.KeyLife and step_up.Proofs, over the pool."""

    def __init__(
        self,
        pool: Pool,
        holder: Holder,
        watched: WatchedLedger,
        step_seconds: float,
        pepper: Pepper,
    ) -> None:
        self._pool, self._holder, self._step_seconds = pool, holder, step_seconds
        self._pepper = pepper
        self._watched = watched
        self._failed = False

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """See keyring.KeySource."""
        return await self._bounded(self._find_many(key_ids))

    async def _find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        async with self._connection() as connection:
            return await keys.find_many(connection, key_ids)

    async def keep(self) -> bool:
        """See Shares; this one is tried also while the ledger is away."""
        async with self._connection(always=True) as connection:
            return await quotas.keep(connection, self._holder)

    async def deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
        """See Shares."""
        return await self._bounded(self._deal(asks))

    async def _deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
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

    async def note(self, uses: Sequence[Use]) -> int:
        """See misuse.Send."""
        async with self._connection() as connection:
            return await key_strength.note(connection, uses)

    async def history(self, key_id: str) -> KeyHistory:
        """See own_key.KeyLife."""
        async with self._connection() as connection:
            return await key_strength.show(connection, key_id)

    async def rotate(
        self, history: KeyHistory, overlap: timedelta, now: datetime
    ) -> tuple[ApiKey, datetime]:
        """See own_key.KeyLife; the key itself is named as who did it."""
        async with self._connection() as connection:
            return await key_strength.rotate(
                connection, self._pepper, history, overlap=overlap, now=now,
                actor=f"key:{history.key_id}", node=self._holder.place.partition("/")[0],
            )  # fmt: skip

    async def proof_key(self, family: str) -> Ed25519PublicKey | None:
        """See step_up.Proofs."""
        return await self._bounded(self._proof_key(family))

    async def _proof_key(self, family: str) -> Ed25519PublicKey | None:
        async with self._connection() as connection:
            return await possession.public_key(connection, family)

    async def first_use(self, family: str, nonce: str, until: datetime) -> bool:
        """See step_up.Proofs."""
        return await self._bounded(self._first_use(family, nonce, until))

    async def _first_use(self, family: str, nonce: str, until: datetime) -> bool:
        async with self._connection() as connection:
            return await possession.first_use(connection, family, nonce, until)

    async def _bounded(self, step: Coroutine[Any, Any, T]) -> T:
        """A step that requests wait for: no longer than that, even when the ledger hangs."""
        try:
            return await bounded(self._step_seconds, step)
        except TimeoutError as error:
            self._note_failure()
            raise OutcomeUnknown("the ledger took too long") from error

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
