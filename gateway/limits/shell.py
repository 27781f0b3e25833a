"""The limiter: charges requests to their key and tenant, asking for shares only when it must.

Between a check and its charge nothing else runs, so a share is never used twice. Asking goes
through the account's lock, one question at a time; a share shrinks here before anybody is told, and
grows only by what was dealt. docs/explanation/limits.md argues from this that no limit is passed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.errors import LimitsAway
from gateway.limits import decide
from gateway.limits.account import Account, all_meters
from gateway.limits.charge import FREE, Charge, Free
from gateway.limits.estimate import TEMPLATE_TOKENS
from gateway.limits.estimate import tokens as bound
from gateway.limits.headers import headers
from gateway.limits.meters import Meter, Periods, periods
from gateway.limits.refusals import limited
from gateway.member import Member
from gateway.metrics import GatewayMetrics
from gateway.seams import Principal
from inventory.ending import ended
from ledger.errors import LedgerError, Unavailable
from ledger.limits import UNLIMITED, Limits, tenant_subject
from ledger.quotas import Ask, Deal

logger = logging.getLogger("gateway.limits")

TICK_SECONDS = 1.0
REPORT_SECONDS = 5.0
IDLE_SECONDS = 5.0
SWEEP_SECONDS = 300.0
# Others hear that somebody is short at once, and give back: worth one more question.
RECALL_SECONDS = 0.1
# Our clock and the server's may run at different speeds; a lease ends here first.
LEASE_PART = 0.98
ASKS_AT_ONCE = 500


class Shares(Protocol):
    """Where shares are dealt. Every method may raise LedgerError, and takes bounded time."""

    async def keep(self) -> bool:
        """A sign of life; True when the lease had run out."""
        ...

    async def deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
        """Ask for shares, report use, give back; all or nothing."""
        ...

    async def end(self) -> None:
        """Nothing will be used any more."""
        ...

    async def sweep(self) -> int:
        """Remove what no longer counts."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How the limiter works: see the settings of the same names."""

    lease_seconds: float = 60.0
    patience_seconds: float = 2.0
    assumed_completion_tokens: int = 4096


class Limiter:
    """See seams.Admission. `start` it, and `stop` it when no request is left."""

    def __init__(
        self,
        shares: Shares,
        metrics: GatewayMetrics,
        terms: Terms,
        *,
        now: Callable[[], float],
        clock: Callable[[], datetime],
        context_of: Callable[[str], int | None] = lambda _model: None,
    ) -> None:
        self._shares, self._metrics, self._terms = shares, metrics, terms
        self.now, self._clock, self._context_of = now, clock, context_of
        self._accounts: dict[str, Account] = {}
        self._valid_until = float("-inf")
        self._swept_at = now()
        self._periods: Periods | None = None
        self._recalled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def lease_left_seconds(self) -> float:
        """How long shares may be used without another sign of life."""
        return max(0.0, self._valid_until - self.now())

    # Charging

    async def admit(
        self,
        principal: Principal,
        model: str,
        prompt_bytes: int,
        max_tokens: int | None,
        answers: int = 1,
    ) -> Charge | Free:
        """See seams.Admission. Raises Limited, or LimitsAway when nobody can be asked."""
        if not isinstance(principal, Member) or not principal.is_limited:
            return FREE
        context, assumed = self._context_of(model), self._terms.assumed_completion_tokens
        tokens = bound(prompt_bytes, max_tokens, context, assumed, answers)
        now = self.now()
        accounts = self._accounts_of(principal, now)
        charge = self._charge(accounts, tokens, now) or await self._ask(principal, tokens)
        charge.completion = tokens - prompt_bytes - TEMPLATE_TOKENS
        return charge

    def headers_for(self, principal: Principal) -> bytes:
        """See seams.Admission."""
        if not isinstance(principal, Member) or not principal.is_limited:
            return b""
        now = self.now()
        return headers(all_meters(self._accounts_of(principal, now)), now)

    def _charge(self, accounts: Sequence[Account], tokens: int, now: float) -> Charge | None:
        if now >= self._valid_until:
            return None
        meters: list[Meter] = []
        for account in accounts:
            if not decide.fits(account.meters, tokens, now):
                return None
            meters += account.meters
        for account in accounts:
            account.last_used = now
        marks = [meter.spend(decide.cost_of(meter, tokens), now) for meter in meters]
        return Charge(self.now, meters, marks, tokens)

    def _accounts_of(self, member: Member, now: float) -> list[Account]:
        found = []
        if member.limits is not UNLIMITED:
            found.append(self._account(member.limit_subject, member.limits, now))
        if member.tenant_limits is not UNLIMITED:
            found.append(self._account(tenant_subject(member.tenant), member.tenant_limits, now))
        return found

    def _account(self, subject: str, limits: Limits, now: float) -> Account:
        at = self._periods
        if at is None or now >= at.day_ends_at:
            at = self._periods = periods(self._clock(), now)
        account = self._accounts.get(subject)
        if account is None:
            account = self._accounts[subject] = Account(subject, limits, at, now)
        elif account.periods is not at or (
            account.limits is not limits and account.limits != limits
        ):
            account.follow(limits, at, now)
        return account

    # Asking

    async def _ask(self, member: Member, tokens: int) -> Charge:
        recalled = False
        try:
            async with asyncio.timeout(self._terms.patience_seconds):
                while True:
                    now = self.now()
                    accounts = self._accounts_of(member, now)
                    self._refuse_if_known(accounts, tokens, now)
                    charge = await self._ask_once(accounts, tokens)
                    if charge is not None:
                        return charge
                    now = self.now()
                    if any(account.closed for account in accounts):
                        continue
                    short = decide.short_of(all_meters(accounts), tokens, now)
                    if short and (recalled or not decide.may_be_recalled(short)):
                        self._raise(decide.refuse(short, tokens, now))
                    recalled = bool(short)
                    await asyncio.sleep(RECALL_SECONDS if short else 0)
        except (LedgerError, TimeoutError) as error:
            self._metrics.limits_away.inc()
            logger.warning("limits cannot be checked", extra={"why": type(error).__name__})
            raise LimitsAway from error

    async def _ask_once(self, accounts: Sequence[Account], tokens: int) -> Charge | None:
        """Charge, after asking for what is missing; None when that was not enough."""
        for account in accounts:
            account.waiting += 1
        try:
            async with AsyncExitStack() as locks:
                for account in sorted(accounts, key=lambda a: a.subject):
                    await locks.enter_async_context(account.lock)
                now = self.now()
                if any(account.closed for account in accounts):
                    return None
                charge = self._charge(accounts, tokens, now)
                if charge is not None:
                    return charge
                if now >= self._valid_until:
                    raise Unavailable("the lease has run out")
                self._refuse_if_known(accounts, tokens, now)
                await self._deal_for(accounts, tokens)
                return self._charge(accounts, tokens, self.now())
        finally:
            for account in accounts:
                account.waiting -= 1

    async def _deal_for(self, accounts: Sequence[Account], tokens: int) -> None:
        now = self.now()
        asks, meters = [], []
        for account in accounts:
            for meter in decide.short_of(account.meters, tokens, now):
                waiting = account.waiting - 1
                asks.append(decide.ask_for(account.subject, meter, tokens, waiting, now))
                meters.append((account, meter))
        if asks:
            self._take(meters, await self._shares.deal(asks))

    def _take(self, asked: Sequence[tuple[Account, Meter]], deals: Sequence[Deal]) -> None:
        now = self.now()
        by_name = {(deal.subject, deal.meter, deal.period): deal for deal in deals}
        for account, meter in asked:
            deal = by_name.get((account.subject, meter.name, meter.period))
            if deal is None:
                continue
            decide.take(meter, deal, now)
            account.reported_at = now
            meter.reported = meter.used(now)
            if deal.limited_to is None and meter in account.meters:
                # The limit is gone; the key's next look at the ledger says so too.
                account.meters.remove(meter)

    def _refuse_if_known(self, accounts: Sequence[Account], tokens: int, now: float) -> None:
        if decide.fits(all_meters(accounts), tokens, now):
            return
        refusal = decide.refusal_known(all_meters(accounts), tokens, now)
        if refusal is not None:
            self._raise(refusal)

    def _raise(self, refusal: decide.Refusal) -> None:
        self._metrics.limited.labels(refusal.why.value).inc()
        raise limited(refusal)

    # Keeping

    async def start(self) -> None:
        """Begin to show signs of life; the ledger need not be there yet."""
        with suppress(LedgerError, TimeoutError):
            await self._keep()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give everything back; the last thing a gateway does with its limits."""
        if self._task is not None:
            await ended(self._task)
        with suppress(LedgerError, TimeoutError):
            async with asyncio.timeout(self._terms.patience_seconds):
                await self._forget(list(self._accounts.values()))
                await self._shares.end()
        self._valid_until = float("-inf")

    def recall(self, subject: str) -> None:
        """Somebody is short of a limit of `subject`: become lean, and give back at once."""
        account = self._accounts.get(subject)
        if account is None:
            return
        until = self.now() + decide.LEAN_SECONDS
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
                    await self._keep()
                await self.tend()
            except (LedgerError, TimeoutError) as error:
                logger.info("shares not kept", extra={"why": type(error).__name__})
            except Exception:
                # Limits go on with what is leased; the next turn tries again.
                logger.exception("fault in the limiter")

    async def _keep(self) -> None:
        asked = self.now()
        lapsed = await self._shares.keep()
        if lapsed:
            for account in self._accounts.values():
                account.void()
        until = asked + self._terms.lease_seconds * LEASE_PART
        self._valid_until = max(self._valid_until, until)

    async def tend(self) -> None:
        """One turn: report, give back what nobody needs, forget who is gone, sweep."""
        now = self.now()
        todo, idle = [], []
        for account in list(self._accounts.values()):
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
            await self._shares.sweep()

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
            now = self.now()
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
            self._take(asked, await self._shares.deal(asks))
            for account in held:
                account.past = [meter for meter in account.past if meter.open]

    async def _forget(self, accounts: Sequence[Account]) -> None:
        """Give everything back and drop the accounts; requests that come now make new ones."""
        async with AsyncExitStack() as locks:
            held = await _locked(locks, accounts)
            now = self.now()
            meters: list[tuple[Account, Meter]] = [
                (account, meter) for account in held for meter in (*account.meters, *account.past)
            ]
            asks = [decide.forget(account.subject, meter, now) for account, meter in meters]
            if asks:
                await self._shares.deal(asks)
            for account in held:
                account.closed = True
                if self._accounts.get(account.subject) is account:
                    del self._accounts[account.subject]


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
