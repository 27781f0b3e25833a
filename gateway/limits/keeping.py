"""Keeping shares: signs of life, reports of use, giving back what others are short of.

A share shrinks here before anybody is told, and whoever is asked about is locked meanwhile.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress

from gateway.limits import decide
from gateway.limits.account import Account
from gateway.limits.book import Book
from gateway.limits.meters import Meter
from inventory.ending import ended
from ledger.errors import LedgerError

logger = logging.getLogger("gateway.limits")

TICK_SECONDS = 1.0
REPORT_SECONDS = 5.0
IDLE_SECONDS = 5.0
SWEEP_SECONDS = 300.0
# Our clock and the server's may run at different speeds; a lease ends here first.
LEASE_PART = 0.98
ASKS_AT_ONCE = 500


class Keeper:
    """Keeps a book while its process runs. `start` it, and `stop` it when no request is left."""

    def __init__(self, book: Book, lease_seconds: float, patience_seconds: float) -> None:
        self._book = book
        self._lease_seconds, self._patience_seconds = lease_seconds, patience_seconds
        self._swept_at = book.now()
        self._recalled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to show signs of life; the ledger need not be there yet."""
        with suppress(LedgerError, TimeoutError):
            await self.keep()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give everything back; the last thing a gateway does with its limits."""
        if self._task is not None:
            await ended(self._task)
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                await self._forget(list(self._book.accounts.values()))
                await self._book.shares.end()
        self._book.valid_until = float("-inf")

    def recall(self, subject: str) -> None:
        """Somebody is short of a limit of `subject`: become lean, and give back at once."""
        account = self._book.accounts.get(subject)
        if account is None:
            return
        until = self._book.now() + decide.LEAN_SECONDS
        for meter in account.meters:
            meter.lean_until = until
        self._recalled.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._recalled.wait()
            recall_only = self._recalled.is_set()
            self._recalled.clear()
            try:
                if not recall_only:
                    await self.keep()
                await self.tend()
            except (LedgerError, TimeoutError) as error:
                logger.info("shares not kept", extra={"why": type(error).__name__})
            except Exception:
                # Limits go on with what is leased; the next turn tries again.
                logger.exception("fault in the limiter")

    async def keep(self) -> None:
        """A sign of life: shares may be used until the lease after it ends."""
        asked = self._book.now()
        lapsed = await self._book.shares.keep()
        if lapsed:
            for account in self._book.accounts.values():
                account.void()
        until = asked + self._lease_seconds * LEASE_PART
        self._book.valid_until = max(self._book.valid_until, until)

    async def tend(self) -> None:
        """One turn: report, give back what nobody needs, forget who is gone, sweep."""
        now = self._book.now()
        todo, idle = [], []
        for account in list(self._book.accounts.values()):
            if account.is_idle(now) and now - account.last_used > IDLE_SECONDS:
                idle.append(account)
            elif account.past or self._has_news(account, now):
                todo.append(account)
        for batch in _batches(todo):
            await self._report(batch)
        for batch in _batches(idle):
            await self._forget(batch)
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            await self._book.shares.sweep()

    def _has_news(self, account: Account, now: float) -> bool:
        if now - account.reported_at > REPORT_SECONDS:
            return any(meter.used(now) != meter.reported for meter in account.meters)
        return any(
            now < meter.lean_until and meter.share > meter.used(now) for meter in account.meters
        )

    async def _report(self, accounts: Sequence[Account]) -> None:
        """Report; give back the whole rest where somebody is short; close periods that are over."""
        async with AsyncExitStack() as locks:
            held = await _locked(locks, accounts)
            now = self._book.now()
            asks, asked = [], []
            for account in held:
                for meter in account.meters:
                    lean = now < meter.lean_until
                    make = decide.give_back if lean else decide.report
                    asks.append(make(account.subject, meter, now))
                    asked.append((account, meter))
                over = [meter for meter in account.past if meter.open == 0]
                asks += [decide.forget(account.subject, meter, now) for meter in over]
            if not asks:
                return
            self._book.take(asked, await self._book.shares.deal(asks))
            for account in held:
                account.past = [meter for meter in account.past if meter.open]

    async def _forget(self, accounts: Sequence[Account]) -> None:
        """Give everything back and drop the accounts; requests that come now make new ones."""
        async with AsyncExitStack() as locks:
            held = await _locked(locks, accounts)
            now = self._book.now()
            meters: list[tuple[Account, Meter]] = [
                (account, meter) for account in held for meter in (*account.meters, *account.past)
            ]
            asks = [decide.forget(account.subject, meter, now) for account, meter in meters]
            if asks:
                await self._book.shares.deal(asks)
            for account in held:
                account.closed = True
                if self._book.accounts.get(account.subject) is account:
                    del self._book.accounts[account.subject]


async def _locked(locks: AsyncExitStack, accounts: Iterable[Account]) -> list[Account]:
    """Lock those accounts that nobody is asking for right now; the others can wait a turn."""
    held = []
    for account in accounts:
        # With nobody waiting the lock is had at once: we never wait for one while we hold others.
        if not account.waiting and not account.lock.locked():
            await locks.enter_async_context(account.lock)
            held.append(account)
    return held


def _batches(accounts: Sequence[Account]) -> Iterable[Sequence[Account]]:
    for start in range(0, len(accounts), ASKS_AT_ONCE // 5):
        yield accounts[start : start + ASKS_AT_ONCE // 5]
